import Platform

@testable import SWIM

/// One core on a bench: time moves by hand, what it sends is read back, peers are played by the test.
struct Bench {
    var core: SWIMCore
    var random = SWIMRandom(seed: 7)
    var now = MonotonicTime(nanoseconds: 1_000_000_000_000)
    var timers: [SWIMTimer: MonotonicTime] = [:]
    var sent: [(to: SocketAddress, message: Message)] = []
    var packets: [[UInt8]] = []
    var events: [MemberEvent] = []
    var dials: [(id: DialID, to: SocketAddress, message: StreamMessage)] = []
    var replies: [(id: InboundID, message: StreamMessage?)] = []
    var finished: [(contacted: Int, failures: [JoinFailure])] = []
    var refusals: [Refusal] = []
    var hasLeft = false

    static let own = SocketAddress("10.0.0.1:7946")!
    static func address(_ number: Int) -> SocketAddress { SocketAddress(IPAddress(v4: 0x0a00_0000 | UInt32(number)), port: 7946) }

    init(_ timers: SWIMTimers = .lan, pool: PoolKind = .serf, started: Bool = true) {
        var configuration = SWIMConfiguration(name: "own", address: Bench.own)
        configuration.timers = timers
        configuration.pool = pool
        core = SWIMCore(configuration)
        if started {
            step(.start)
            clear()
        }
    }

    mutating func clear() {
        sent = []
        packets = []
        events = []
        dials = []
        replies = []
        refusals = []
    }

    mutating func step(_ event: SWIMEvent) {
        var effects: [SWIMEffect] = []
        core.step(event, now: now, rng: &random, effects: &effects)
        for effect in effects {
            switch effect {
            case .send(let bytes, let address):
                packets.append(bytes)
                for message in core.codec.open(bytes).messages { sent.append((address, message)) }
            case .dial(let id, let address, let request, _):
                if let message = try? core.codec.openStream(request, dialled: true) { dials.append((id, address, message)) }
            case .reply(let id, let bytes): replies.append((id, try? core.codec.openStream(bytes, dialled: false)))
            case .close(let id): replies.append((id, nil))
            case .setTimer(let timer, let time): timers[timer] = time
            case .cancelTimer(let timer): timers[timer] = nil
            case .member(let event): events.append(event)
            case .joinFinished(_, let contacted, let failures): finished.append((contacted, failures))
            case .leaveFinished: hasLeft = true
            case .refused(let reason, _): refusals.append(reason)
            case .hangUp, .log: break
            }
        }
    }

    /// Fires what is due, in order, each at its time.
    mutating func advance(_ duration: Duration) {
        let end = now + duration
        while let (timer, time) = timers.min(by: { ($0.value, "\($0.key)") < ($1.value, "\($1.key)") }), time <= end {
            timers[timer] = nil
            now = max(now, time)
            step(.timer(timer))
        }
        now = end
    }

    /// The loop stands still: nothing is fired in the meantime, everything after it.
    mutating func freeze(_ duration: Duration) { now = now + duration }

    mutating func receive(_ messages: Message..., from number: Int = 9) {
        step(.datagram(PacketCodec.compound(messages.map(\.encoded)), from: Bench.address(number)))
    }

    mutating func alive(_ name: String, _ number: Int, incarnation: UInt32 = 1, meta: [UInt8] = [], versions: ProtocolVersions? = nil) {
        receive(
            .alive(
                Alive(
                    incarnation: incarnation, node: name, address: Bench.address(number), meta: meta,
                    versions: versions ?? core.configuration.pool.versions)))
    }
    mutating func suspect(_ name: String, incarnation: UInt32 = 1, from: String = "judge") {
        receive(.suspect(Accusation(incarnation: incarnation, node: name, from: from)))
    }
    mutating func dead(_ name: String, incarnation: UInt32 = 1, from: String = "judge") {
        receive(.dead(Accusation(incarnation: incarnation, node: name, from: from)))
    }

    func state(_ name: String) -> MemberState? { core.member(name)?.state }
    var kinds: [MemberEvent.Kind] { events.map(\.kind) }
    var ownIncarnation: UInt32 { core.member("own")!.incarnation }

    /// The news that the queue puts on a packet now.
    mutating func news() -> [Message] {
        var turn = Turn(now: now, random: random)
        var messages: [Message] = []
        let peer = Member(
            name: "reader", address: Bench.address(99), state: .alive, incarnation: 1, meta: [], versions: PoolKind.serf.versions, since: now)
        _ = core.transmitNews(to: peer, &turn)
        for effect in turn.effects {
            if case .send(let bytes, _) = effect { messages += core.codec.open(bytes).messages }
        }
        return messages
    }

    /// What a push/pull does, without the stream.
    mutating func merge(_ nodes: [NodeState], userState: [UInt8] = [], from number: Int = 2) {
        let exchange = StreamMessage.pushPull(PushPull(isJoin: false, nodes: nodes, userState: userState))
        step(.request(InboundID(number: 1), core.codec.seal(exchange, dialled: true)!, from: SocketAddress(Bench.address(number).ip, port: 40000)))
    }
}
