import Platform

/// Another address that claims the name of a member: its owner come back elsewhere, somebody's old news, or a second node of the name.
struct Claim: Hashable, Sendable {
    /// As it was heard last, when, and from where.
    var alive: Alive
    var origin: SWIMCore.Origin
    var source: SocketAddress
    var heard: MonotonicTime
    /// When both were asked last, and who has answered since.
    var asked: MonotonicTime?
    var hasMemberAnswered = false
    var hasClaimantAnswered = false
    /// When this was last told of as two nodes of one name.
    var told: MonotonicTime?
}

/// Two addresses for one name. Which it is shows at once: both are asked. When both answer, they are two nodes and it is told; the member stays. When the member does
/// not, it dies of the check like any other, and the claim takes its place after `deadReclaim`. When only the member does, the claim was old news.
extension SWIMCore {
    /// Two nodes of one name, as far as they were told of lately.
    package struct Contest: Hashable, Sendable {
        package var name: String
        package var address: SocketAddress
        package var claimant: SocketAddress
    }

    /// How long a claim that is not heard again counts: the suspicion of a member takes less, in any pool.
    private static var claimLife: Duration { .seconds(120) }
    /// How often both are asked while the claim comes again.
    private static var askInterval: Duration { .seconds(10) }
    /// How often the same two are told of.
    private static var tellInterval: Duration { .seconds(60) }

    package func contests(_ now: MonotonicTime) -> [Contest] {
        var found: [Contest] = []
        roster.forEach { slot, brief in
            guard let claim = roster[slot].claim, let told = claim.told, now - told < Self.tellInterval * 3 else { return }
            found.append(Contest(name: roster[slot].member.name, address: brief.address, claimant: claim.alive.address))
        }
        return found.sorted { $0.name < $1.name }
    }

    mutating func contest(_ slot: Int, _ alive: Alive, _ origin: Origin, _ source: SocketAddress, _ turn: inout Turn) {
        refuse(.nameConflict, from: source, &turn)
        var claim = Claim(alive: alive, origin: origin, source: source, heard: turn.now)
        if let old = roster[slot].claim, turn.now - old.heard < Self.claimLife {
            // One claimant at a time.
            guard old.alive.address == alive.address else { return }
            claim = old
            if alive.incarnation >= old.alive.incarnation { claim.alive = alive }
            claim.heard = turn.now
        }
        let isDue = claim.asked.map { turn.now - $0 >= Self.askInterval } ?? true
        roster[slot].claim = claim
        guard roster[slot].member.state.isLive else { return awaitVacancy(slot, &turn) }
        if isDue { askBoth(slot, &turn) }
    }

    private mutating func askBoth(_ slot: Int, _ turn: inout Turn) {
        let member = roster[slot].member
        guard let claim = roster[slot].claim, claimants.count < SWIMLimits.checks else { return }
        roster[slot].claim?.asked = turn.now
        let isOurs = member.name == name
        roster[slot].claim?.hasMemberAnswered = isOurs
        roster[slot].claim?.hasClaimantAnswered = false
        check(member.name, &turn)
        let sequence = nextSequence()
        claimants[sequence] = member.name
        turn.set(.claimant(sequence), at: turn.now + timers.probeTimeout)
        transmit(.ping(Ping(sequence: sequence, node: member.name, sender: sender)), withNews: false, to: claim.alive.address, &turn)
    }

    mutating func memberAnswered(_ name: String, _ turn: inout Turn) {
        guard let slot = roster.slot(of: name), roster.hasClaim(slot) else { return }
        roster[slot].claim?.hasMemberAnswered = true
        tellIfBothAnswered(slot, &turn)
    }

    mutating func claimantAnswered(_ name: String, _ turn: inout Turn) {
        guard let slot = roster.slot(of: name), roster.hasClaim(slot) else { return }
        roster[slot].claim?.hasClaimantAnswered = true
        tellIfBothAnswered(slot, &turn)
    }

    private mutating func tellIfBothAnswered(_ slot: Int, _ turn: inout Turn) {
        guard let claim = roster[slot].claim, claim.hasMemberAnswered, claim.hasClaimantAnswered else { return }
        // An answer counts once: the claimant may be gone when the member answers its next probe.
        roster[slot].claim?.hasClaimantAnswered = false
        if let told = claim.told, turn.now - told < Self.tellInterval { return }
        roster[slot].claim?.told = turn.now
        counters.contests &+= 1
        let member = roster[slot].member
        tell(.contested, member, by: name, .claimed(by: claim.alive.address), &turn)
        // The two never hear of each other otherwise: each knows the name as its own.
        if member.name != name {
            transmit(.alive(claim.alive), withNews: false, to: member.address, &turn)
            transmit(member.alive, withNews: false, to: claim.alive.address, &turn)
        }
    }

    mutating func claimantSilent(_ sequence: UInt32, _ turn: inout Turn) {
        guard let claimed = claimants.removeValue(forKey: sequence), claimed == name, leaving == nil, let slot = roster.slot(of: name),
            let claim = roster[slot].claim
        else { return }
        // Our own name at an address where nobody has it: we lived there before. Above what was said of that life, we are heard.
        roster[slot].claim = nil
        guard claim.alive.incarnation >= roster[slot].member.incarnation else { return }
        roster[slot].member.incarnation = claim.alive.incarnation + 1
        broadcast(roster[slot].member.alive, about: slot, &turn)
    }

    /// The member is dead: its name is free after `deadReclaim`, or at once when it has left.
    mutating func awaitVacancy(_ slot: Int, _ turn: inout Turn) {
        let member = roster[slot].member
        if isVacant(member, turn.now) { return claimDue(member.name, &turn) }
        guard member.state == .dead, let reclaim = timers.deadReclaim else { return }
        turn.set(.claim(member.name), at: member.since + reclaim)
    }

    mutating func claimDue(_ name: String, _ turn: inout Turn) {
        guard let slot = roster.slot(of: name), let claim = roster[slot].claim, isVacant(roster[slot].member, turn.now) else { return }
        guard turn.now - claim.heard < Self.claimLife else { return }
        alive(claim.alive, claim.origin, from: claim.source, &turn)
    }
}
