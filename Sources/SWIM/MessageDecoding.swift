import Platform

/// The fields of every message: one record, filled from a map, of which each message takes what it needs.
/// Unknown keys are skipped and the last of duplicates wins, as in the deployed decoders; trailing bytes are ignored.
private struct Fields {
    var sequence: UInt32 = 0
    var incarnation: UInt32 = 0
    var node = ""
    var name = ""
    var from = ""
    var address: [UInt8] = []
    var target: [UInt8] = []
    var port: UInt16 = 0
    var meta: [UInt8] = []
    var versions: [UInt8] = []
    var payload: [UInt8] = []
    var state: UInt8 = 0
    var wantsNack = false
    var sawRefusal = false
    var sourceAddress: [UInt8] = []
    var sourcePort: UInt16 = 0
    var sourceNode = ""
    var error = ""
    var isJoin = false
    var nodes = 0
    var userStateLength = 0
    var userMessageLength = 0

    init(_ reader: inout MessagePackReader) throws(Refusal) {
        for _ in 0..<(try reader.mapCount()) {
            try reader.spend()
            let key = String(decoding: reader.bytes[try reader.raw()], as: UTF8.self)
            switch key {
            case "SeqNo": sequence = try reader.integer()
            case "Incarnation": incarnation = try reader.integer()
            case "Node": node = try reader.name()
            case "Name": name = try reader.name()
            case "From": from = try reader.name()
            case "Addr": address = try reader.data(atMost: 16)
            case "Target": target = try reader.data(atMost: 16)
            case "Port": port = try reader.integer()
            case "Meta": meta = try reader.data(atMost: SWIMLimits.acceptedMetaBytes)
            case "Vsn": versions = try reader.data(atMost: 64)
            case "Payload": payload = try reader.data(atMost: SWIMLimits.datagram)
            case "State": state = try reader.integer()
            case "Nack": wantsNack = try reader.bool()
            case "Refused": sawRefusal = try reader.bool()
            case "SourceAddr": sourceAddress = try reader.data(atMost: 16)
            case "SourcePort": sourcePort = try reader.integer()
            case "SourceNode": sourceNode = try reader.name()
            case "Error": error = try reader.text()
            case "Join": isJoin = try reader.bool()
            case "Nodes": nodes = try reader.integer()
            case "UserStateLen": userStateLength = try reader.integer()
            case "UserMsgLen": userMessageLength = try reader.integer()
            default: try reader.skip()
            }
        }
    }

    func sender() throws(Refusal) -> Sender? {
        sourceAddress.isEmpty || sourcePort == 0 ? nil : Sender(address: try Wire.address(sourceAddress, sourcePort), name: sourceNode)
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
        guard let versions = ProtocolVersions(wire: versions) else { throw .incompatible }
        return versions
    }
    func ping() throws(Refusal) -> Ping { Ping(sequence: sequence, node: node, sender: try sender()) }
}

extension MessagePackReader {
    /// A node name, or nothing.
    fileprivate mutating func name() throws(Refusal) -> String {
        let range = try raw()
        guard !range.isEmpty else { return "" }
        guard let name = String(validating: bytes[range], as: UTF8.self), Wire.isPlausible(name: name) else { throw .badName }
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
        guard [Wire.ping, Wire.indirectPing, Wire.ack, Wire.suspect, Wire.alive, Wire.dead, Wire.nack].contains(type) else {
            throw [Wire.pushPull, Wire.encrypt, Wire.error, Wire.label].contains(type) ? .misplaced : .unknownType
        }
        let fields = try Fields(&reader)
        switch type {
        case Wire.ping: self = .ping(try fields.ping())
        case Wire.indirectPing:
            guard let target = IPAddress(bytes: fields.target)?.unmapped else { throw .badAddress }
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
