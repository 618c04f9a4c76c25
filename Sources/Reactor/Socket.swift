import CLinux
import Glibc
import Platform

/// Sockets and their calls. Every socket made here is non-blocking and close-on-exec; EINTR is handled here and nowhere else.
///
/// Descriptors are borrowed as plain numbers; results that must be closed come as `OwnedFD`.
public enum Socket {
    // MARK: Making

    /// A listening TCP socket. `IPV6_V6ONLY` is set, so both families can listen on one port.
    /// - Parameters:
    ///   - transparent: accept for addresses that are not local (`IP_TRANSPARENT`, needs CAP_NET_ADMIN).
    ///   - mark: `SO_MARK`, inherited by accepted sockets; zero leaves it unset.
    public static func tcpListener(
        _ address: SocketAddress, backlog: CInt = 4096, reusePort: Bool = false, transparent: Bool = false, mark: UInt32 = 0
    ) throws(Errno) -> OwnedFD {
        let fd = try open(address.ip.family, stream: true)
        try set(fd.raw, SOL_SOCKET, SO_REUSEADDR, 1)
        if reusePort { try set(fd.raw, SOL_SOCKET, SO_REUSEPORT, 1) }
        if transparent { try setTransparent(fd.raw, address.ip.family) }
        if mark != 0 { try set(fd.raw, SOL_SOCKET, CInt(CLINUX_SO_MARK), CInt(bitPattern: mark)) }
        try bind(fd.raw, address)
        _ = try systemCall { Glibc.listen(fd.raw, backlog) }
        return fd
    }

    /// Starts a TCP connection; it is usually still in progress when this returns. Wait for writability, then ask `error(_:)`.
    /// - Parameters:
    ///   - from: the local address to use; port 0 lets the kernel choose one when the connection is made, another one may be shared by connections that
    ///     differ in where they go.
    ///   - transparent: `from` need not be an address of this host.
    public static func connect(
        to address: SocketAddress, from: SocketAddress? = nil, transparent: Bool = false, mark: UInt32 = 0
    ) throws(Errno) -> OwnedFD {
        let fd = try open(address.ip.family, stream: true)
        if mark != 0 { try set(fd.raw, SOL_SOCKET, CInt(CLINUX_SO_MARK), CInt(bitPattern: mark)) }
        setNoDelay(fd.raw)
        if transparent { try setTransparent(fd.raw, address.ip.family) }
        if let from {
            if from.port == 0 {
                _ = try? set(fd.raw, IPPROTO_IP_LEVEL, CInt(CLINUX_IP_BIND_ADDRESS_NO_PORT), 1)
            } else {
                try set(fd.raw, SOL_SOCKET, SO_REUSEADDR, 1)
            }
            try bind(fd.raw, from)
        }
        let raw = fd.raw
        let result = address.withSockaddr { Glibc.connect(raw, $0, $1) }
        if result < 0 {
            let error = Errno.current
            if error.code != EINPROGRESS && error.code != EINTR { throw error }
        }
        return fd
    }

    /// A bound UDP socket.
    public static func udp(_ address: SocketAddress, reusePort: Bool = false, mark: UInt32 = 0) throws(Errno) -> OwnedFD {
        let fd = try open(address.ip.family, stream: false)
        if reusePort { try set(fd.raw, SOL_SOCKET, SO_REUSEPORT, 1) }
        if mark != 0 { try set(fd.raw, SOL_SOCKET, CInt(CLINUX_SO_MARK), CInt(bitPattern: mark)) }
        try bind(fd.raw, address)
        return fd
    }

    /// Takes one connection from a listener.
    public static func accept(_ listener: CInt) -> AcceptResult {
        var storage = sockaddr_storage()
        var length = socklen_t(MemoryLayout<sockaddr_storage>.size)
        while true {
            let fd = withUnsafeMutablePointer(to: &storage) {
                $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                    clinux_accept4(listener, $0, &length, CInt(SOCK_NONBLOCK.rawValue | SOCK_CLOEXEC.rawValue))
                }
            }
            if fd >= 0 { return .accepted(OwnedFD(consuming: fd), SocketAddress(storage: storage) ?? SocketAddress(.anyV4, port: 0)) }
            let error = Errno.current
            switch error.code {
            case EINTR: continue
            case EAGAIN: return .wouldBlock
            case ECONNABORTED, EPROTO, ENETDOWN, ENOPROTOOPT, EHOSTDOWN, EHOSTUNREACH, ENETUNREACH, EOPNOTSUPP: return .gone
            case EMFILE, ENFILE, ENOBUFS, ENOMEM: return .exhausted(error)
            default: return .failed(error)
            }
        }
    }

    // MARK: Asking

    /// The pending error (`SO_ERROR`), which this clears; nil when there is none.
    public static func error(_ fd: CInt) -> Errno? {
        var value: CInt = 0
        var length = socklen_t(MemoryLayout<CInt>.size)
        if getsockopt(fd, SOL_SOCKET, SO_ERROR, &value, &length) != 0 { return Errno.current }
        return value == 0 ? nil : Errno(value)
    }

    /// Bytes that were written and the other end's kernel has not acknowledged (`SIOCOUTQ`, tcp(7)): on loopback, those that its receive buffer has no room for.
    public static func unacknowledged(_ fd: CInt) -> Int {
        var count: CInt = 0
        return clinux_ioctl(fd, UInt(TIOCOUTQ), &count) == 0 ? Int(count) : 0
    }

    public static func localAddress(_ fd: CInt) -> SocketAddress? { SocketAddress.filled { getsockname(fd, $0, $1) } }
    public static func peerAddress(_ fd: CInt) -> SocketAddress? { SocketAddress.filled { getpeername(fd, $0, $1) } }

    // MARK: Moving bytes

    @inline(__always)
    public static func read(_ fd: CInt, _ buffer: UnsafeMutableRawPointer, _ count: Int) -> IOResult {
        while true {
            // Not read(2), which goes through the file layer first: so this is for sockets only.
            let result = Glibc.recv(fd, buffer, count, 0)
            if result > 0 { return .bytes(result) }
            if result == 0 { return count == 0 ? .bytes(0) : .endOfStream }
            let error = clinux_errno()
            if error == EAGAIN { return .wouldBlock }
            if error != EINTR { return .failed(Errno(error)) }
        }
    }

    @inline(__always)
    public static func write(_ fd: CInt, _ buffer: UnsafeRawPointer, _ count: Int) -> IOResult {
        while true {
            let result = Glibc.send(fd, buffer, count, CInt(MSG_NOSIGNAL))
            if result >= 0 { return .bytes(result) }
            let error = clinux_errno()
            if error == EAGAIN { return .wouldBlock }
            if error != EINTR { return .failed(Errno(error)) }
        }
    }

    public static func read(_ fd: CInt, _ buffer: UnsafeMutableRawBufferPointer) -> IOResult {
        guard let base = buffer.baseAddress else { return .bytes(0) }
        return read(fd, base, buffer.count)
    }

    public static func write(_ fd: CInt, _ buffer: UnsafeRawBufferPointer) -> IOResult {
        guard let base = buffer.baseAddress else { return .bytes(0) }
        return write(fd, base, buffer.count)
    }

    /// Sends one datagram.
    public static func send(_ fd: CInt, _ bytes: UnsafeRawBufferPointer, to address: SocketAddress) -> IOResult {
        while true {
            let result = address.withSockaddr { Glibc.sendto(fd, bytes.baseAddress, bytes.count, CInt(MSG_NOSIGNAL), $0, $1) }
            if result >= 0 { return .bytes(result) }
            let error = Errno.current
            if error.code == EAGAIN { return .wouldBlock }
            if error.code != EINTR { return .failed(error) }
        }
    }

    /// How well a datagram socket is being read.
    public struct Reading: Sendable {
        /// How long the datagram lay in the socket. By the wall clock, so a jump of that shows; never negative.
        public var waited: Duration
        /// Datagrams that the socket has lost so far, because nobody had read it in time.
        public var lost: UInt32
        public init(waited: Duration = .zero, lost: UInt32 = 0) {
            self.waited = waited
            self.lost = lost
        }
    }

    /// `receive` tells how well the socket is read from now on. The kernel is asked to let as much wait as `bytes`; without CAP_NET_ADMIN it may be less.
    public static func watchReading(_ fd: CInt, bytes: CInt) {
        _ = try? set(fd, SOL_SOCKET, CInt(CLINUX_SO_TIMESTAMPNS), 1)
        _ = try? set(fd, SOL_SOCKET, CInt(CLINUX_SO_RXQ_OVFL), 1)
        if (try? set(fd, SOL_SOCKET, CInt(CLINUX_SO_RCVBUFFORCE), bytes)) == nil { _ = try? set(fd, SOL_SOCKET, SO_RCVBUF, bytes) }
    }

    /// Receives one datagram, and tells how well the socket is read if that was asked for; what does not fit the buffer is lost.
    public static func receive(
        _ fd: CInt, into buffer: UnsafeMutableRawBufferPointer, _ reading: inout Reading
    ) -> (IOResult, SocketAddress?) {
        var storage = sockaddr_storage()
        var length = socklen_t()
        var waited: Int64 = 0
        var lost: UInt32 = 0
        while true {
            let result = clinux_receive(fd, buffer.baseAddress, buffer.count, &storage, &length, &waited, &lost)
            if result >= 0 {
                // Only a datagram tells it: without one the call says zero.
                reading = Reading(waited: .nanoseconds(max(0, waited)), lost: lost)
                return (.bytes(result), SocketAddress(storage: storage))
            }
            let error = Errno.current
            if error.code == EAGAIN { return (.wouldBlock, nil) }
            if error.code != EINTR { return (.failed(error), nil) }
        }
    }

    /// Receives one datagram; what does not fit the buffer is lost.
    public static func receive(_ fd: CInt, into buffer: UnsafeMutableRawBufferPointer) -> (IOResult, SocketAddress?) {
        var storage = sockaddr_storage()
        while true {
            var length = socklen_t(MemoryLayout<sockaddr_storage>.size)
            let result = withUnsafeMutablePointer(to: &storage) {
                $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { Glibc.recvfrom(fd, buffer.baseAddress, buffer.count, 0, $0, &length) }
            }
            if result >= 0 { return (.bytes(result), SocketAddress(storage: storage)) }
            let error = Errno.current
            if error.code == EAGAIN { return (.wouldBlock, nil) }
            if error.code != EINTR { return (.failed(error), nil) }
        }
    }

    /// Ends the sending side: the peer reads end-of-stream after what was sent.
    public static func shutdownWrite(_ fd: CInt) { _ = Glibc.shutdown(fd, CInt(SHUT_WR)) }

    // MARK: Options

    public static func setNoDelay(_ fd: CInt) { _ = try? set(fd, CInt(IPPROTO_TCP), TCP_NODELAY, 1) }

    /// Bounds what the kernel keeps for a socket that has not been sent yet (`TCP_NOTSENT_LOWAT`, tcp(7)); more makes it not writable.
    public static func setUnsentLimit(_ fd: CInt, _ bytes: CInt) { _ = try? set(fd, CInt(IPPROTO_TCP), TCP_NOTSENT_LOWAT, bytes) }

    /// What the kernel keeps of a TCP peer's bytes until they are read, in place of what it would find out by itself (`SO_RCVBUFFORCE`, socket(7)). It
    /// counts its own bookkeeping, too, so it allows itself twice as much.
    ///
    /// Older kernels keep the window of a connection that is established below what its first buffer allowed, unless the clamp is raised as well
    /// (`TCP_WINDOW_CLAMP`, tcp(7)). Without CAP_NET_ADMIN nothing is set: a buffer within `net.core.rmem_max` would be less than the kernel finds out.
    public static func setReceiveBuffer(_ fd: CInt, _ bytes: CInt) {
        do throws(Errno) {
            try set(fd, SOL_SOCKET, SO_RCVBUFFORCE, bytes)
            try set(fd, CInt(IPPROTO_TCP), TCP_WINDOW_CLAMP, bytes)
        } catch {}
    }

    /// Makes the next `close` send RST instead of FIN, and drop what was not sent.
    public static func resetOnClose(_ fd: CInt) {
        var value = linger(l_onoff: 1, l_linger: 0)
        _ = setsockopt(fd, SOL_SOCKET, SO_LINGER, &value, socklen_t(MemoryLayout<linger>.size))
    }

    /// Keepalive probes after `idle` seconds of silence, every `interval` seconds, and `TCP_USER_TIMEOUT` for unacknowledged data (tcp(7)).
    public static func setKeepalive(_ fd: CInt, idle: CInt, interval: CInt, count: CInt, userTimeoutMilliseconds: CInt) {
        _ = try? set(fd, SOL_SOCKET, SO_KEEPALIVE, 1)
        _ = try? set(fd, CInt(IPPROTO_TCP), TCP_KEEPIDLE, idle)
        _ = try? set(fd, CInt(IPPROTO_TCP), TCP_KEEPINTVL, interval)
        _ = try? set(fd, CInt(IPPROTO_TCP), TCP_KEEPCNT, count)
        _ = try? set(fd, CInt(IPPROTO_TCP), TCP_USER_TIMEOUT, userTimeoutMilliseconds)
    }

    public static func set(_ fd: CInt, _ level: CInt, _ option: CInt, _ value: CInt) throws(Errno) {
        var value = value
        if setsockopt(fd, level, option, &value, socklen_t(MemoryLayout<CInt>.size)) != 0 { throw Errno.current }
    }

    // MARK: Private

    private static let IPPROTO_IP_LEVEL: CInt = 0
    private static let IPPROTO_IPV6_LEVEL: CInt = 41

    private static func open(_ family: IPAddress.Family, stream: Bool) throws(Errno) -> OwnedFD {
        let type = (stream ? SOCK_STREAM.rawValue : SOCK_DGRAM.rawValue) | SOCK_NONBLOCK.rawValue | SOCK_CLOEXEC.rawValue
        let fd = OwnedFD(consuming: try systemCall { Glibc.socket(family == .v4 ? AF_INET : AF_INET6, CInt(type), 0) })
        if family == .v6 { try set(fd.raw, IPPROTO_IPV6_LEVEL, IPV6_V6ONLY, 1) }
        return fd
    }

    private static func bind(_ fd: CInt, _ address: SocketAddress) throws(Errno) {
        if address.withSockaddr({ Glibc.bind(fd, $0, $1) }) != 0 { throw Errno.current }
    }

    private static func setTransparent(_ fd: CInt, _ family: IPAddress.Family) throws(Errno) {
        if family == .v4 {
            try set(fd, IPPROTO_IP_LEVEL, CInt(CLINUX_IP_TRANSPARENT), 1)
        } else {
            try set(fd, IPPROTO_IPV6_LEVEL, CInt(CLINUX_IPV6_TRANSPARENT), 1)
        }
    }
}
