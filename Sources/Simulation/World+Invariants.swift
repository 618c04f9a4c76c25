import Catalog
import MeshModel
import Platform
import SWIM

// What must always hold: of the node that moved after each step, of many nodes and of the whole each second.
extension World {
    func fail(_ invariant: Invariant, _ node: Node, _ finding: @autoclosure () -> String, _ event: @autoclosure () -> String) {
        guard violation == nil else { return }
        violation = Violation(invariant: invariant, time: now, node: node.name, finding: finding(), event: event())
    }

    // MARK: After each step

    func checkStep(_ node: Node, _ event: SWIMEvent, incarnation before: UInt32) {
        guard let own = Self.ask(&node.core, { $0.own }) else {
            return fail(.livesInItsOwnView, node, "it does not know itself", Self.words(event))
        }
        if own.state != .alive, !Self.ask(&node.core, { $0.isLeaving }) {
            fail(.livesInItsOwnView, node, "it holds itself \(own.state.liveness)", Self.words(event))
        }
        if node.hasLost {
            node.hasLost = false
            checkRouting(node, Self.words(event))
        }
        if own.incarnation == before { return }
        if own.incarnation < before {
            fail(.incarnationsOnlyGrow, node, "its incarnation fell from \(before) to \(own.incarnation)", Self.words(event))
        }
        switch event {
        case .start: break
        case .setMeta:
            if own.incarnation != before + 1 { fail(.incarnationsOnlyGrow, node, "new tags took it from \(before) to \(own.incarnation)", Self.words(event)) }
        case .datagram, .request, .answer, .dialFailed, .streamRefused, .timer, .join, .leave, .setCipher, .check, .overrun:
            figures.refutations += 1
            let accusedAt = max(node.accused, node.announcedBefore)
            if before > accusedAt {
                fail(.refutesOnlyAccusations, node, "it refutes at incarnation \(before), and was never accused above \(accusedAt)", Self.words(event))
            } else if own.incarnation > accusedAt + 1 {
                fail(.refutesOnlyAccusations, node, "it goes from \(before) to \(own.incarnation) over an accusation of \(accusedAt)", Self.words(event))
            }
        }
        node.announced = max(node.announced, own.incarnation)
    }

    func checkCatalogStep(_ node: Node, _ message: CatalogMessage, from peer: Int) {
        guard case .delta(let deltas) = message else { return }
        for delta in deltas { checkPosition(node, Node.index(delta.origin), "a delta of \(nodes[peer].name)") }
    }

    private func checkPosition(_ node: Node, _ origin: Int, _ event: @autoclosure () -> String) {
        let owner = nodes[origin]
        let known = Self.position(of: owner.name, &node.catalog)
        if known < node.seen[origin] {
            fail(.positionsOnlyGrow, node, "it goes back on \(owner.name) from \(node.seen[origin]) to \(known)", event())
        }
        node.seen[origin] = known
        if known > owner.signed { owner.signed = max(owner.signed, Self.position(of: owner.name, &owner.catalog)) }
        if known > owner.signed { fail(.nothingIsInvented, node, "it knows \(owner.name) up to \(known), which only got to \(owner.signed)", event()) }
    }

    // MARK: Each second

    func checkSecond() {
        for _ in 0..<min(pace.checks, count) {
            nextToCheck = (nextToCheck + 1) % count
            if nodes[nextToCheck].isRunning { check(nodes[nextToCheck]) }
            if violation != nil { return }
        }
        let node = nodes[nextToCheck]
        // Of those, for each node some timers about each other one: a suspicion's is set again with each confirmation, and what was set before stays till it is due.
        if queue.count > count * (1000 + 5 * count) + 10_000 { fail(.nothingGrowsWithoutBound, node, "\(queue.count) events wait", "a second") }
        if callers.count > 20 * count + 100 { fail(.nothingGrowsWithoutBound, node, "\(callers.count) questions wait for an answer", "a second") }
        if streams.count > count * count + 100 { fail(.nothingGrowsWithoutBound, node, "there are \(streams.count) streams", "a second") }
    }

    private func check(_ node: Node) {
        let event = "a second"
        // What it has collected counts now: in a big world something is always collected.
        if node.isPublishArmed, !pace.isFullMesh { publish(node) }
        build(node)
        let core = node.core
        var live = 0
        var states = [MemberState?](repeating: nil, count: count)
        let members = core.members
        for member in members {
            let subject = Node.index(member.name)
            states[subject] = member.state
            if member.state == .alive || member.state == .suspect { live += 1 }
            if member.incarnation > nodes[subject].announced {
                fail(.nothingIsInvented, node, "it holds \(member.name) at incarnation \(member.incarnation), which only got to \(nodes[subject].announced)", event)
            }
        }
        if live != core.liveCount { fail(.livesInItsOwnView, node, "it counts \(core.liveCount) live members of \(live)", event) }
        if members.count > count { fail(.nothingIsInvented, node, "it has \(members.count) members of \(count)", event) }
        if core.queuedBroadcasts > 3 * count + 10 { fail(.nothingGrowsWithoutBound, node, "\(core.queuedBroadcasts) broadcasts wait", event) }
        // When nothing goes wrong a question ends within seconds; what stays was forgotten.
        let isCalm = calmSince.map { now - $0 > Self.longestQuestion && now - node.upSince > Self.longestQuestion } == true
        if core.unfinished > (isCalm ? 20 : 100 + count) { fail(.nothingGrowsWithoutBound, node, "\(core.unfinished) of its questions are open", event) }
        if core.awareness > 7 { fail(.nothingGrowsWithoutBound, node, "its awareness is \(core.awareness)", event) }
        if node.timers.count > 60 + 3 * count { fail(.nothingGrowsWithoutBound, node, "it has \(node.timers.count) timers", event) }
        let entries = Self.ask(&node.catalog, { $0.tableEntries })
        if entries > 6 * count + 100 {
            fail(.nothingGrowsWithoutBound, node, "its catalog's tables have \(entries) entries", event)
        }
        // A node that moved is two nodes to the others for a while; pings for who had an address before are refused.
        if let bad = core.counters.refused.first(where: { $0.count > 0 && $0.reason != .notForUs && $0.reason != .nameConflict }) {
            fail(.honestNodesAreNotRefused, node, "membership refused \(bad.count) times: \(bad.reason.explanation)", event)
        }
        for origin in 0..<count { checkPosition(node, origin, event) }
        checkRouting(node, states, event)
    }

    /// A stream's timeout, and some time for late ones.
    static let longestQuestion = Duration.seconds(15)

    func checkRouting(_ node: Node, _ event: @autoclosure () -> String) {
        var states = [MemberState?](repeating: nil, count: count)
        for member in Self.ask(&node.core, { $0.members }) { states[Node.index(member.name)] = member.state }
        checkRouting(node, states, event())
    }

    private func checkRouting(_ node: Node, _ states: [MemberState?], _ event: @autoclosure () -> String) {
        guard !node.isPublishArmed else { return }
        let limit = deathBound
        let mayJudge = calmSince.map { now - $0 > limit } == true && now - node.upSince > limit
        for service in node.view.services {
            for endpoint in service.endpoints where endpoint.reachable {
                let owner = Node.index(endpoint.endpoint.node)
                if owner == node.index { continue }
                if let state = states[owner], state == .dead || state == .left {
                    return fail(
                        .theDeadGetNoTraffic, node, "it holds n\(owner) \(state.liveness) and gives \(endpoint.endpoint.address) traffic", event())
                }
                if mayJudge, let since = nodes[owner].downSince, now - since > limit {
                    return fail(
                        .theDeadGetNoTraffic, node, "n\(owner) is down for \((now - since).inSeconds) s and \(endpoint.endpoint.address) gets traffic", event())
                }
            }
        }
    }

    /// How long after a death nobody gives it traffic any more, on a calm network: the longest suspicion, the time to find it and to tell, and what a
    /// restarted node waits for membership's word.
    var deathBound: Duration {
        let longest = 4.0 * 6.0 * max(1, Double(String(count).utf8.count))
        return .seconds(max(longest, 60)) + .seconds(30)
    }
}
