import Platform

/// First bytes of messages (memberlist-protocol §1.1), and the checks that every decoded value passes.
enum Wire {
    static let ping: UInt8 = 0
    static let indirectPing: UInt8 = 1
    static let ack: UInt8 = 2
    static let suspect: UInt8 = 3
    static let alive: UInt8 = 4
    static let dead: UInt8 = 5
    static let pushPull: UInt8 = 6
    static let compound: UInt8 = 7
    static let user: UInt8 = 8
    static let compress: UInt8 = 9
    static let encrypt: UInt8 = 10
    static let nack: UInt8 = 11
    static let checksum: UInt8 = 12
    static let error: UInt8 = 13
    static let label: UInt8 = 244

    static func isPlausible(name: String) -> Bool {
        let bytes = name.utf8
        return !bytes.isEmpty && bytes.count <= SWIMLimits.nameBytes && !bytes.contains { $0 < 0x20 || $0 == 0x7f }
    }

    /// A unicast address and a port that somebody can listen on.
    static func isReachable(_ address: SocketAddress) -> Bool {
        address.port != 0 && !address.ip.isUnspecified && !address.ip.isMulticast && address.ip != IPAddress(v4: 0xffff_ffff)
    }

    /// An address and a port, as a peer wrote them.
    static func address(_ ip: IPAddress?, _ port: UInt16) throws(Refusal) -> SocketAddress {
        guard let ip = ip?.unmapped else { throw .badAddress }
        let address = SocketAddress(ip, port: port)
        guard isReachable(address) else { throw .badAddress }
        return address
    }
}

/// What a message says of who sent it, beside the datagram's own source; absent from old peers.
package struct Sender: Hashable, Sendable {
    package var address: SocketAddress
    package var name: String
}

package struct Ping: Hashable, Sendable {
    package var sequence: UInt32
    /// Whom it is for; empty from old peers.
    package var node: String
    package var sender: Sender?
}

package struct IndirectPing: Hashable, Sendable {
    package var sequence: UInt32
    package var target: IPAddress
    /// Zero: the helper's own port.
    package var port: UInt16
    package var node: String
    package var wantsNack: Bool
    package var sender: Sender?
}

package struct Ack: Hashable, Sendable {
    package var sequence: UInt32
    /// Serf's network coordinates; we send none and read none. Nil leaves the field out, which is nine bytes less than the empty one that agents write.
    package var payload: [UInt8]?
}

package struct Alive: Hashable, Sendable {
    package var incarnation: UInt32
    package var node: String
    package var address: SocketAddress
    package var meta: [UInt8]
    package var versions: ProtocolVersions
}

/// The body of suspect and dead. Dead with `from == node` means that it left.
package struct Accusation: Hashable, Sendable {
    package var incarnation: UInt32
    package var node: String
    package var from: String
    /// Of suspect: `from` found that nobody listens at the node's address. Ours alone; memberlist and Serf pass over the field.
    package var sawRefusal = false

    package init(incarnation: UInt32, node: String, from: String, sawRefusal: Bool = false) {
        self.incarnation = incarnation
        self.node = node
        self.from = from
        self.sawRefusal = sawRefusal
    }
}

/// One line of a push/pull.
package struct NodeState: Hashable, Sendable {
    package var name: String
    package var address: SocketAddress
    package var incarnation: UInt32
    package var meta: [UInt8]
    package var state: MemberState
    package var versions: ProtocolVersions
}

package struct PushPull: Hashable, Sendable {
    package var isJoin: Bool
    package var nodes: [NodeState]
    package var userState: [UInt8]
}

/// One message of a datagram, out of all its layers.
package enum Message: Hashable, Sendable {
    case ping(Ping)
    case indirectPing(IndirectPing)
    case ack(Ack)
    case nack(sequence: UInt32)
    case suspect(Accusation)
    case alive(Alive)
    case dead(Accusation)
    case user([UInt8])
}

/// What one direction of a stream carries.
package enum StreamMessage: Hashable, Sendable {
    case pushPull(PushPull)
    case ping(Ping)
    case ack(Ack)
    case user([UInt8])
    case error(String)
}
