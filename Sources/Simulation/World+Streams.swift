import Catalog
import MeshModel
import Platform

// Streams between catalogs: dialled by the agent's own plan, whole and in order while they live.
extension World {
    /// How long after the last sign of life the two ends give a stream up.
    private static let streamPatience = Duration.seconds(15)
    private static let connectTimeout = Duration.seconds(5)
    private static let heldBound = 1000

    func dialDue(_ node: Node) {
        for dial in node.plan.due(node.clock.local(now)) {
            // TCP and TLS: three round trips.
            push(delay() * 6, node.index, life: node.lives, .connect(dial))
        }
    }

    func connect(_ node: Node, _ dial: DialPlan.Dial) {
        guard let target = self.node(at: dial.address.ip), paths.leadsBothWays(node.index, target) else {
            return push(Self.connectTimeout, node.index, life: node.lives, .connectFailed(dial))
        }
        let peer = nodes[target]
        let local = node.clock.local(now)
        switch peer.life {
        case .crashed, .paused: return push(Self.connectTimeout, node.index, life: node.lives, .connectFailed(dial))
        case .exited, .left: return push(delay(), node.index, life: node.lives, .connectFailed(dial))
        case .running: break
        }
        if case .node(let name) = dial.target, name != peer.name {
            return push(delay(), node.index, life: node.lives, .connectFailed(dial))
        }
        guard peer !== node else { return node.plan.finished(dial, reached: node.name, local, random: fraction(node)) }
        guard mayReplace(node, peer, dialledHere: true), mayReplace(peer, node, dialledHere: false) else {
            // There is a stream already; the dialler may not know yet that it is dead.
            return node.plan.finished(dial, reached: node.links[target] == nil ? nil : peer.name, local, random: fraction(node))
        }
        let link = PlaneLink(from: node.index, to: target)
        streams.append(link)
        figures.streams += 1
        mix(UInt64(node.index) << 16 | UInt64(target))
        node.plan.finished(dial, reached: peer.name, local, random: fraction(node))
        for (end, other) in [(peer, node), (node, peer)] {
            if let old = end.links[other.index] { old.close(at: end.index) }
            end.links[other.index] = link
            end.plan.connected(other.name)
        }
        for (end, other) in [(peer, node), (node, peer)] {
            end.catalog.connected(other.name, end.clock.local(now))
            perform(end)
        }
    }

    private func mayReplace(_ node: Node, _ peer: Node, dialledHere: Bool) -> Bool {
        guard let old = node.links[peer.index] else { return true }
        // Of another life of the peer.
        guard old.isOpen(at: peer.index) else { return true }
        return StreamChoice.keepsNew(node: node.name, peer: peer.name, oldDialledHere: old.dialler == node.index, newDialledHere: dialledHere)
    }

    // MARK: Messages

    func post(_ message: CatalogMessage, on link: PlaneLink, from sender: Int) {
        let receiver = link.other(sender)
        figures.messages += 1
        mix(UInt64(sender) << 20 | UInt64(receiver))
        let arrival = now + streamDelay()
        if receiver == link.dialler {
            link.lastToDialler = max(link.lastToDialler + .nanoseconds(1), arrival)
            queue.push(EventQueue.Event(node: receiver, life: nil, what: .message(link, message)), at: link.lastToDialler)
        } else {
            link.lastToAcceptor = max(link.lastToAcceptor + .nanoseconds(1), arrival)
            queue.push(EventQueue.Event(node: receiver, life: nil, what: .message(link, message)), at: link.lastToAcceptor)
        }
    }

    func received(_ message: CatalogMessage, on link: PlaneLink, at node: Node) {
        guard link.isOpen(at: node.index), node.links[link.other(node.index)] === link else { return }
        let sender = link.other(node.index)
        guard link.held.isEmpty, paths.leadsBothWays(node.index, sender) else {
            link.held.append((to: node.index, message: message))
            if link.held.count > Self.heldBound { giveUp(link) }
            return
        }
        node.catalog.received(message, from: nodes[sender].name, node.clock.local(now))
        perform(node)
        checkCatalogStep(node, message, from: sender)
    }

    // MARK: Ends

    /// One end closes; the other hears of it, if anything leads there.
    func closeLink(_ node: Node, to peer: Int) {
        guard let link = node.links[peer] else { return }
        linkEnded(link, at: node)
        if link.isOpen(at: peer), paths.leadsBothWays(node.index, peer) { push(streamDelay(), peer, life: nil, .closed(link)) }
    }

    /// False when another link has taken its place.
    @discardableResult
    func linkEnded(_ link: PlaneLink, at node: Node) -> Bool {
        let peer = link.other(node.index)
        link.close(at: node.index)
        guard node.links[peer] === link else { return false }
        node.links[peer] = nil
        let local = node.clock.local(now)
        node.plan.disconnected(nodes[peer].name, local, random: fraction(node))
        node.catalog.disconnected(nodes[peer].name, local)
        perform(node)
        return true
    }

    /// The node is gone, whatever the way: its ends with it. `told`: the kernel closes them.
    func dropLinks(_ node: Node, told: Bool) {
        for peer in node.links.keys.sorted() {
            guard let link = node.links[peer] else { continue }
            link.close(at: node.index)
            if told, link.isOpen(at: peer), paths.leadsBothWays(node.index, peer) { push(streamDelay(), peer, life: nil, .closed(link)) }
        }
        node.links = [:]
    }

    private func giveUp(_ link: PlaneLink) {
        link.held = []
        guard !link.isGivenUp else { return }
        link.isGivenUp = true
        for end in [link.dialler, link.acceptor] where link.isOpen(at: end) { push(.zero, end, life: nil, .closed(link)) }
    }

    /// Each second: what was held goes on when something leads there again, and dead streams are given up.
    func sweepStreams() {
        var kept = 0
        for position in streams.indices {
            let link = streams[position]
            let (a, b) = (link.isOpenAtDialler, link.isOpenAtAcceptor)
            guard a || b else { continue }
            streams[kept] = link
            kept += 1
            let isDead = !a || !b || nodes[link.dialler].life == .paused || nodes[link.acceptor].life == .paused
            let passes = paths.isWhole || paths.leadsBothWays(link.dialler, link.acceptor)
            if passes, !link.held.isEmpty, !isDead {
                let held = link.held
                link.held = []
                for (to, message) in held { push(.zero, to, life: nil, .message(link, message)) }
            }
            guard isDead || !passes else {
                link.deadSince = nil
                continue
            }
            let since = link.deadSince ?? now
            link.deadSince = since
            if now - since >= Self.streamPatience { giveUp(link) }
        }
        streams.removeSubrange(kept...)
    }
}
