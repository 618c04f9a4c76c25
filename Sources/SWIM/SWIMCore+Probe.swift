import Platform

/// One probe of one member (§12).
struct ProbeRound: Sendable {
    let sequence: UInt32
    let target: String
    let incarnation: UInt32
    let start: MonotonicTime
    let timeout: MonotonicTime
    var deadline: MonotonicTime
    var helpers = 0
    /// Helpers that will say no.
    var nacksExpected = 0
    var nacks = 0
    var dial: DialID?
    var hasStreamAnswered = false
    /// The host is there, and nobody listens.
    var isRefused = false
}

/// A failed round whose nacks may still be on their way.
struct Unsettled: Sendable {
    let expected: Int
    var nacks: Int
}

/// A ping that we send for somebody else.
struct Relay: Sendable {
    let requester: SocketAddress
    let sequence: UInt32
    let wantsNack: Bool
}

extension SWIMCore {
    /// Ourselves, in what is to be answered.
    var sender: Sender { Sender(address: configuration.address, name: name) }

    // MARK: Our own probes

    /// At each tick: one member in its turn. A round that takes longer than a tick delays the next.
    mutating func probeNext(_ turn: inout Turn) {
        guard probe == nil else { return }
        reap(&turn)
        guard leaving == nil, let slot = roster.nextToProbe(except: ownSlot, &turn.random) else {
            return turn.set(.probe, at: turn.now + timers.probeInterval)
        }
        let target = roster[slot].member
        let sequence = nextSequence()
        counters.probes &+= 1
        probe = sequence
        begin(sequence, target, &turn)
    }

    /// A probe out of turn, over UDP and TCP at once; at most one in each interval.
    mutating func check(_ name: String, _ turn: inout Turn) {
        guard !hasLagged(within: timers.probeInterval, turn.now), leaving == nil, name != self.name, let slot = roster.slot(of: name), roster[slot].member.state.isLive else { return }
        if let last = roster[slot].checked, turn.now - last < timers.probeInterval { return }
        guard probes.count - (probe == nil ? 0 : 1) < SWIMLimits.checks else { return }
        roster[slot].checked = turn.now
        counters.checks &+= 1
        let (sequence, target) = (nextSequence(), roster[slot].member)
        begin(sequence, target, &turn)
        dialPing(sequence, target, &turn)
    }

    private mutating func begin(_ sequence: UInt32, _ target: Member, _ turn: inout Turn) {
        let round = ProbeRound(
            sequence: sequence, target: target.name, incarnation: target.incarnation, start: turn.now, timeout: turn.now + timers.probeTimeout,
            deadline: turn.now + health.scale(timers.probeInterval))
        probes[sequence] = round
        turn.set(.probeTimeout(sequence), at: round.timeout)
        turn.set(.probeDeadline(sequence), at: round.deadline)
        // The buddy system: a suspect learns of it with the ping, and can refute at once.
        let buddy: Message? = target.state == .suspect ? .suspect(Accusation(incarnation: target.incarnation, node: target.name, from: name)) : nil
        transmit(.ping(Ping(sequence: sequence, node: target.name, sender: sender)), also: buddy, to: target.address, &turn)
    }

    /// No direct answer: ask helpers, and try TCP.
    mutating func probeTimedOut(_ sequence: UInt32, _ turn: inout Turn) {
        guard var round = probes[sequence], let suspect = roster.slot(of: round.target) else { return }
        let target = roster[suspect].member
        wasLate(turn.now - round.timeout, turn.now)
        // It would be asked of others what we may have missed ourselves; and where many are late at once, that would make it worse.
        if hasLagged(since: round.start) { return }
        let me = ownSlot
        let helpers = roster.pick(timers.indirectChecks, &turn.random) { slot, known in known.state == .alive && slot != me && slot != suspect }
        for helper in helpers {
            let wantsNack = helper.versions.sendsNacks
            if wantsNack { round.nacksExpected += 1 }
            let ping = IndirectPing(
                sequence: sequence, target: target.address.ip, port: target.address.port, node: target.name, wantsNack: wantsNack, sender: sender)
            transmit(.indirectPing(ping), to: helper.address, &turn)
        }
        round.helpers = helpers.count
        probes[sequence] = round
        if round.dial == nil { dialPing(sequence, target, &turn) }
    }

    private mutating func dialPing(_ sequence: UInt32, _ target: Member, _ turn: inout Turn) {
        guard target.versions.answersStreamPings, let deadline = probes[sequence]?.deadline else { return }
        let ping = StreamMessage.ping(Ping(sequence: sequence, node: target.name, sender: sender))
        let dial = dial(.ping(sequence), target.address, ping, max(.milliseconds(1), deadline - turn.now), &turn)
        probes[sequence]?.dial = dial
    }

    /// Nobody listens at the target's address. An answer by UDP, if there is one, has come as fast as this: the round ends soon.
    mutating func streamRefused(_ sequence: UInt32, _ turn: inout Turn) {
        guard var round = probes[sequence] else { return }
        round.isRefused = true
        round.deadline = min(round.deadline, turn.now + timers.probeTimeout.scaled(by: 0.2))
        probes[sequence] = round
        turn.cancel(.probeTimeout(sequence))
        turn.set(.probeDeadline(sequence), at: round.deadline)
    }

    /// The end of a round that nobody answered by UDP.
    mutating func probeEnded(_ sequence: UInt32, _ turn: inout Turn) {
        guard let round = probes.removeValue(forKey: sequence) else { return }
        if probe == sequence {
            probe = nil
            turn.set(.probe, at: max(turn.now, round.start + timers.probeInterval))
        }
        if let dial = round.dial { hangUp(dial, &turn) }
        guard let target = roster[round.target]?.member, target.state.isLive else { return }
        wasLate(turn.now - round.deadline, turn.now)
        if hasLagged(since: round.start) {
            counters.probesDiscarded &+= 1
            return health.add(1)
        }
        if round.hasStreamAnswered {
            counters.probesByStreamOnly &+= 1
            memberAnswered(round.target, &turn)
            return health.add(-1)
        }
        counters.probesFailed &+= 1
        if round.isRefused {
            // The host itself said no: our own connection is well.
            health.add(-1)
        } else if round.nacksExpected > 0 {
            // The nacks of memberlist's helpers leave just when our round ends: wait for them before their lack counts against ourselves.
            unsettled[sequence] = Unsettled(expected: round.nacksExpected, nacks: round.nacks)
            turn.set(.probeSettled(sequence), at: turn.now + timers.probeTimeout.scaled(by: 0.5))
        } else {
            health.add(1)
        }
        suspect(
            Accusation(incarnation: target.incarnation, node: target.name, from: name, sawRefusal: round.isRefused), .gossip,
            from: configuration.address, helpers: round.helpers, &turn)
    }

    /// A helper that says nothing at all speaks against our own connection.
    mutating func settle(_ sequence: UInt32) {
        guard let round = unsettled.removeValue(forKey: sequence) else { return }
        health.add(max(0, round.expected - round.nacks))
    }

    mutating func acknowledged(_ sequence: UInt32, _ turn: inout Turn) {
        if let round = probes.removeValue(forKey: sequence) {
            health.add(-1)
            turn.cancel(.probeTimeout(sequence))
            turn.cancel(.probeDeadline(sequence))
            if let dial = round.dial { hangUp(dial, &turn) }
            memberAnswered(round.target, &turn)
            guard probe == sequence else { return }
            probe = nil
            turn.set(.probe, at: max(turn.now, round.start + timers.probeInterval))
        } else if let name = claimants.removeValue(forKey: sequence) {
            turn.cancel(.claimant(sequence))
            claimantAnswered(name, &turn)
        } else if let relay = relays.removeValue(forKey: sequence) {
            turn.cancel(.relayNack(sequence))
            turn.cancel(.relayEnd(sequence))
            transmit(.ack(Ack(sequence: relay.sequence, payload: nil)), withNews: false, to: relay.requester, &turn)
        }
    }

    mutating func nacked(_ sequence: UInt32) {
        if probes[sequence] != nil {
            probes[sequence]?.nacks += 1
        } else {
            unsettled[sequence]?.nacks += 1
        }
    }

    // MARK: Probes for others

    mutating func relay(_ ping: IndirectPing, from source: SocketAddress, _ turn: inout Turn) {
        let target = SocketAddress(ping.target, port: ping.port == 0 ? configuration.address.port : ping.port)
        guard Wire.isReachable(target) else { return refuse(.badAddress, from: source, &turn) }
        guard relays.count < SWIMLimits.relays else { return refuse(.full, from: source, &turn) }
        let sequence = nextSequence()
        counters.relayed &+= 1
        relays[sequence] = Relay(requester: replyAddress(ping.sender, source), sequence: ping.sequence, wantsNack: ping.wantsNack)
        // Four fifths of the timeout, so that the nack is there before the requester's round ends (Lifeguard; memberlist waits the whole).
        turn.set(.relayNack(sequence), at: turn.now + timers.probeTimeout.scaled(by: 0.8))
        turn.set(.relayEnd(sequence), at: turn.now + timers.probeTimeout)
        // Target and requester may be strangers: no news for them.
        transmit(.ping(Ping(sequence: sequence, node: ping.node, sender: sender)), withNews: false, to: target, &turn)
    }

    mutating func relayNack(_ sequence: UInt32, _ turn: inout Turn) {
        guard let relay = relays[sequence], relay.wantsNack else { return }
        transmit(.nack(sequence: relay.sequence), withNews: false, to: relay.requester, &turn)
    }
}
