import Platform

/// A call of join whose streams are not all done.
struct PendingJoin: Sendable {
    var open: Int
    var contacted = 0
    var failures: [JoinFailure] = []
}

/// A leave goes on step by step, each bounded by `leaveTimeout`.
enum LeavePhase: Hashable, Sendable {
    /// Serf's intent spreads, so that its agents show "left" and not "failed".
    case announcing
    /// The `dead` about ourselves spreads.
    case departing
    /// Nobody should miss our answers while the last hear of it.
    case lingering
    case gone
}

// Coming, going, and finding each other again.
extension SWIMCore {
    // MARK: Join

    mutating func join(_ id: JoinID, _ addresses: [SocketAddress], _ turn: inout Turn) {
        let wanted = addresses.filter { $0 != configuration.address }
        var pending = PendingJoin(open: 0)
        joins[id] = pending
        for (number, address) in wanted.enumerated() {
            memory.addSeed(address)
            guard number < SWIMLimits.joinAddresses, Wire.isReachable(address),
                dial(.join(id, address), address, .pushPull(ownState(isJoin: true)), timers.streamTimeout, &turn) != nil
            else {
                pending.failures.append(JoinFailure(address: address, failure: Wire.isReachable(address) ? .busy : .unreachable))
                continue
            }
            pending.open += 1
        }
        joins[id] = pending
        finishIfDone(id, &turn)
    }

    mutating func joinEnded(_ id: JoinID, _ address: SocketAddress, _ failure: DialFailure?, _ turn: inout Turn) {
        guard joins[id] != nil else { return }
        joins[id]?.open -= 1
        if let failure {
            joins[id]?.failures.append(JoinFailure(address: address, failure: failure))
        } else {
            joins[id]?.contacted += 1
            seed = address
        }
        finishIfDone(id, &turn)
    }

    private mutating func finishIfDone(_ id: JoinID, _ turn: inout Turn) {
        guard let pending = joins[id], pending.open == 0 else { return }
        joins[id] = nil
        if pending.contacted > 0 {
            if isSerf { broadcastUser(serf.intent(leave: false, own: name), isOwnIntent: true, &turn) }
            catchUps = Self.mostCatchUps
            turn.set(.pushPull, at: nextCatchUp(&turn))
        }
        turn.effects.append(.joinFinished(id, contacted: pending.contacted, failures: pending.failures))
    }

    // MARK: Leave

    mutating func leave(_ turn: inout Turn) {
        guard leaving == nil else { return }
        leaving = .announcing
        guard isSerf, roster.live > 1 else { return depart(&turn) }
        broadcastUser(serf.intent(leave: true, own: name), isOwnIntent: true, &turn)
        scheduleLeave(&turn)
    }

    private mutating func depart(_ turn: inout Turn) {
        leaving = .departing
        guard let slot = roster.slot(of: name) else { return finishLeave(&turn) }
        let alone = roster.live <= 1
        let accusation = Accusation(incarnation: roster[slot].member.incarnation, node: name, from: name)
        roster[slot].member.state = .left
        roster[slot].member.since = turn.now
        if alone { return finishLeave(&turn) }
        broadcast(.dead(accusation), about: slot, &turn)
        scheduleLeave(&turn)
    }

    /// Looks again when the news may have gone out, at the latest after `leaveTimeout`.
    private func scheduleLeave(_ turn: inout Turn) {
        let rounds = max(1, timers.retransmitMultiplier * decimalDigitsUp(roster.count) / max(1, timers.gossipNodes)) + 2
        turn.set(.leave, at: turn.now + min(timers.leaveTimeout, timers.gossipInterval * rounds))
    }

    mutating func advanceLeave(_ turn: inout Turn) {
        switch leaving {
        case .announcing: depart(&turn)
        case .departing:
            leaving = .lingering
            turn.set(.leave, at: turn.now + timers.leaveTimeout)
        case .lingering: finishLeave(&turn)
        case .gone, nil: break
        }
    }

    private mutating func finishLeave(_ turn: inout Turn) {
        leaving = .gone
        for timer in [SWIMTimer.probe, .gossip, .pushPull, .reconnect] { turn.cancel(timer) }
        turn.effects.append(.leaveFinished)
    }

    // MARK: Finding each other again

    /// Now and then one of the dead, or a seed that nobody in the pool has, is called as in a join: that heals a split of any length.
    mutating func reconnect(_ turn: inout Turn) {
        turn.set(
            .reconnect,
            at: turn.now + timers.reconnectInterval.scaled(by: 0.75) + turn.random.duration(below: timers.reconnectInterval.scaled(by: 0.5)))
        guard leaving == nil else { return }
        reap(&turn)
        if turn.now.nanoseconds > UInt64(max(0, timers.reconnectTimeout.nanoseconds)) {
            memory.expire(before: MonotonicTime(nanoseconds: turn.now.nanoseconds - UInt64(timers.reconnectTimeout.nanoseconds)))
        }
        var dead: [SocketAddress] = []
        roster.forEach { _, known in if known.state == .dead { dead.append(known.address) } }
        let candidates = notTaken(dead + memory.departed.map(\.address) + memory.seeds)
        guard let address = candidates.randomElement(using: &turn.random) else { return }
        // Seldom when few are lost and many are left: each of those may do it.
        guard Int.random(in: 0..<max(1, roster.live), using: &turn.random) < candidates.count else { return }
        dial(.exchange(address), address, .pushPull(ownState(isJoin: true)), timers.streamTimeout, &turn)
    }

    /// Without the addresses of members that live or have left. There are mostly a few seeds to look at, for which no table of all members is worth it.
    private func notTaken(_ addresses: [SocketAddress]) -> [SocketAddress] {
        guard !addresses.isEmpty else { return [] }
        var left = addresses
        if addresses.count <= 16 {
            roster.forEach { _, known in if known.state != .dead { left.removeAll { $0 == known.address } } }
        } else {
            var taken = Set<SocketAddress>(minimumCapacity: roster.count)
            roster.forEach { _, known in if known.state != .dead { taken.insert(known.address) } }
            left.removeAll { taken.contains($0) }
        }
        return left
    }
}
