import CNetfilter
import Glibc
import Platform

/// The protocols whose flows are looked up (IANA numbers).
package enum FlowProtocol: UInt8, Hashable, Sendable {
    case tcp = 6
    case udp = 17
}

/// Who speaks to whom, as one end of a connection sees it.
package struct FlowTuple: Hashable, Sendable, CustomStringConvertible {
    package var source: SocketAddress
    package var destination: SocketAddress

    package init(source: SocketAddress, destination: SocketAddress) {
        self.source = source
        self.destination = destination
    }
    package var description: String { "\(source) → \(destination)" }
}

/// What conntrack knows of a connection.
package struct ConntrackEntry: Hashable, Sendable {
    /// What the one who opened the connection sent: its own address and port, and where it wanted to go before NAT.
    package let original: FlowTuple
    /// Bits of `enum ip_conntrack_status`.
    package let status: NFClause.ConntrackStatus
    package let mark: UInt32

    /// The destination was rewritten: the flow came by a redirect and not directly.
    package var isRedirected: Bool { status.contains(.destinationNAT) }
}

/// Lookups in the connection tracking table (ctnetlink). Needs CAP_NET_ADMIN.
///
/// For workers, once for each accepted connection: one send, one receive, no allocation. Every worker has its own; not thread-safe. It looks into the
/// network
/// namespace in which it was made. Addresses of a dual-stack socket must be given as IPv4 (as `SocketAddress` from the kernel does it).
package final class Conntrack {
    private let socket: NetlinkSocket
    private var request = NetlinkRequest(capacity: 512)

    package init() throws(NetfilterError) {
        socket = try NetlinkSocket(protocol: NETLINK_NETFILTER, bufferSize: NetlinkSocket.lookUpBuffer)
    }

    /// The entry of the connection that an accepted socket belongs to; nil when conntrack has none.
    ///
    /// - Parameters:
    ///   - peer: the remote address of the accepted socket (`getpeername`); for UDP where the datagram came from.
    ///   - local: its own address (`getsockname`); for UDP the address at which the datagram arrived.
    package func entry(_ transport: FlowProtocol, peer: SocketAddress, local: SocketAddress) throws(NetfilterError) -> ConntrackEntry? {
        // What we send is the connection's reply direction.
        try lookUp(transport, tuple: FlowTuple(source: local, destination: peer), direction: Attribute.reply)
    }
    /// The entry by the tuple that its opener sent, before any NAT.
    package func entry(_ transport: FlowProtocol, original: FlowTuple) throws(NetfilterError) -> ConntrackEntry? {
        try lookUp(transport, tuple: original, direction: Attribute.original)
    }

    /// `enum ctattr_type` and its nested ones, linux/netfilter/nfnetlink_conntrack.h.
    private enum Attribute {
        static let original = 1, reply = 2, status: UInt16 = 3, mark: UInt16 = 8
        static let nested = 0x8000
        static let ip = 1, `protocol` = 2
        static let v4Source = 1, v4Destination = 2, v6Source = 3, v6Destination = 4
        static let number = 1, sourcePort = 2, destinationPort = 3
    }
    /// `enum cntl_msg_types` in the high byte the subsystem NFNL_SUBSYS_CTNETLINK.
    private static let get: UInt16 = 1 << 8 | 1
    private static let new: UInt16 = 1 << 8 | 0
    private static let getStatistics: UInt16 = 1 << 8 | 5

    private func lookUp(_ transport: FlowProtocol, tuple: FlowTuple, direction: Int) throws(NetfilterError) -> ConntrackEntry? {
        let isV4 = tuple.source.ip.isV4
        guard isV4 == tuple.destination.ip.isV4 else { return nil }
        let sequence = socket.nextSequence()
        request.begin(type: Self.get, flags: 0, sequence: sequence)
        request.putNetfilterHeader(family: UInt8(isV4 ? AF_INET : AF_INET6))
        let nest = request.beginNested(direction | Attribute.nested)
        let ip = request.beginNested(Attribute.ip | Attribute.nested)
        if isV4 {
            request.put(Attribute.v4Source, tuple.source.ip.v4Number.bigEndian)
            request.put(Attribute.v4Destination, tuple.destination.ip.v4Number.bigEndian)
        } else {
            withUnsafeBytes(of: (tuple.source.ip.high.bigEndian, tuple.source.ip.low.bigEndian)) { request.put(Attribute.v6Source, $0) }
            withUnsafeBytes(of: (tuple.destination.ip.high.bigEndian, tuple.destination.ip.low.bigEndian)) {
                request.put(Attribute.v6Destination, $0)
            }
        }
        request.endNested(ip)
        let ports = request.beginNested(Attribute.protocol | Attribute.nested)
        request.put(Attribute.number, transport.rawValue)
        request.put(Attribute.sourcePort, tuple.source.port.bigEndian)
        request.put(Attribute.destinationPort, tuple.destination.port.bigEndian)
        request.endNested(ports)
        request.endNested(nest)

        var entry: ConntrackEntry?
        do throws(Errno) {
            guard let error = try socket.single(request, sequence: sequence, { if $0.type == Self.new { entry = Self.parse($0) } }) else {
                return entry
            }
            if error.code == ENOENT { return nil }
            throw error
        } catch {
            throw NetfilterError(.look, .conntrack, "\(tuple)", error)
        }
    }

    static func parse(_ message: NetlinkMessage) -> ConntrackEntry? {
        var original: FlowTuple?
        var status: UInt32 = 0
        var mark: UInt32 = 0
        for attribute in message.attributes(after: 4) {
            switch attribute.type {
            case UInt16(Attribute.original): original = tuple(attribute)
            case Attribute.status: status = UInt32(bigEndian: attribute.number(UInt32.self))
            case Attribute.mark: mark = UInt32(bigEndian: attribute.number(UInt32.self))
            default: break
            }
        }
        return original.map { ConntrackEntry(original: $0, status: .init(rawValue: status), mark: mark) }
    }

    private static func tuple(_ nest: NetlinkAttribute) -> FlowTuple? {
        var source: IPAddress?
        var destination: IPAddress?
        var sourcePort: UInt16 = 0
        var destinationPort: UInt16 = 0
        for part in nest.nested {
            for attribute in part.nested {
                switch (Int(part.type), Int(attribute.type)) {
                case (Attribute.ip, Attribute.v4Source), (Attribute.ip, Attribute.v6Source): source = attribute.address
                case (Attribute.ip, Attribute.v4Destination), (Attribute.ip, Attribute.v6Destination): destination = attribute.address
                case (Attribute.protocol, Attribute.sourcePort): sourcePort = UInt16(bigEndian: attribute.number(UInt16.self))
                case (Attribute.protocol, Attribute.destinationPort): destinationPort = UInt16(bigEndian: attribute.number(UInt16.self))
                default: break
                }
            }
        }
        guard let source, let destination else { return nil }
        return FlowTuple(source: SocketAddress(source, port: sourcePort), destination: SocketAddress(destination, port: destinationPort))
    }

    // MARK: The table as a whole

    /// How full the table is. When it is full the kernel drops packets of new connections.
    package struct Usage: Hashable, Sendable {
        package let count: UInt32
        /// 0 when the kernel doesn't tell.
        package let maximum: UInt32
    }

    package func usage() throws(NetfilterError) -> Usage {
        let sequence = socket.nextSequence()
        request.begin(type: Self.getStatistics, flags: 0, sequence: sequence)
        request.putNetfilterHeader(family: UInt8(AF_UNSPEC))
        var count: UInt32 = 0
        var maximum: UInt32 = 0
        do throws(Errno) {
            let refused = try socket.single(request, sequence: sequence) { message in
                for attribute in message.attributes(after: 4) {
                    // CTA_STATS_GLOBAL_ENTRIES and CTA_STATS_GLOBAL_MAX_ENTRIES
                    if attribute.type == 1 { count = UInt32(bigEndian: attribute.number(UInt32.self)) }
                    if attribute.type == 2 { maximum = UInt32(bigEndian: attribute.number(UInt32.self)) }
                }
            }
            if let refused { throw refused }
        } catch {
            throw NetfilterError(.list, .conntrack, "", error)
        }
        return Usage(count: count, maximum: maximum)
    }
}
