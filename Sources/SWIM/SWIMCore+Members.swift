import Platform

// The rules of §10: what a claim about a member does.
extension SWIMCore {
    /// Where a claim comes from.
    enum Origin: Hashable {
        case gossip
        case exchange

        func cause() -> MemberEvent.Cause { self == .gossip ? .gossip : .exchange }
    }

    // MARK: Alive

    mutating func alive(_ alive: Alive, _ origin: Origin, from source: SocketAddress, _ turn: inout Turn) {
        if alive.node == name { return aliveAboutOurselves(alive, from: source, &turn) }
        guard let slot = roster.slot(of: alive.node) else { return insert(alive, origin, from: source, &turn) }
        let known = roster.brief(slot)
        if known.address == alive.address, alive.incarnation <= known.incarnation {
            if origin == .gossip, alive.incarnation == known.incarnation { broadcasts.heard(alive.incarnation, about: slot, limit: transmitLimit) }
            return
        }
        let record = roster[slot]
        let mayTakeOver = known.address != alive.address
        guard !mayTakeOver || isVacant(record.member, turn.now) else { return contest(slot, alive, origin, source, &turn) }
        // A name takes as much room as it ever did; only its metadata may have grown.
        guard alive.meta.count <= record.member.meta.count || roster.bytes + alive.meta.count - record.member.meta.count <= SWIMLimits.rosterBytes else {
            return refuse(.full, from: source, &turn)
        }
        if record.suspicion != nil { turn.cancel(.suspicion(alive.node)) }
        broadcast(.alive(alive), about: slot, &turn)
        memory.forget(alive.node)
        let member = Member(
            name: alive.node, address: alive.address, state: .alive, incarnation: alive.incarnation, meta: alive.meta, versions: alive.versions,
            since: record.member.state == .alive ? record.member.since : turn.now)
        roster[slot] = Record(member: member, claim: mayTakeOver ? nil : record.claim)
        // A new word of its own.
        if record.claim != nil, !mayTakeOver { memberAnswered(alive.node, &turn) }
        let isChanged = record.member.meta != member.meta || record.member.address != member.address
        switch record.member.state {
        case .dead, .left: tell(.joined, member, by: alive.node, origin.cause(), &turn)
        case .suspect:
            tell(.recovered, member, by: alive.node, origin.cause(), &turn)
            if isChanged { tell(.updated, member, by: alive.node, origin.cause(), &turn) }
        case .alive: if isChanged { tell(.updated, member, by: alive.node, origin.cause(), &turn) }
        }
    }

    /// A name whose owner has left, or has been dead for long enough, may come back at another address.
    func isVacant(_ member: Member, _ now: MonotonicTime) -> Bool {
        if member.state == .left { return true }
        guard member.state == .dead, let reclaim = timers.deadReclaim else { return false }
        return now - member.since >= reclaim
    }

    private mutating func insert(_ alive: Alive, _ origin: Origin, from source: SocketAddress, _ turn: inout Turn) {
        guard alive.incarnation > 0 else { return refuse(.malformed, from: source, &turn) }
        guard roster.count < SWIMLimits.members, roster.bytes + Roster.cost(name: alive.node, meta: alive.meta) <= SWIMLimits.rosterBytes else {
            return refuse(.full, from: source, &turn)
        }
        let member = Member(
            name: alive.node, address: alive.address, state: .alive, incarnation: alive.incarnation, meta: alive.meta, versions: alive.versions,
            since: turn.now)
        let slot = roster.insert(member, &turn.random)
        memory.forget(alive.node)
        learned += 1
        // What the other side of an exchange knows of third members its own neighbours know too: a few copies find those who don't. Otherwise every newcomer
        // would tell the whole pool about the whole pool.
        broadcast(.alive(alive), about: slot, isSpread: origin == .exchange && alive.address != source, &turn)
        tell(.joined, member, by: alive.node, origin.cause(), &turn)
    }

    private mutating func aliveAboutOurselves(_ alive: Alive, from source: SocketAddress, _ turn: inout Turn) {
        guard leaving == nil, let slot = roster.slot(of: name) else { return }
        let own = roster[slot].member
        if alive.address != own.address { return contest(slot, alive, .exchange, source, &turn) }
        if alive.incarnation < own.incarnation { return }
        if alive.incarnation == own.incarnation && alive.meta == own.meta && alive.versions == own.versions { return }
        refute(alive.incarnation, to: source, &turn)
    }

    // MARK: Suspect

    mutating func suspect(_ accusation: Accusation, _ origin: Origin, from source: SocketAddress, helpers: Int? = nil, _ turn: inout Turn) {
        guard let slot = roster.slot(of: accusation.node) else { return }
        let known = roster.brief(slot)
        guard accusation.incarnation >= known.incarnation, known.state.isLive else { return }
        if known.state == .suspect {
            // Most of what comes is no news: the suspicion is copied for what is.
            guard roster.isNews(accusation, about: slot), var suspicion = roster[slot].suspicion else { return }
            let isWitness = accusation.sawRefusal && suspicion.witness(accusation.from)
            suspicion.confirm(by: accusation.from)
            roster[slot].suspicion = suspicion
            tell(.confirmed, roster[slot].member, by: accusation.from, cause(of: accusation, origin, helpers), &turn)
            if suspicion.isProven { return buryProven(slot, suspicion, &turn) }
            turn.set(.suspicion(accusation.node), at: suspicion.deadline)
            broadcast(.suspect(accusation), about: slot, &turn)
            if isWitness, accusation.from != name { secondLook(accusation.node, &turn) }
            return
        }
        if accusation.node == name {
            // A node that leaves does not argue.
            if leaving == nil { refute(accusation.incarnation, to: source, &turn) }
            return
        }
        counters.suspicions &+= 1
        broadcast(.suspect(accusation), about: slot, &turn)
        // The living only, unlike memberlist: the dead and the gone that are still listed will confirm nothing.
        var suspicion = Suspicion(by: accusation.from, members: roster.live, timers: timers, now: turn.now)
        if accusation.sawRefusal { _ = suspicion.witness(accusation.from) }
        var record = roster[slot]
        record.member.state = .suspect
        record.member.incarnation = accusation.incarnation
        record.member.since = turn.now
        record.suspicion = suspicion
        roster[slot] = record
        turn.set(.suspicion(accusation.node), at: suspicion.deadline)
        tell(.suspected, record.member, by: accusation.from, cause(of: accusation, origin, helpers), &turn)
        if accusation.sawRefusal, accusation.from != name { secondLook(accusation.node, &turn) }
    }

    private func cause(of accusation: Accusation, _ origin: Origin, _ helpers: Int?) -> MemberEvent.Cause {
        if accusation.sawRefusal { return .refused(seenBy: [accusation.from]) }
        return helpers.map { .unanswered(helpers: $0) } ?? origin.cause()
    }

    /// One member found nobody listening. A few of all who hear of it look too, and decide within a moment what else takes a suspicion's whole time.
    private mutating func secondLook(_ suspect: String, _ turn: inout Turn) {
        if Int.random(in: 0..<max(1, roster.live), using: &turn.random) < timers.indirectChecks { check(suspect, &turn) }
    }

    private mutating func buryProven(_ slot: Int, _ suspicion: Suspicion, _ turn: inout Turn) {
        let member = roster[slot].member
        bury(slot, Accusation(incarnation: member.incarnation, node: member.name, from: name), .refused(seenBy: suspicion.witnesses), &turn)
    }

    mutating func suspicionExpired(_ name: String, _ turn: inout Turn) {
        guard let slot = roster.slot(of: name), var suspicion = roster[slot].suspicion else { return }
        guard turn.now >= suspicion.deadline else { return turn.set(.suspicion(name), at: suspicion.deadline) }
        // When we have been late ourselves, the refutation may wait in the socket, or be lost: hear more first.
        wasLate(turn.now - suspicion.deadline, turn.now)
        if hasLagged(within: timers.probeInterval * 2, turn.now), suspicion.postpone(by: timers.probeInterval * 2 + timers.gossipInterval, now: turn.now) {
            roster[slot].suspicion = suspicion
            return turn.set(.suspicion(name), at: suspicion.deadline)
        }
        let accusation = Accusation(incarnation: roster[slot].member.incarnation, node: name, from: self.name)
        bury(slot, accusation, .suspicionExpired(confirmedBy: suspicion.suspecters), &turn)
    }

    // MARK: Dead

    mutating func dead(_ accusation: Accusation, _ origin: Origin, from source: SocketAddress, _ turn: inout Turn) {
        guard let slot = roster.slot(of: accusation.node) else { return }
        let known = roster.brief(slot)
        guard accusation.incarnation >= known.incarnation, known.state.isLive else { return }
        if accusation.node == name {
            if leaving == nil { refute(accusation.incarnation, to: source, &turn) }
            return
        }
        bury(slot, accusation, origin.cause(), &turn)
    }

    /// Dead, or gone when it says so itself.
    private mutating func bury(_ slot: Int, _ accusation: Accusation, _ cause: MemberEvent.Cause, _ turn: inout Turn) {
        var record = roster[slot]
        let hasLeft = accusation.from == accusation.node
        if record.suspicion != nil { turn.cancel(.suspicion(accusation.node)) }
        if !hasLeft { counters.deaths &+= 1 }
        broadcast(.dead(accusation), about: slot, &turn)
        record.suspicion = nil
        record.member.state = hasLeft ? .left : .dead
        record.member.incarnation = accusation.incarnation
        record.member.since = turn.now
        roster[slot] = record
        tell(hasLeft ? .left : .died, record.member, by: accusation.from, cause, &turn)
        if record.claim != nil { awaitVacancy(slot, &turn) }
    }

    /// The dead and the gone are listed for a while and then forgotten; the dead can still be called again.
    mutating func reap(_ turn: inout Turn) {
        for slot in roster.gone(for: timers.gossipToTheDead, turn.now) where slot != ownSlot {
            let member = roster[slot].member
            if member.state == .dead { memory.remember(member) }
            broadcasts.forget(slot)
            roster.remove(slot)
            serf.forget(member.name)
            tell(.forgotten, member, by: name, .expired, &turn)
        }
    }

    // MARK: Ourselves

    /// Says that we live, above what was claimed; also straight to who told us, who may hold us dead and gossip to us no more.
    /// Our own address as `source` stands for nobody.
    private mutating func refute(_ accused: UInt32, to source: SocketAddress, _ turn: inout Turn) {
        guard let slot = roster.slot(of: name) else { return }
        counters.refutations &+= 1
        health.add(1)
        roster[slot].member.incarnation = max(roster[slot].member.incarnation, accused) + 1
        broadcast(roster[slot].member.alive, about: slot, &turn)
        if source != configuration.address { transmit(roster[slot].member.alive, withNews: false, to: source, &turn) }
    }

    mutating func setMeta(_ meta: [UInt8], _ turn: inout Turn) {
        guard meta.count <= SWIMLimits.metaBytes else {
            return turn.log(.warning, "metadata of \(meta.count) bytes was not announced: the bound is \(SWIMLimits.metaBytes)")
        }
        guard let slot = roster.slot(of: name), leaving == nil, roster[slot].member.meta != meta else { return }
        roster[slot].member.meta = meta
        roster[slot].member.incarnation += 1
        broadcast(roster[slot].member.alive, about: slot, &turn)
    }

    func tell(_ kind: MemberEvent.Kind, _ member: Member, by: String, _ cause: MemberEvent.Cause, _ turn: inout Turn) {
        turn.effects.append(.member(MemberEvent(kind: kind, member: member, by: by, cause: cause)))
    }
}
