import Platform

/// The names of fields as numbers: comparing those costs a fraction of what comparing text does, and names are most of a packet.
private struct FieldName: Equatable {
    private var head: UInt64 = 0
    private var tail: UInt64 = 0

    /// Nil for what is longer than every name we know.
    init?(_ bytes: ArraySlice<UInt8>) {
        guard bytes.count <= 16 else { return nil }
        for byte in bytes { push(byte) }
    }
    init(_ name: StaticString) {
        precondition(name.utf8CodeUnitCount <= 16, "a field's name of \(name.utf8CodeUnitCount) bytes")
        for byte in name.description.utf8 { push(byte) }
    }
    private mutating func push(_ byte: UInt8) {
        head = head << 8 | tail >> 56
        tail = tail << 8 | UInt64(byte)
    }

    /// All that we know. (One value: a global for each would be asked whether it is there yet with every comparison.)
    struct Known {
        let sequence = FieldName("SeqNo"), incarnation = FieldName("Incarnation"), node = FieldName("Node"), name = FieldName("Name")
        let from = FieldName("From"), address = FieldName("Addr"), target = FieldName("Target"), port = FieldName("Port")
        let meta = FieldName("Meta"), versions = FieldName("Vsn"), payload = FieldName("Payload"), state = FieldName("State")
        let nack = FieldName("Nack"), refused = FieldName("Refused"), sourceAddress = FieldName("SourceAddr")
        let sourcePort = FieldName("SourcePort"), sourceNode = FieldName("SourceNode"), error = FieldName("Error"), join = FieldName("Join")
        let nodes = FieldName("Nodes"), userStateLength = FieldName("UserStateLen"), userMessageLength = FieldName("UserMsgLen")
    }
    static let known = Known()
}

/// The fields of every message: one record, filled from a map, of which each message takes what it needs.
/// Unknown keys are skipped and the last of duplicates wins, as in the deployed decoders; trailing bytes are ignored.
private struct Fields {
    var sequence: UInt32 = 0
    var incarnation: UInt32 = 0
    var node = ""
    var name = ""
    var from = ""
    var address: IPAddress?
    var target: IPAddress?
    var port: UInt16 = 0
    var meta: [UInt8] = []
    /// Nil when they contradict themselves.
    var versions = ProtocolVersions(wire: [])
    var payload: [UInt8]?
    var state: UInt8 = 0
    var wantsNack = false
    var sawRefusal = false
    var sourceAddress: IPAddress?
    var hasSource = false
    var sourcePort: UInt16 = 0
    var sourceNode = ""
    var error = ""
    var isJoin = false
    var nodes = 0
    var userStateLength = 0
    var userMessageLength = 0

    init(_ reader: inout MessagePackReader) throws(Refusal) {
        let known = FieldName.known
        for _ in 0..<(try reader.mapCount()) {
            try reader.spend()
            switch FieldName(reader.bytes[try reader.raw()]) {
            case known.sequence: sequence = try reader.integer()
            case known.incarnation: incarnation = try reader.integer()
            case known.node: node = try reader.name()
            case known.name: name = try reader.name()
            case known.from: from = try reader.name()
            case known.address: address = try reader.address().ip
            case known.target: target = try reader.address().ip
            case known.port: port = try reader.integer()
            case known.meta: meta = try reader.data(atMost: SWIMLimits.acceptedMetaBytes)
            case known.versions: versions = ProtocolVersions(wire: reader.bytes[try reader.raw(atMost: 64)])
            case known.payload: payload = try reader.data(atMost: SWIMLimits.datagram)
            case known.state: state = try reader.integer()
            case known.nack: wantsNack = try reader.bool()
            case known.refused: sawRefusal = try reader.bool()
            case known.sourceAddress: (sourceAddress, hasSource) = try reader.address()
            case known.sourcePort: sourcePort = try reader.integer()
            case known.sourceNode: sourceNode = try reader.name()
            case known.error: error = try reader.text()
            case known.join: isJoin = try reader.bool()
            case known.nodes: nodes = try reader.integer()
            case known.userStateLength: userStateLength = try reader.integer()
            case known.userMessageLength: userMessageLength = try reader.integer()
            default: try reader.skip()
            }
        }
    }

    func sender() throws(Refusal) -> Sender? {
        !hasSource || sourcePort == 0 ? nil : Sender(address: try Wire.address(sourceAddress, sourcePort), name: sourceNode)
    }
    func required(_ name: String) throws(Refusal) -> String {
        guard !name.isEmpty else { throw .badName }
        return name
    }
    func accusation() throws(Refusal) -> Accusation {
        // Below the bound, so that the refutation above it is still plausible to others.
        guard incarnation < SWIMLimits.incarnation else { throw .implausibleIncarnation }
        return Accusation(incarnation: incarnation, node: try required(node), from: from, sawRefusal: sawRefusal)
    }
    func plausibleIncarnation() throws(Refusal) -> UInt32 {
        guard incarnation <= SWIMLimits.incarnation else { throw .implausibleIncarnation }
        return incarnation
    }
    func protocolVersions() throws(Refusal) -> ProtocolVersions {
        guard let versions else { throw .incompatible }
        return versions
    }
    func ping() throws(Refusal) -> Ping { Ping(sequence: sequence, node: node, sender: try sender()) }
}

extension MessagePackReader {
    /// Four or sixteen bytes; nil for any other number of them.
    fileprivate mutating func address() throws(Refusal) -> (ip: IPAddress?, isPresent: Bool) {
        let range = try raw(atMost: 16)
        return (IPAddress(bytes: bytes[range]), !range.isEmpty)
    }

    /// A node name, or nothing.
    fileprivate mutating func name() throws(Refusal) -> String {
        let range = try raw()
        guard !range.isEmpty else { return "" }
        // The library's check of UTF-8 takes longer than all the rest of a message, and names are ASCII.
        let isASCII = bytes[range].allSatisfy { $0 < 0x80 }
        guard let name = isASCII ? String(decoding: bytes[range], as: UTF8.self) : String(validating: bytes[range], as: UTF8.self),
            Wire.isPlausible(name: name)
        else { throw .badName }
        return name
    }
}

extension Message {
    /// One message, type byte first, that is not a layer around others.
    init(type: UInt8, _ reader: inout MessagePackReader) throws(Refusal) {
        if type == Wire.user {
            self = .user(Array(reader.bytes[reader.position..<reader.end]))
            return
        }
        switch type {
        case Wire.ping, Wire.indirectPing, Wire.ack, Wire.suspect, Wire.alive, Wire.dead, Wire.nack: break
        case Wire.pushPull, Wire.encrypt, Wire.error, Wire.label: throw .misplaced
        default: throw .unknownType
        }
        let fields = try Fields(&reader)
        switch type {
        case Wire.ping: self = .ping(try fields.ping())
        case Wire.indirectPing:
            guard let target = fields.target?.unmapped else { throw .badAddress }
            self = .indirectPing(
                IndirectPing(
                    sequence: fields.sequence, target: target, port: fields.port, node: fields.node, wantsNack: fields.wantsNack,
                    sender: try fields.sender()))
        case Wire.ack: self = .ack(Ack(sequence: fields.sequence, payload: fields.payload))
        case Wire.nack: self = .nack(sequence: fields.sequence)
        case Wire.suspect: self = .suspect(try fields.accusation())
        case Wire.dead: self = .dead(try fields.accusation())
        default:
            self = .alive(
                Alive(
                    incarnation: try fields.plausibleIncarnation(), node: try fields.required(fields.node),
                    address: try Wire.address(fields.address, fields.port), meta: fields.meta, versions: try fields.protocolVersions()))
        }
    }
}

extension StreamMessage {
    init(type: UInt8, _ reader: inout MessagePackReader) throws(Refusal) {
        guard [Wire.ping, Wire.ack, Wire.pushPull, Wire.user, Wire.error].contains(type) else {
            throw type == Wire.encrypt ? .undecryptable : type <= Wire.error || type == Wire.label ? .misplaced : .unknownType
        }
        let fields = try Fields(&reader)
        switch type {
        case Wire.ping: self = .ping(try fields.ping())
        case Wire.ack: self = .ack(Ack(sequence: fields.sequence, payload: fields.payload))
        case Wire.error: self = .error(String(fields.error.prefix(512)))
        case Wire.user:
            guard fields.userMessageLength <= SWIMLimits.userState else { throw .oversized }
            self = .user(Array(reader.bytes[try reader.take(fields.userMessageLength)]))
        default: self = .pushPull(try PushPull(fields, &reader))
        }
    }
}

extension PushPull {
    fileprivate init(_ header: Fields, _ reader: inout MessagePackReader) throws(Refusal) {
        guard header.nodes >= 0, header.nodes <= SWIMLimits.pushPullNodes, header.userStateLength <= SWIMLimits.userState else { throw .oversized }
        isJoin = header.isJoin
        nodes = []
        nodes.reserveCapacity(min(header.nodes, reader.remaining / 16))
        for _ in 0..<header.nodes {
            let fields = try Fields(&reader)
            guard let state = MemberState(rawValue: fields.state) else { throw .malformed }
            nodes.append(
                NodeState(
                    name: try fields.required(fields.name), address: try Wire.address(fields.address, fields.port),
                    incarnation: try fields.plausibleIncarnation(), meta: fields.meta, state: state, versions: try fields.protocolVersions()))
        }
        userState = Array(reader.bytes[try reader.take(header.userStateLength)])
    }
}

/// What a stream's framing needs to know of a header, without its contents.
struct StreamHeader {
    var nodes: Int
    var rawBytes: Int

    init(type: UInt8, _ reader: inout MessagePackReader) throws(Refusal) {
        let fields = try Fields(&reader)
        nodes = type == Wire.pushPull ? fields.nodes : 0
        rawBytes = type == Wire.pushPull ? fields.userStateLength : type == Wire.user ? fields.userMessageLength : 0
        guard nodes >= 0, nodes <= SWIMLimits.pushPullNodes, rawBytes >= 0, rawBytes <= SWIMLimits.userState else { throw .oversized }
    }
}
