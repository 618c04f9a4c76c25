/// What a member of a Serf pool must understand of Serf (memberlist-protocol §14): intents, the shape of the rest, and the exchanged state.
enum SerfMessage: Hashable, Sendable {
    case leaveIntent(time: UInt64, node: String)
    case joinIntent(time: UInt64, node: String)
    case userEvent(time: UInt64)
    case query(time: UInt64, isRebroadcast: Bool)
    /// For one member only, or unknown to us.
    case direct

    init(_ bytes: [UInt8]) throws(Refusal) {
        guard let type = bytes.first else { throw .truncated }
        guard type == 0 || type == 1 || type == 3 || type == 4 else {
            self = .direct
            return
        }
        var reader = MessagePackReader(bytes, from: 1)
        var time: UInt64 = 0
        var node = ""
        var flags: UInt32 = 0
        for _ in 0..<(try reader.mapCount()) {
            switch String(decoding: reader.bytes[try reader.raw()], as: UTF8.self) {
            case "LTime": time = try reader.integer()
            case "Node": node = try reader.text()
            case "Flags": flags = try reader.integer()
            default: try reader.skip()
            }
        }
        // A clock near its end would wrap at the next event.
        guard time < UInt64.max / 2 else { throw .malformed }
        guard type > 1 || Wire.isPlausible(name: node) else { throw .badName }
        switch type {
        case 0: self = .leaveIntent(time: time, node: node)
        case 1: self = .joinIntent(time: time, node: node)
        case 3: self = .userEvent(time: time)
        default: self = .query(time: time, isRebroadcast: flags & 2 == 0)
        }
    }

    static func intent(leave: Bool, time: UInt64, node: String) -> [UInt8] {
        var writer = MessagePackWriter()
        writer.bytes.append(leave ? 0 : 1)
        writer.map(leave ? 3 : 2)
        writer.key("LTime")
        writer.unsigned(time)
        writer.key("Node")
        writer.raw(node.utf8)
        if leave {
            writer.key("Prune")
            writer.bool(false)
        }
        return writer.bytes
    }
}

/// The user state of a push/pull. Events are not kept here: an empty list is accepted.
struct SerfState: Sendable {
    var time: UInt64 = 1
    var eventTime: UInt64 = 1
    var queryTime: UInt64 = 1
    var left: [String] = []
    /// Sorted by name.
    var statusTimes: [(name: String, time: UInt64)] = []

    var encoded: [UInt8] {
        var writer = MessagePackWriter()
        writer.bytes.append(2)
        writer.map(6)
        writer.key("EventLTime")
        writer.unsigned(eventTime)
        writer.key("Events")
        writer.array(0)
        writer.key("LTime")
        writer.unsigned(time)
        writer.key("LeftMembers")
        writer.array(left.count)
        for name in left { writer.raw(name.utf8) }
        writer.key("QueryLTime")
        writer.unsigned(queryTime)
        writer.key("StatusLTimes")
        writer.map(statusTimes.count)
        for (name, time) in statusTimes {
            writer.raw(name.utf8)
            writer.unsigned(time)
        }
        return writer.bytes
    }

    init() {}

    /// Nil when it is not Serf's: another client's state is none of our business.
    init?(_ bytes: [UInt8]) throws(Refusal) {
        guard bytes.first == 2 else { return nil }
        var reader = MessagePackReader(bytes, from: 1)
        for _ in 0..<(try reader.mapCount()) {
            switch String(decoding: reader.bytes[try reader.raw()], as: UTF8.self) {
            case "LTime": time = try reader.integer()
            case "EventLTime": eventTime = try reader.integer()
            case "QueryLTime": queryTime = try reader.integer()
            case "LeftMembers":
                for _ in 0..<(try reader.arrayCount()) { left.append(try reader.memberName()) }
            case "StatusLTimes":
                for _ in 0..<(try reader.mapCount()) { statusTimes.append((try reader.memberName(), try reader.integer())) }
            default: try reader.skip()
            }
        }
        guard max(time, eventTime, queryTime) < UInt64.max / 2, statusTimes.allSatisfy({ $0.time < UInt64.max / 2 }) else { throw .malformed }
    }
}

extension MessagePackReader {
    /// The name of a member: what is kept by it may be kept for long, so it has a bound.
    fileprivate mutating func memberName() throws(Refusal) -> String {
        let name = try text()
        guard Wire.isPlausible(name: name) else { throw .badName }
        return name
    }
}
