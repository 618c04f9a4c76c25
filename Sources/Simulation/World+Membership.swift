import Catalog
import MeshModel
import Platform
import SWIM

// The shell of membership: datagrams, streams, timers, and its word to the catalog.
extension World {
    func perform(_ node: Node, _ effect: SWIMEffect) {
        switch effect {
        case .send(let bytes, let address): send(node, bytes, address)
        case .dial(let dial, let address, let request, let timeout):
            push(delay() * 2, node.index, life: node.lives, .call(dial, to: address, request: request, timeout: timeout))
        case .reply(let id, let bytes):
            guard let caller = callers.removeValue(forKey: id.number) else { return }
            guard paths.leadsBothWays(node.index, caller.node) else { return timeOut(caller) }
            push(streamDelay(), caller.node, life: caller.life, .answer(caller.dial, bytes))
        case .close(let id):
            guard let caller = callers.removeValue(forKey: id.number) else { return }
            push(streamDelay(), caller.node, life: caller.life, .callFailed(caller.dial, .closed))
        case .setTimer(let timer, let time):
            let due = max(node.clock.world(time), now)
            let number = queue.push(EventQueue.Event(node: node.index, life: node.lives, what: .timer(timer)), at: due)
            node.timers[timer] = Node.Armed(number: number, due: due)
        case .cancelTimer(let timer): node.timers[timer] = nil
        case .member(let event): heard(node, event)
        case .leaveFinished: hasLeft(node)
        case .hangUp, .joinFinished, .refused, .log: break
        }
    }

    private func send(_ node: Node, _ bytes: [UInt8], _ address: SocketAddress) {
        figures.datagrams += 1
        figures.datagramBytes += UInt64(bytes.count)
        mix(UInt64(bytes.count) << 32 | UInt64(node.index))
        guard address.port == Ports.gossip, let target = self.node(at: address.ip), paths.leads(node.index, target),
            weather.loss == 0 || Double.random(in: 0..<1, using: &random) >= weather.loss
        else {
            figures.lost += 1
            return
        }
        push(delay(), target, life: nil, .datagram(bytes, from: node.gossipAddress))
        if weather.duplication > 0, Double.random(in: 0..<1, using: &random) < weather.duplication {
            push(delay(), target, life: nil, .datagram(bytes, from: node.gossipAddress))
        }
    }

    func delay() -> Duration {
        if weather.straggling > 0, Double.random(in: 0..<1, using: &random) < weather.straggling {
            return .nanoseconds(Int64.random(in: 0...weather.straggle, using: &random))
        }
        return .nanoseconds(Int64.random(in: weather.latency, using: &random))
    }

    /// TCP sends again what is lost.
    func streamDelay() -> Duration {
        var wait = delay()
        if weather.loss > 0, Double.random(in: 0..<1, using: &random) < weather.loss {
            wait += .nanoseconds(Int64.random(in: 200_000_000...700_000_000, using: &random))
        }
        return wait
    }

    /// A stream for one question and one answer.
    func call(_ caller: Node, _ dial: DialID, _ address: SocketAddress, _ request: [UInt8], _ timeout: Duration) {
        figures.calls += 1
        let origin = (node: caller.index, life: caller.lives, dial: dial)
        guard let target = node(at: address.ip), paths.leadsBothWays(caller.index, target) else {
            return push(timeout, caller.index, life: caller.lives, .callFailed(dial, .timedOut))
        }
        let callee = nodes[target]
        switch callee.life {
        case .crashed, .paused: push(timeout, caller.index, life: caller.lives, .callFailed(dial, .timedOut))
        case .exited, .left: push(delay(), caller.index, life: caller.lives, .callFailed(dial, .refused))
        case .running:
            calls += 1
            callers[calls] = origin
            step(callee, .request(InboundID(number: calls), request, from: SocketAddress(caller.ip, port: 40_000)))
        }
    }

    private func timeOut(_ caller: (node: Int, life: Int, dial: DialID)) {
        push(timers.streamTimeout, caller.node, life: caller.life, .callFailed(caller.dial, .timedOut))
    }

    /// Membership's word goes to the catalog, as in the agent.
    private func heard(_ node: Node, _ event: MemberEvent) {
        mix(UInt64(event.member.incarnation) << 16 | UInt64(event.kind.rawValue.utf8.count))
        let subject = Node.index(event.member.name)
        switch event.kind {
        case .suspected, .died:
            let accused = nodes[subject]
            accused.accused = max(accused.accused, event.member.incarnation)
            if event.kind == .died { figures.deaths += 1 }
        case .joined, .updated, .confirmed, .recovered, .left, .contested, .forgotten: break
        }
        guard subject != node.index else { return }
        let liveness = event.member.state.liveness
        let isGone = liveness == .dead || liveness == .left
        let local = node.clock.local(now)
        node.catalog.liveness(event.member.name, liveness, local)
        node.plan.setGone(event.member.name, isGone, local, random: isGone ? 0 : fraction(node))
        if isGone { closeLink(node, to: subject) }
        perform(node)
        // A loss counts now.
        if isGone, pace.isFullMesh {
            publish(node)
            node.hasLost = true
        }
    }

    // MARK: Joining

    private static let seeds = 3
    func isSeed(_ index: Int) -> Bool { index < Self.seeds }
    func seeds(for node: Node) -> [Node] { nodes.prefix(Self.seeds).filter { $0 !== node } }

    func join(_ node: Node) {
        node.joins += 1
        let seeds = seeds(for: node).map(\.gossipAddress)
        build(node)
        let known = node.view.nodes.lazy.filter { $0.info.name != node.name }.map { SocketAddress($0.info.tunnel.ip, port: Ports.gossip) }
        var addresses = seeds
        for address in known.prefix(8) where !seeds.contains(address) { addresses.append(address) }
        step(node, .join(JoinID(number: node.joins), addresses))
    }

    func rejoin(_ node: Node) {
        push(.seconds(30), node.index, life: node.lives, .rejoin)
        if Self.ask(&node.core, { $0.liveCount <= 1 && !$0.isLeaving }) { join(node) }
    }
}

extension MemberState {
    var liveness: Liveness {
        switch self {
        case .alive: .alive
        case .suspect: .suspect
        case .dead: .dead
        case .left: .left
        }
    }
}
