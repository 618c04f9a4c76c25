import Platform

/// One member of a SWIM pool with Lifeguard, in memberlist's protocol: events, a time and random numbers in, effects out.
///
/// Overview: no socket, no clock, no randomness of its own; a value, so a simulation holds a thousand of them.
/// Function: `step` with `.start` first, then whatever happens. Effects are done in their order; a `join` or `leave` ends with its own effect.
/// Implementation: this file has the state and the switch; the topics are in `SWIMCore+….swift`. Section numbers are memberlist-protocol's.
package struct SWIMCore: Sendable {
    package let configuration: SWIMConfiguration
    var codec: PacketCodec
    var roster = Roster()
    /// Ours in the roster, from the start on.
    private(set) var ownSlot: Int?
    /// alive, suspect and dead; they have the first claim on a packet's room.
    var broadcasts = BroadcastQueue(bound: SWIMLimits.members)
    /// User messages: what is left of the room.
    var userBroadcasts = BroadcastQueue(bound: SWIMLimits.queuedUserMessages)
    var health: Awareness
    package internal(set) var counters = SWIMCounters()

    var sequence: UInt32 = 0
    /// Probes under way: at most one in turn, and some out of turn.
    var probes: [UInt32: ProbeRound] = [:]
    /// The one in turn.
    var probe: UInt32?
    var unsettled: [UInt32: Unsettled] = [:]
    var relays: [UInt32: Relay] = [:]
    var dials: [DialID: DialPurpose] = [:]
    var nextDial: UInt64 = 1
    var joins: [JoinID: PendingJoin] = [:]
    /// Extra exchanges after a join that may still come, so that a newcomer learns more than its seed knew.
    var catchUps = 0
    /// Whom we joined: the first extra exchange is with it, since all who join at the same moment have told it of themselves.
    var seed: SocketAddress?
    /// When this node last found itself late: what it did not hear then says nothing about others.
    var lagged: MonotonicTime?
    /// Members seen for the first time, ever.
    var learned = 0
    var leaving: LeavePhase?
    var serf = SerfLayer()
    var memory = DepartedMemory()
    var isGossipArmed = false
    /// Pings to nodes that claim the name of a member, by their sequence.
    var claimants: [UInt32: String] = [:]

    package init(_ configuration: SWIMConfiguration, cipher: (any PacketCipher)? = nil) {
        self.configuration = configuration
        codec = PacketCodec(label: configuration.label, cipher: cipher)
        health = Awareness(maximum: configuration.timers.awarenessMaximum)
    }

    // MARK: Asking

    /// Ourselves included; the dead and the gone too, until they are forgotten.
    package var members: [Member] { roster.all }
    package func member(_ name: String) -> Member? { roster[name]?.member }
    /// Ourselves, as we hold it; nil before the start.
    package var own: (state: MemberState, incarnation: UInt32)? {
        guard let ownSlot else { return nil }
        let brief = roster.brief(ownSlot)
        return (brief.state, brief.incarnation)
    }
    /// What `members` has, without a list of it.
    package func forEachMember(_ body: (_ name: String, MemberState, SocketAddress) -> Void) {
        roster.forEach { slot, known in body(roster[slot].member.name, known.state, known.address) }
    }
    /// Those that died and may come back, listed or only remembered.
    package var lost: [String] { Set(roster.all.filter { $0.state == .dead }.map(\.name) + memory.departed.map(\.name)).sorted() }
    /// Alive or suspected, ourselves included.
    package var liveCount: Int { roster.live }
    package var awareness: Int { health.score }
    package var queuedBroadcasts: Int { broadcasts.count + userBroadcasts.count }
    package var isLeaving: Bool { leaving != nil }
    /// What it has begun and not ended: pings for others, streams, rounds whose nacks are awaited, joins.
    package var unfinished: Int { relays.count + dials.count + unsettled.count + joins.count }

    var name: String { configuration.name }
    var timers: SWIMTimers { configuration.timers }
    var isSerf: Bool { configuration.pool == .serf }

    // MARK: Stepping

    /// Takes one event. Appends to `effects`; the caller does and removes them.
    package mutating func step(_ event: SWIMEvent, now: MonotonicTime, rng: inout SWIMRandom, effects: inout [SWIMEffect]) {
        var turn = Turn(now: now, random: rng)
        swap(&turn.effects, &effects)
        handle(event, &turn)
        swap(&turn.effects, &effects)
        rng = turn.random
    }

    private mutating func handle(_ event: SWIMEvent, _ turn: inout Turn) {
        switch event {
        case .start: start(&turn)
        case .datagram(let bytes, let source, let waited):
            wasLate(waited, turn.now)
            receive(bytes, from: source, &turn)
        case .overrun: lagged = turn.now
        case .request(let id, let bytes, let source): receiveRequest(id, bytes, from: source, &turn)
        case .answer(let id, let bytes): receiveAnswer(id, bytes, &turn)
        case .dialFailed(let id, let failure): dialFailed(id, failure, &turn)
        case .streamRefused(let reason, let source): refuse(reason, from: source, &turn)
        case .timer(let timer): expired(timer, &turn)
        case .join(let id, let addresses): join(id, addresses, &turn)
        case .leave: leave(&turn)
        case .setMeta(let meta): setMeta(meta, &turn)
        case .setCipher(let cipher): codec.cipher = cipher
        case .check(let name): check(name, &turn)
        }
    }

    private mutating func expired(_ timer: SWIMTimer, _ turn: inout Turn) {
        switch timer {
        case .probe: probeNext(&turn)
        case .probeTimeout(let sequence): probeTimedOut(sequence, &turn)
        case .probeDeadline(let sequence): probeEnded(sequence, &turn)
        case .probeSettled(let sequence): settle(sequence)
        case .gossip: gossip(&turn)
        case .pushPull: exchangeWithAnyone(&turn)
        case .reconnect: reconnect(&turn)
        case .suspicion(let name): suspicionExpired(name, &turn)
        case .relayNack(let sequence): relayNack(sequence, &turn)
        case .relayEnd(let sequence): relays[sequence] = nil
        case .claim(let name): claimDue(name, &turn)
        case .claimant(let sequence): claimantSilent(sequence, &turn)
        case .leave: advanceLeave(&turn)
        }
    }

    private mutating func start(_ turn: inout Turn) {
        guard roster.count == 0 else { return }
        // Acknowledgements to the process that had this address before us must not count.
        sequence = UInt32(UInt16.random(in: .min ... .max, using: &turn.random))
        let own = Member(
            name: name, address: configuration.address, state: .alive, incarnation: 1, meta: configuration.meta,
            versions: configuration.pool.versions,
            since: turn.now)
        let slot = roster.insert(own, &turn.random)
        ownSlot = slot
        turn.set(.probe, at: turn.now + turn.random.duration(below: timers.probeInterval))
        turn.set(.pushPull, at: turn.now + turn.random.duration(below: timers.pushPullInterval))
        turn.set(.reconnect, at: turn.now + turn.random.duration(below: timers.reconnectInterval))
        broadcast(own.alive, about: slot, &turn)
    }

    /// Something of ours was done so much later than it was due. A node that is ill already has more time for everything, and so bears more.
    mutating func wasLate(_ delay: Duration, _ now: MonotonicTime) {
        if delay > health.scale(timers.lateness) { lagged = now }
    }

    func hasLagged(since time: MonotonicTime) -> Bool { lagged.map { $0 >= time } ?? false }
    func hasLagged(within duration: Duration, _ now: MonotonicTime) -> Bool { lagged.map { now - $0 <= duration } ?? false }

    /// Of 16 bits, which cost two bytes less in every ping and every answer than all 32, and last for hours where an answer takes seconds.
    mutating func nextSequence() -> UInt32 {
        sequence = (sequence + 1) & UInt32(UInt16.max)
        return sequence
    }

    mutating func refuse(_ reason: Refusal, from source: SocketAddress, _ turn: inout Turn) {
        counters.count(reason)
        turn.effects.append(.refused(reason, from: source))
    }
}

/// What one step gets and gives.
struct Turn {
    let now: MonotonicTime
    var random: SWIMRandom
    var effects: [SWIMEffect] = []

    init(now: MonotonicTime, random: SWIMRandom) {
        self.now = now
        self.random = random
    }

    mutating func set(_ timer: SWIMTimer, at time: MonotonicTime) { effects.append(.setTimer(timer, at: time)) }
    mutating func cancel(_ timer: SWIMTimer) { effects.append(.cancelTimer(timer)) }
    mutating func log(_ level: SWIMLog.Level, _ text: String) { effects.append(.log(SWIMLog(level: level, text: text))) }
}

extension Member {
    var alive: Message {
        .alive(Alive(incarnation: incarnation, node: name, address: address, meta: meta, versions: versions))
    }
}
