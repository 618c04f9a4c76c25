import Platform

@testable import SWIM

/// Opens every box, so that the fuzzer gets behind the seal. What the real cipher lets through is `MalformedTests`' business.
private struct OpenCipher: PacketCipher {
    func seal(_ plaintext: [UInt8], authenticating data: [UInt8]) -> [UInt8]? {
        [UInt8](repeating: 0, count: 12) + plaintext + [UInt8](repeating: 0, count: 16)
    }
    func open(_ box: ArraySlice<UInt8>, authenticating data: [UInt8]) -> [UInt8]? { Array(box.dropFirst(12).dropLast(16)) }
}

private let own = SocketAddress("10.0.0.1:7946")!
private let peer = SocketAddress("10.0.0.2:7946")!

private func codec(_ kind: UInt8) -> PacketCodec {
    PacketCodec(label: kind & 1 == 0 ? [] : Array("pool".utf8), cipher: kind & 2 == 0 ? nil : OpenCipher())
}

/// A pool of two, at a fixed time and with fixed random numbers.
private struct SmallPool {
    var core: SWIMCore
    var random = SWIMRandom(seed: 1)
    var effects: [SWIMEffect] = []
    let now = MonotonicTime(nanoseconds: 1_000_000_000_000)

    init(_ codec: PacketCodec) {
        var configuration = SWIMConfiguration(name: "own", address: own)
        configuration.label = codec.label
        core = SWIMCore(configuration, cipher: codec.cipher)
        step(.start)
        step(.datagram(codec.seal(friend("a", peer).encoded)!, from: peer))
        require(core.members.count == 2, "a pool of two has \(core.members.count) members")
    }

    mutating func step(_ event: SWIMEvent) {
        effects = []
        core.step(event, now: now, rng: &random, effects: &effects)
    }

    /// Whatever came: this node lives, nothing has grown past its bound, and what it tells others they can read.
    func check() {
        let members = core.members
        require(members.first { $0.name == "own" }?.state == .alive, "nobody can talk a node out of its life")
        require(members.count <= SWIMLimits.members, "\(members.count) members")
        let state = StreamMessage.pushPull(core.ownState(isJoin: false))
        let plain = PacketCodec()
        do throws(Refusal) {
            require(try plain.openStream(state.encoded, dialled: false) == state, "the own state reads as another")
        } catch {
            fatalError("the own state cannot be read by others: \(error)")
        }
        for case .send(let bytes, _) in effects {
            require(bytes.count <= SWIMLimits.datagramBudget, "a datagram of \(bytes.count) bytes was sent")
            require(core.codec.open(bytes).refusals.isEmpty, "a datagram was sent that others refuse")
        }
    }
}

private func friend(_ name: String, _ address: SocketAddress) -> Message {
    .alive(Alive(incarnation: 1, node: name, address: address, meta: [0xff, 0x80], versions: PoolKind.serf.versions))
}

private let messages: [Message] = [
    .ping(Ping(sequence: 1, node: "own", sender: Sender(address: peer, name: "a"))), .ping(Ping(sequence: 2, node: "", sender: nil)),
    .indirectPing(IndirectPing(sequence: 3, target: peer.ip, port: 7946, node: "a", wantsNack: true, sender: Sender(address: peer, name: "a"))),
    .ack(Ack(sequence: 4, payload: [1, 2])), .nack(sequence: 5), .suspect(Accusation(incarnation: 1, node: "own", from: "a")),
    .suspect(Accusation(incarnation: 1, node: "a", from: "own", sawRefusal: true)), friend("b", own), friend("own", own),
    .dead(Accusation(incarnation: 1, node: "a", from: "a")), .user(SerfMessage.intent(leave: true, time: 9, node: "own")),
]

/// Literals only, which nine bits hold as long as the table is small.
private func compressed(_ bytes: [UInt8]) -> [UInt8] {
    var bits: UInt32 = 0
    var count: UInt32 = 0
    var output: [UInt8] = []
    for code in [256] + bytes.prefix(200).map(UInt32.init) + [257] {
        bits |= code << count
        count += 9
        while count >= 8 {
            output.append(UInt8(truncatingIfNeeded: bits))
            bits >>= 8
            count -= 8
        }
    }
    if count > 0 { output.append(UInt8(truncatingIfNeeded: bits)) }
    var writer = MessagePackWriter()
    writer.bytes.append(Wire.compress)
    writer.map(2)
    writer.key("Algo")
    writer.unsigned(0)
    writer.key("Buf")
    writer.raw(output)
    return writer.bytes
}

extension FuzzTarget {
    /// A datagram: the first byte says with which label and seal. It is opened, and then given to a member of a pool.
    static let swimDatagram = FuzzTarget(
        name: "swim-datagram",
        seeds: {
            let plain = messages.map(\.encoded)
            let bodies =
                plain + [PacketCodec.compound(plain), PacketCodec.checksummed(plain[0]), PacketCodec.checksummed(PacketCodec.compound(plain))]
                + [compressed(plain[7]), compressed(PacketCodec.compound(Array(plain[..<3])))]
            return (0..<4 as Range<UInt8>).flatMap { kind in bodies.compactMap { body in codec(kind).seal(body).map { [kind] + $0 } } }
        },
        run: { bytes in
            var input = Input(bytes)
            let codec = codec(input.byte())
            let (messages, refusals) = codec.open(input.bytes)
            require(messages.count + refusals.count <= SWIMLimits.parts + 4, "\(messages.count) messages and \(refusals.count) refusals of one datagram")
            for message in messages {
                let again = PacketCodec().open(message.encoded)
                require(again.messages == [message] && again.refusals.isEmpty, "\(message) reads as \(again)")
            }
            var pool = SmallPool(codec)
            pool.step(.datagram(input.bytes, from: peer))
            pool.check()
        })

    /// A stream's bytes, at once and in pieces. First byte: label, seal and who dialled; the second cuts.
    static let swimStream = FuzzTarget(
        name: "swim-stream",
        seeds: {
            let nodes = [("a", peer), ("own", own)].map {
                NodeState(name: $0.0, address: $0.1, incarnation: 2, meta: [0xff, 0x80], state: .alive, versions: PoolKind.serf.versions)
            }
            let messages: [StreamMessage] = [
                .pushPull(PushPull(isJoin: true, nodes: nodes, userState: SerfState().encoded)), .pushPull(PushPull(isJoin: false, nodes: [], userState: [])),
                .ping(Ping(sequence: 1, node: "own", sender: nil)), .ack(Ack(sequence: 1, payload: [])), .user([0, 1, 2]), .error("no"),
            ]
            return (0..<8 as Range<UInt8>).flatMap { kind in messages.compactMap { codec(kind).seal($0, dialled: kind & 4 != 0).map { [kind, kind] + $0 } } }
                + messages.map { [4, 0] + compressed($0.encoded) }
        },
        run: { bytes in
            var input = Input(bytes)
            let kind = input.byte()
            let (codec, isDialled) = (codec(kind), kind & 4 != 0)
            let cut = input.byte()
            let whole = input.bytes
            require(outcome([whole], isDialled) == outcome(Array(Pieces(whole, cut)), isDialled), "a stream in pieces ends otherwise")
            var pool = SmallPool(codec)
            pool.step(.request(InboundID(number: 1), whole, from: peer))
            pool.check()
            guard let message = try? codec.openStream(whole, dialled: isDialled) else { return }
            require((try? PacketCodec().openStream(message.encoded, dialled: false)) == message, "\(message) reads as another")
        })

    /// True when it became whole, false when not, or why it never can.
    private static func outcome(_ pieces: [[UInt8]], _ isDialled: Bool) -> Result<Bool, Refusal> {
        var framer = StreamFramer(dialled: isDialled)
        do throws(Refusal) {
            for piece in pieces where try framer.append(piece) { return .success(true) }
            return .success(false)
        } catch {
            return .failure(error)
        }
    }

    /// Serf's messages, its state, and tags.
    static let serf = FuzzTarget(
        name: "serf",
        seeds: {
            var state = SerfState()
            state.time = 300
            state.left = ["gone"]
            state.statusTimes = [("a", 5), ("own", 7)]
            return [
                SerfMessage.intent(leave: true, time: 1, node: "a"), SerfMessage.intent(leave: false, time: 70_000, node: "own"), state.encoded,
                Tags(["role": "web", "dc": "x"]).meta, Array("web".utf8), [3, 0x81] + [0xa5] + "LTime".utf8 + [9], [4, 0x81, 0xa5] + "Flags".utf8 + [2],
            ]
        },
        run: { bytes in
            if let state = try? SerfState(bytes) {
                let again = try? SerfState(state.encoded)
                require(
                    again.map { $0.time == state.time && $0.eventTime == state.eventTime && $0.queryTime == state.queryTime && $0.left == state.left } == true
                        && again!.statusTimes.elementsEqual(state.statusTimes, by: ==), "a state reads as another")
            }
            var layer = SerfLayer()
            for _ in 0..<2 {
                _ = try? layer.receive(bytes, own: "own", isLeaving: false)
                _ = try? layer.merge(bytes, own: "own")
            }
            _ = layer.intent(leave: false, own: "own")
            require(layer.clock > 1 && layer.clock < UInt64.max / 2 + 4, "the clock stands at \(layer.clock)")
            let tags = Tags(meta: bytes)
            require(Tags(meta: tags.meta) == tags, "tags read as others")
        })
}
