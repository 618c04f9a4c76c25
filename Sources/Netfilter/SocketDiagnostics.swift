import CNetfilter
import Glibc
import Platform

/// What the kernel knows of a local socket.
package struct SocketOwner: Hashable, Sendable {
    /// Inode number of the cgroup's directory, as its leaf was when the socket was made; 0 when the kernel doesn't tell (TIME_WAIT).
    package let cgroup: UInt64
    package let uid: UInt32
    /// 0: no process has the socket open any more.
    package let inode: UInt32
}

/// Finds local sockets by their addresses (sock_diag(7)).
///
/// For workers, once for each accepted connection: one send, one receive, no allocation. Every worker has its own; not thread-safe. It looks into the
/// network
/// namespace in which it was made.
package final class SocketDiagnostics {
    private let socket: NetlinkSocket
    private var request = NetlinkRequest(capacity: 256)

    package init() throws(NetfilterError) {
        socket = try NetlinkSocket(protocol: NETLINK_SOCK_DIAG, bufferSize: NetlinkSocket.lookUpBuffer)
    }

    /// The owner of the socket that sends from `flow.source` to `flow.destination`; nil when there is none (closed already, or in another namespace).
    ///
    /// For TCP exactly this connection, never a listener. For UDP also a socket that is not connected and is bound to the port, whatever its address.
    /// Sockets of family AF_INET6 that speak IPv4 are found by their IPv4 addresses.
    package func owner(_ transport: FlowProtocol, flow: FlowTuple) throws(NetfilterError) -> SocketOwner? {
        guard flow.source.ip.isV4 == flow.destination.ip.isV4 else { return nil }
        let sequence = socket.nextSequence()
        request.begin(type: UInt16(SOCK_DIAG_BY_FAMILY), flags: 0, sequence: sequence)
        var query = inet_diag_req_v2()
        query.sdiag_family = UInt8(flow.source.ip.isV4 ? AF_INET : AF_INET6)
        query.sdiag_protocol = transport.rawValue
        query.idiag_states = .max
        // udp_diag looks up like an arriving packet, so there the far end is the source (net/ipv4/udp_diag.c: "swapped for historical reasons").
        let near = transport == .udp ? flow.destination : flow.source
        let far = transport == .udp ? flow.source : flow.destination
        query.id.idiag_sport = near.port.bigEndian
        query.id.idiag_dport = far.port.bigEndian
        Self.store(near.ip, in: &query.id.idiag_src)
        Self.store(far.ip, in: &query.id.idiag_dst)
        query.id.idiag_cookie = (.max, .max)
        request.put(fixed: query)

        var found: SocketOwner?
        do throws(Errno) {
            let refused = try socket.single(request, sequence: sequence) { found = Self.parse($0, transport, flow) }
            if let refused, refused.code != ENOENT { throw refused }
        } catch {
            throw NetfilterError(.look, .socket, "\(flow)", error)
        }
        return found
    }

    private static func store(_ address: IPAddress, in field: inout (UInt32, UInt32, UInt32, UInt32)) {
        if address.isV4 {
            field.0 = address.v4Number.bigEndian
        } else {
            field.0 = UInt32(truncatingIfNeeded: address.high >> 32).bigEndian
            field.1 = UInt32(truncatingIfNeeded: address.high).bigEndian
            field.2 = UInt32(truncatingIfNeeded: address.low >> 32).bigEndian
            field.3 = UInt32(truncatingIfNeeded: address.low).bigEndian
        }
    }

    /// INET_DIAG_CGROUP_ID (linux/inet_diag.h); the kernel always sends it with full sockets.
    private static let cgroupAttribute: UInt16 = 21
    private static let listening: UInt8 = 10

    static func parse(_ message: NetlinkMessage, _ transport: FlowProtocol, _ flow: FlowTuple) -> SocketOwner? {
        guard message.payload.count >= MemoryLayout<inet_diag_msg>.size else { return nil }
        let info = message.payload.loadUnaligned(as: inet_diag_msg.self)
        guard UInt16(bigEndian: info.id.idiag_sport) == flow.source.port else { return nil }
        let farPort = UInt16(bigEndian: info.id.idiag_dport)
        switch transport {
        case .tcp:
            // Without a connection of these addresses the kernel answers with a listener of the same local port.
            guard info.idiag_state != listening, farPort == flow.destination.port else { return nil }
        case .udp:
            guard farPort == flow.destination.port || farPort == 0 else { return nil }
        }
        var cgroup: UInt64 = 0
        for attribute in message.attributes(after: MemoryLayout<inet_diag_msg>.size) where attribute.type == cgroupAttribute {
            cgroup = attribute.number(UInt64.self)
        }
        return SocketOwner(cgroup: cgroup, uid: info.idiag_uid, inode: info.idiag_inode)
    }
}
