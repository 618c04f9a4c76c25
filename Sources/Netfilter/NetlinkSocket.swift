import CLinux
import CNetfilter
import Glibc
import Platform

/// A netlink socket: requests are answered by the kernel within the send call, so a reply is there to read when `send` returns.
///
/// One thread at a time. Close-on-exec: a child process must not keep an owner table alive.
final class NetlinkSocket {
    private let descriptor: OwnedFD
    /// Our address on the bus, unique in the network namespace.
    let port: UInt32
    private var sequence: UInt32 = 0
    private let buffer: UnsafeMutableRawBufferPointer

    /// For dumps, which come in datagrams of at most 32 KiB, and events.
    static let dumpBuffer = 64 << 10
    /// For sockets that only look single things up.
    static let lookUpBuffer = 8 << 10
    /// How often a list is read again because somebody changed it meanwhile.
    static let dumpAttempts = 10

    /// - Parameters:
    ///   - number: NETLINK_NETFILTER and so on.
    ///   - bufferSize: bytes of the longest datagram that is received.
    ///   - strict: lets the kernel filter dumps by the request's fields (rtnetlink).
    init(protocol number: CInt, bufferSize: Int = dumpBuffer, strict: Bool = false) throws(NetfilterError) {
        let raw = Glibc.socket(AF_NETLINK, CInt(SOCK_RAW.rawValue) | CInt(SOCK_CLOEXEC.rawValue), number)
        guard raw >= 0 else { throw NetfilterError(.open, .netlinkSocket, Self.name(number), .current) }
        let descriptor = OwnedFD(consuming: raw)
        var address = sockaddr_nl()
        address.nl_family = sa_family_t(AF_NETLINK)
        var length = socklen_t(MemoryLayout<sockaddr_nl>.size)
        let bound = withUnsafeMutablePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { bind(raw, $0, length) == 0 && getsockname(raw, $0, &length) == 0 }
        }
        guard bound else { throw NetfilterError(.open, .netlinkSocket, Self.name(number), .current) }
        port = address.nl_pid
        buffer = .allocate(byteCount: bufferSize, alignment: 16)
        self.descriptor = descriptor
        // Without these the kernel still works, it only explains less, so their failure is no error.
        setOption(netlinkLevel, NETLINK_CAP_ACK, 1)
        setOption(netlinkLevel, NETLINK_EXT_ACK, 1)
        if strict { setOption(netlinkLevel, NETLINK_GET_STRICT_CHK, 1) }
    }

    deinit { buffer.deallocate() }

    var fd: CInt { descriptor.raw }

    private static func name(_ number: CInt) -> String {
        switch number {
        case NETLINK_ROUTE: "route"
        case NETLINK_NETFILTER: "netfilter"
        case NETLINK_SOCK_DIAG: "sock_diag"
        default: String(number)
        }
    }

    /// Never 0, which is the number of events.
    func nextSequence() -> UInt32 {
        reserveSequences(1)
    }
    /// The first of `count` numbers in a row.
    func reserveSequences(_ count: Int) -> UInt32 {
        let first = sequence > .max - UInt32(clamping: count) - 1 ? 1 : sequence + 1
        sequence = first + UInt32(clamping: count) - 1
        return first
    }

    @discardableResult
    func setOption(_ level: CInt, _ name: CInt, _ value: CInt) -> Bool {
        var value = value
        return setsockopt(fd, level, name, &value, socklen_t(MemoryLayout<CInt>.size)) == 0
    }

    /// Makes room for one message of `bytes`; needs CAP_NET_ADMIN beyond net.core.wmem_max.
    func reserveSend(_ bytes: Int) {
        // The kernel doubles the number and then needs room for its own bookkeeping beside the message.
        let wanted = CInt(clamping: bytes + 4096)
        if !setOption(SOL_SOCKET, SO_SNDBUFFORCE, wanted) { setOption(SOL_SOCKET, SO_SNDBUF, wanted) }
    }
    func reserveReceive(_ bytes: Int) {
        let wanted = CInt(clamping: bytes)
        if !setOption(SOL_SOCKET, SO_RCVBUFFORCE, wanted) { setOption(SOL_SOCKET, SO_RCVBUF, wanted) }
    }

    func join(_ group: UInt32) throws(Errno) {
        guard setOption(netlinkLevel, NETLINK_ADD_MEMBERSHIP, CInt(group)) else { throw .current }
    }

    func send(_ bytes: UnsafeRawBufferPointer) throws(Errno) {
        while Glibc.send(fd, bytes.baseAddress, bytes.count, 0) < 0 {
            let error = Errno.current
            if error.code != EINTR { throw error }
        }
    }

    /// The next datagram from the kernel, valid until the next call; nil when there is none. ENOBUFS: messages were lost.
    @inline(__always)
    func receive() throws(Errno) -> UnsafeRawBufferPointer? {
        while true {
            var sender = sockaddr_nl()
            var length = socklen_t(MemoryLayout<sockaddr_nl>.size)
            let count = withUnsafeMutablePointer(to: &sender) {
                $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                    recvfrom(fd, buffer.baseAddress, buffer.count, CInt(MSG_DONTWAIT), $0, &length)
                }
            }
            if count < 0 {
                let error = Errno.current
                if error.code == EAGAIN { return nil }
                if error.code == EINTR { continue }
                throw error
            }
            // Another process may send to our address; only the kernel is 0.
            if sender.nl_pid != 0 { continue }
            return UnsafeRawBufferPointer(rebasing: buffer[..<count])
        }
    }

    /// Throws away what is left of earlier answers.
    func discardPending() {
        while true {
            do {
                if try receive() == nil { return }
            } catch {
                return
            }
        }
    }
}

/// `SOL_NETLINK` hides behind a feature macro.
let netlinkLevel: CInt = 270
