import CNetfilter
import Platform

/// A netlink socket to nftables. Tables with the `owner` flag that it makes live exactly as long as this object.
///
/// Not thread-safe: one thread at a time. It works on the network namespace in which it was made, whichever thread calls it later. Close-on-exec.
package final class NFTables {
    let socket: NetlinkSocket
    /// The largest transaction that the socket's send buffer was made for.
    var reservedSend = 64 << 10

    package init() throws(NetfilterError) {
        socket = try NetlinkSocket(protocol: NETLINK_NETFILTER)
        // For the errors of a transaction in which everything is refused.
        socket.reserveReceive(1 << 20)
    }

    /// The address of the socket: the one who made a change in `NFChange.port`, to tell own changes from others'.
    package var port: UInt32 { socket.port }
}
