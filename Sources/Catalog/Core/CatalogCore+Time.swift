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
        if index.nodes[node] != nil { viewChanged() }
    }

    /// Runs what is due. Call it about once a second.
    package mutating func tick(_ now: MonotonicTime) {
        own?.expireTombstones(now)
        for (origin, request) in requests where request.deadline <= now { requests[origin] = nil }
        for (key, refused) in refusedHeads where refused.expires <= now { refusedHeads[key] = nil }
        for (origin, gone) in forgotten where gone.expires <= now { forgotten[origin] = nil }
        for place in logs.indices where !logs.values[place].tombstones.isEmpty { logs.values[place].expireTombstones(now) }
        // Of those that membership vouches for, time changes nothing.
        let doubtful = standings.filter { isGone($0.value.liveness) && logs[$0.key] != nil }.keys.sorted()
        for origin in doubtful {
            updateReach(origin, now)
            guard let standing = standings[origin], peers[origin] == nil, now - standing.since >= limits.grace else { continue }
            drop(origin, after: now - standing.since, now)
        }
        for (name, standing) in standings
        where logs[name] == nil && peers[name] == nil && isGone(standing.liveness) && now - standing.since >= limits.grace {
            standings[name] = nil
        }
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
        positions[origin] = nil
        forgotten[origin] = Forgotten(position: log.position, expires: now + limits.forgottenLife)
        index.remove(origin)
        rates[origin] = nil
        standings[origin] = nil
        counters.originsDropped += 1
        effects.append(.event(.nodeDropped(origin, after: after)))
        effects.append(.saveRemote)
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
        let reach = CatalogIndex.Reach(reachable: reachable, stale: standing.stale)
        guard reach != standing.reach else { return }
        standing.reach = reach
        standings[origin] = standing
        index.touch(origin)
        viewChanged()
    }
}
