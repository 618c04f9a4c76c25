import Platform
import Testing

@testable import Membership
@testable import SWIM

/// The packets of real agents (memberlist-protocol §15): each must be read completely, mean what an independent decoder says,
/// and come out again byte for byte.
@Suite struct VectorTests {
    @Test func allCapturesAreThere() {
        #expect(Vector.datagrams.count >= 100)
        #expect(Vector.streams.count >= 25)
    }

    @Test(arguments: Vector.datagrams)
    func aCapturedDatagramIsReadCompletelyAndWrittenAgain(_ vector: Vector) throws {
        let opened = try vector.codec.open(vector.bytes)
        #expect(opened.refusals == [])
        let plaintext = try Self.plaintext(vector)
        var leaves: [JSON] = []
        try Self.verify(plaintext, try #require(vector.decode["msg"]), &leaves)
        #expect(opened.messages.count == leaves.count)
        for (message, leaf) in zip(opened.messages, leaves) { Self.compare(message, leaf) }
    }

    @Test(arguments: Vector.streams)
    func aCapturedStreamIsFramedReadAndWrittenAgain(_ vector: Vector) throws {
        var framer = StreamFramer(dialled: vector.isDialled)
        for byte in vector.bytes.dropLast() { #expect(try framer.append([byte]) == false) }
        #expect(try framer.append(vector.bytes.suffix(1)) == true)

        let codec = try vector.codec
        let message = try codec.openStream(vector.bytes, dialled: vector.isDialled)
        Self.compare(message, try #require(vector.decode["msg"]))
        let sealed = try #require(codec.seal(message, dialled: vector.isDialled))
        #expect(try codec.openStream(sealed, dialled: vector.isDialled) == message)
        // The old agents write integers as we do; the new ones as signed.
        if vector.file.hasPrefix("plain-") || vector.file.hasPrefix("pcap-plain"), vector.decode["compress"] == nil,
            vector.decode["encryption"] == nil
        {
            if case .pushPull(let exchange) = message, vector.direction.hasSuffix("->agent") {
                // The probe writes a node's keys in another order than the agents do.
                #expect(exchange.nodes.count == 1)
            } else {
                #expect(message.encoded == vector.bytes)
            }
        }
    }

    @Test func aForeignLabelIsRefused() throws {
        let vector = Vector.named("label-enc-udp-ping")
        var codec = try vector.codec
        codec.label = Array("prod-us".utf8)
        #expect(codec.open(vector.bytes).refusals == [.wrongLabel])
        codec.label = []
        #expect(codec.open(vector.bytes).refusals == [.wrongLabel])
        codec.label = Array("prod-eu".utf8)
        #expect(codec.open(Vector.named("enc-lzw-udp-ping").bytes).refusals == [.wrongLabel])
    }

    @Test func aWrongKeyIsRefused() throws {
        let vector = Vector.named("enc-lzw-udp-ping")
        let wrong = AESGCM(try Keyring(keys: [[UInt8](repeating: 9, count: 16)]))
        #expect(PacketCodec(cipher: wrong).open(vector.bytes).refusals == [.undecryptable])
        #expect(PacketCodec(cipher: wrong).open(Vector.named("plain-udp-hasCrc-alive").bytes).refusals == [.plaintext])
        #expect(throws: Refusal.undecryptable) {
            try PacketCodec(cipher: wrong).openStream(Vector.named("enc-lzw-tcp-pushPull-recv").bytes, dialled: true)
        }
    }

    // MARK: Comparing

    private static func plaintext(_ vector: Vector) throws -> [UInt8] {
        var bytes = vector.bytes
        if !vector.label.isEmpty { bytes.removeFirst(2 + vector.label.utf8.count) }
        guard let cipher = try vector.cipher else { return bytes }
        var plaintext = try #require(cipher.open(bytes.dropFirst(), authenticating: Array(vector.label.utf8)))
        if bytes[0] == 0 { plaintext.removeLast(Int(plaintext.last!)) }
        return plaintext
    }

    /// Takes the layers off as the decode tree names them, and puts each on again.
    private static func verify(_ bytes: [UInt8], _ tree: JSON, _ leaves: inout [JSON]) throws {
        switch tree["type"]?.text {
        case "hasCrc":
            let inner = Array(bytes.dropFirst(5))
            #expect(PacketCodec.checksummed(inner) == bytes)
            try verify(inner, try #require(tree["inner"]), &leaves)
        case "compress":
            var reader = MessagePackReader(bytes, from: 1)
            let inner = try PacketCodec.decompress(&reader, atMost: 65536)
            #expect(inner.count == tree["plainLen"]?.number)
            try verify(inner, try #require(tree["inner"]), &leaves)
        case "compound":
            let lengths = try #require(tree["lengths"]).list.compactMap(\.number)
            var start = 2 + 2 * lengths.count
            var parts: [[UInt8]] = []
            for (length, part) in zip(lengths, try #require(tree["parts"]).list) {
                parts.append(Array(bytes[start..<start + length]))
                try verify(parts[parts.count - 1], part, &leaves)
                start += length
            }
            #expect(PacketCodec.compound(parts) == bytes)
        default:
            var reader = MessagePackReader(bytes, from: 1)
            #expect(try Message(type: bytes[0], &reader).encoded == bytes)
            leaves.append(tree)
        }
    }

    private static func compare(_ message: Message, _ leaf: JSON) {
        let type = leaf["type"]?.text
        let body = leaf["body"]
        switch message {
        case .ping(let ping):
            #expect(type == "ping")
            compare(ping, body)
        case .indirectPing(let ping):
            #expect(type == "indirectPing")
            #expect(ping.sequence == body?["SeqNo"]?.number.map(UInt32.init))
            #expect(ping.target.description == body?["Target"]?.text)
            #expect(Int(ping.port) == body?["Port"]?.number)
            #expect(ping.node == body?["Node"]?.text)
            #expect(JSON.bool(ping.wantsNack) == body?["Nack"])
            #expect(ping.sender?.address.ip.description == body?["SourceAddr"]?.text)
        case .ack(let ack):
            #expect(type == "ack")
            #expect(ack.sequence == body?["SeqNo"]?.number.map(UInt32.init))
            #expect(ack.payload?.isEmpty == (body?["Payload"] == .null))
        case .nack(let sequence):
            #expect(type == "nack")
            #expect(sequence == body?["SeqNo"]?.number.map(UInt32.init))
        case .suspect(let accusation), .dead(let accusation):
            #expect(type == (message == .suspect(accusation) ? "suspect" : "dead"))
            #expect(accusation.node == body?["Node"]?.text)
            #expect(accusation.from == body?["From"]?.text)
            #expect(Int(accusation.incarnation) == body?["Incarnation"]?.number)
        case .alive(let alive):
            #expect(type == "alive")
            #expect(alive.node == body?["Node"]?.text)
            #expect(alive.address.ip.description == body?["Addr"]?.text)
            #expect(Int(alive.address.port) == body?["Port"]?.number)
            #expect(Int(alive.incarnation) == body?["Incarnation"]?.number)
            #expect(alive.versions.wire.map(Int.init) == body?["Vsn"]?.list.compactMap(\.number))
            compare(meta: alive.meta, body?["Meta"])
        case .user(let bytes):
            #expect(type == "user")
            #expect(bytes.count == leaf["len"]?.number)
            compare(serf: bytes, leaf["payload"])
        }
    }

    private static func compare(_ ping: Ping, _ body: JSON?) {
        #expect(ping.node == body?["Node"]?.text)
        #expect(ping.sequence == body?["SeqNo"]?.number.map(UInt32.init))
        #expect(ping.sender?.address.ip.description == body?["SourceAddr"]?.text)
        #expect(ping.sender.map { Int($0.address.port) } == body?["SourcePort"]?.number)
        #expect(ping.sender?.name == body?["SourceNode"]?.text)
    }

    private static func compare(meta: [UInt8], _ tree: JSON?) {
        if case .map(let tags)? = tree?["serf-tags"] {
            #expect(Tags(meta: meta).dictionary == tags.compactMapValues(\.text))
        } else {
            #expect(String(decoding: meta, as: UTF8.self) == tree?["raw"]?.text ?? "")
        }
    }

    private static func compare(serf bytes: [UInt8], _ tree: JSON?) {
        guard let kind = tree?["serf"]?.text, let serf = try? SerfMessage(bytes) else { return }
        let time = UInt64(tree?["body"]?["LTime"]?.number ?? 0)
        let node = tree?["body"]?["Node"]?.text ?? ""
        switch serf {
        case .joinIntent:
            #expect(kind == "join" && serf == .joinIntent(time: time, node: node))
            #expect(SerfMessage.intent(leave: false, time: time, node: node) == bytes)
        case .leaveIntent:
            #expect(kind == "leave" && serf == .leaveIntent(time: time, node: node))
            #expect(SerfMessage.intent(leave: true, time: time, node: node) == bytes)
        case .userEvent: #expect(kind == "userEvent" && serf == .userEvent(time: time))
        case .query: #expect(kind == "query" && serf == .query(time: time, isRebroadcast: (tree?["body"]?["Flags"]?.number ?? 0) & 2 == 0))
        case .direct: #expect(kind == "queryResponse" || kind == "relay")
        }
    }

    private static func compare(_ message: StreamMessage, _ tree: JSON) {
        let type = tree["type"]?.text
        switch message {
        case .pushPull(let exchange):
            #expect(type == "pushPull")
            #expect(JSON.bool(exchange.isJoin) == tree["header"]?["Join"])
            let nodes = tree["nodes"]?.list ?? []
            #expect(exchange.nodes.count == nodes.count)
            for (node, expected) in zip(exchange.nodes, nodes) {
                #expect(node.name == expected["Name"]?.text)
                #expect(node.address.ip.description == expected["Addr"]?.text)
                #expect(Int(node.address.port) == expected["Port"]?.number)
                #expect(Int(node.incarnation) == expected["Incarnation"]?.number)
                #expect(Int(node.state.rawValue) == expected["State"]?.number)
                #expect(node.versions.wire.map(Int.init) == expected["Vsn"]?.list.compactMap(\.number))
                compare(meta: node.meta, expected["Meta"])
            }
            #expect(exchange.userState.count == tree["header"]?["UserStateLen"]?.number)
            if let body = tree["userState"]?["body"], let state = try? SerfState(exchange.userState) {
                #expect(Int(state.time) == body["LTime"]?.number)
                #expect(state.left == body["LeftMembers"]?.list.compactMap(\.text))
                guard case .map(let times)? = body["StatusLTimes"] else { return }
                #expect(Dictionary(uniqueKeysWithValues: state.statusTimes.map { ($0.name, Int($0.time)) }) == times.compactMapValues(\.number))
            }
        case .ping(let ping):
            #expect(type == "ping")
            compare(ping, tree["body"])
        case .ack(let ack):
            #expect(type == "ack")
            #expect(ack.sequence == tree["body"]?["SeqNo"]?.number.map(UInt32.init))
        case .user(let bytes):
            #expect(type == "userStream")
            #expect(bytes.count == tree["header"]?["UserMsgLen"]?.number)
        case .error(let text):
            #expect(type == "err")
            #expect(text == tree["body"]?["Error"]?.text)
        }
    }
}
