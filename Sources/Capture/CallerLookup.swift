import Netfilter
import Platform

/// Who is calling, from the kernel's own books: conntrack for the addresses before NAT, sock_diag for the socket's cgroup.
///
/// One for each worker (and one for DNS), used by that thread only. Two requests and two answers over netlink for each flow, some microseconds.
package final class CallerLookup {
    private let conntrack: Conntrack
    private let sockets: SocketDiagnostics
    private var leaves = LeafResolver()

    /// Looks into the calling thread's network namespace from now on.
    package init() throws(NetfilterError) {
        conntrack = try Conntrack()
        sockets = try SocketDiagnostics()
    }

    /// What the caller sent: its own address and port, and where it wanted to go. Nil when conntrack has no such flow.
    ///
    /// - Parameters:
    ///   - peer: where the accepted connection or the datagram came from.
    ///   - local: the address at which it arrived.
    package func original(_ transport: FlowProtocol, peer: SocketAddress, local: SocketAddress) throws(NetfilterError) -> ConntrackEntry? {
        try conntrack.entry(transport, peer: peer, local: local)
    }

    /// The workload of the process on this host that sends from `flow.source` to `flow.destination`. There is no default.
    package func workload(_ transport: FlowProtocol, of flow: FlowTuple, in index: CgroupIndex) -> WorkloadMatch {
        let owner: SocketOwner?
        do throws(NetfilterError) {
            owner = try sockets.owner(transport, flow: flow)
        } catch {
            return .unknown(.lookupFailed)
        }
        // A connection that waits to time out (TIME_WAIT) has lost its cgroup.
        guard let owner, owner.cgroup != 0 else { return .unknown(.noSocket) }
        guard let workload = leaves.workload(of: owner.cgroup, in: index) else { return .unknown(.notCaptured) }
        return .workload(workload)
    }

    /// Both steps, for a flow that was led here by a redirect; the flow is nil when conntrack does not know it.
    package func caller(
        _ transport: FlowProtocol, peer: SocketAddress, local: SocketAddress, in index: CgroupIndex
    ) -> (flow: FlowTuple?, workload: WorkloadMatch) {
        do throws(NetfilterError) {
            guard let entry = try original(transport, peer: peer, local: local) else { return (nil, .unknown(.noSocket)) }
            return (entry.original, workload(transport, of: entry.original, in: index))
        } catch {
            return (nil, .unknown(.lookupFailed))
        }
    }

    /// How full the connection table is, for metrics and the warning at 80 %.
    package func usage() throws(NetfilterError) -> Conntrack.Usage { try conntrack.usage() }
}
