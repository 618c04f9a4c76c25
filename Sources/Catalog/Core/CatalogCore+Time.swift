import MeshModel
import Platform

/// Inputs from membership and the clock.
extension CatalogCore {
    /// Membership's word on a node. It decides on traffic at once; the records stay until the grace period is over.
    package mutating func liveness(_ node: String, _ liveness: Liveness, _ now: MonotonicTime) {
        guard node != self.node else { return }
        var standing = standings[node] ?? Standing(liveness: nil, since: now)
        guard standing.liveness != liveness else { return }
        standing.liveness = liveness
        standing.since = now
        if liveness == .alive {
            standing.stale = false
            forgotten[node] = nil
        }
        standings[node] = standing
        updateReach(node, now)
        if index.nodes[node] != nil { viewImproved() }
    }

    /// Runs what is due. Call it about once a second.
    package mutating func tick(_ now: MonotonicTime) {
        own?.expireTombstones(now)
        for (origin, request) in requests where isOverdue(request, now) {
            requests[origin] = nil
            peers[request.peer]?.owes = true
        }
        for (key, refused) in refusedHeads where refused.expires <= now { refusedHeads[key] = nil }
        for (origin, gone) in forgotten where gone.expires <= now { forgotten[origin] = nil }
        for origin in withTombstones {
            logs[origin]?.expireTombstones(now)
            if logs[origin]?.tombstones.isEmpty != false { withTombstones.remove(origin) }
        }
        // Of those that membership vouches for, time changes nothing.
        var doubtful: [String] = []
        for (name, standing) in standings where isGone(standing.liveness) { doubtful.append(name) }
        for origin in doubtful.sorted() where logs[origin] != nil {
            updateReach(origin, now)
            guard let standing = standings[origin], peers[origin] == nil, now - standing.since >= limits.grace else { continue }
            drop(origin, after: now - standing.since, now)
        }
        for name in doubtful where logs[name] == nil && peers[name] == nil {
            if let standing = standings[name], now - standing.since >= limits.grace { standings[name] = nil }
        }
        compareNext(now)
        if isDirty { commit(now) }
    }

    // MARK: Private

    /// Neither membership nor a stream vouches for it.
    private func isGone(_ liveness: Liveness?) -> Bool {
        switch liveness {
        case .alive, .suspect: false
        case .dead, .left, nil: true
        }
    }

    private mutating func drop(_ origin: String, after: Duration, _ now: MonotonicTime) {
        guard let log = logs.removeValue(forKey: origin) else { return }
        withTombstones.remove(origin)
        positions[origin] = nil
        forgotten[origin] = Forgotten(position: log.position, expires: now + limits.forgottenLife)
        index.remove(origin)
        rates[origin] = nil
        standings[origin] = nil
        counters.originsDropped += 1
        effects.append(.event(.nodeDropped(origin, after: after)))
        effects.append(.save(origin))
        viewChanged()
    }

    mutating func updateReach(_ origin: String, _ now: MonotonicTime) {
        guard var standing = standings[origin] else { return }
        let reachable =
            switch standing.liveness {
            case .alive, .suspect: true
            case .dead, .left: false
            case nil: peers[origin] != nil || now - standing.since < limits.unconfirmed
            }
        let reach = Reach(reachable: reachable, stale: standing.stale)
        guard reach != standing.reach else { return }
        let isLost = standing.reach.reachable && !reach.reachable
        standing.reach = reach
        standings[origin] = standing
        index.touch(origin)
        if isLost { viewChanged() } else { viewImproved() }
    }
}
