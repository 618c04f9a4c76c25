import Glibc
import Platform
import Reactor

/// Blocking sockets and threads: the applications on both sides of the proxy.
enum Peers {
    /// An application that answers each connection by `serve`, on its own thread each. Ends with the process.
    static func server(_ serve: @escaping @Sendable (CInt) -> Void) throws -> SocketAddress {
        let listener = try Socket.tcpListener(SocketAddress(.loopbackV4, port: 0)).release()
        blocking(listener)
        let address = Socket.localAddress(listener)!
        thread {
            while true {
                let fd = accept(listener, nil, nil)
                if fd < 0 { return }
                thread {
                    serve(fd)
                    close(fd)
                }
            }
        }
        return address
    }

    /// Sends back what comes, and ends when the caller has ended.
    static func echo(_ fd: CInt) {
        var buffer = [UInt8](repeating: 0, count: 65_536)
        while true {
            let count = read(fd, &buffer, buffer.count)
            if count <= 0 { break }
            if !sendAll(fd, buffer[..<count]) { return }
        }
        shutdown(fd, CInt(SHUT_WR))
    }

    /// Reads once and forgets it. False when the peer has ended.
    static func discard(_ fd: CInt) -> Bool {
        withUnsafeTemporaryAllocation(byteCount: 65_536, alignment: 16) { read(fd, $0.baseAddress!, $0.count) > 0 }
    }

    static func connect(_ address: SocketAddress, receiveBuffer: CInt = 0) throws -> CInt {
        let fd = Glibc.socket(address.ip.isV4 ? AF_INET : AF_INET6, CInt(SOCK_STREAM.rawValue), 0)
        if receiveBuffer > 0 { try Socket.set(fd, SOL_SOCKET, SO_RCVBUF, receiveBuffer) }
        if address.withSockaddr({ Glibc.connect(fd, $0, $1) }) != 0 {
            let error = Errno.current
            close(fd)
            throw error
        }
        var timeout = timeval(tv_sec: 20, tv_usec: 0)
        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, socklen_t(MemoryLayout<timeval>.size))
        return fd
    }

    // MARK: What the process has

    static func raiseDescriptorLimit() {
        var limit = rlimit()
        getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
        limit.rlim_cur = limit.rlim_max
        setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
    }

    static func openDescriptors() -> Int { (0..<CInt(20_000)).reduce(0) { $0 + (fcntl($1, F_GETFD) >= 0 ? 1 : 0) } }
    /// What each open descriptor is, as the kernel says.
    static func descriptorNames() -> [String] {
        (0..<CInt(20_000)).filter { fcntl($0, F_GETFD) >= 0 }.map { fd in
            var name = [UInt8](repeating: 0, count: 200)
            let count = name.withUnsafeMutableBytes { readlink("/proc/self/fd/\(fd)", $0.baseAddress!.assumingMemoryBound(to: CChar.self), 200) }
            let peer = Socket.peerAddress(fd).map { " to \($0)" } ?? ""
            return "\(fd) \(String(decoding: name.prefix(max(0, count)), as: UTF8.self))\(peer)"
        }
    }
    static func highestDescriptor() -> CInt { (0..<CInt(20_000)).last { fcntl($0, F_GETFD) >= 0 } ?? 2 }
    /// Bytes that malloc has given out, of all its arenas: from the totals at the end of malloc_info(3), which the Glibc module does not have.
    static func allocatedBytes() -> Int {
        typealias Info = @convention(c) (CInt, UnsafeMutablePointer<FILE>?) -> CInt
        let info = unsafeBitCast(dlsym(nil, "malloc_info")!, to: Info.self)
        var (text, size): (UnsafeMutablePointer<CChar>?, Int) = (nil, 0)
        let file = open_memstream(&text, &size)
        _ = info(0, file)
        fclose(file)
        defer { free(text) }
        let all = String(cString: text!)
        // The part behind the last arena.
        let totals = all.split(separator: "\n").reversed().prefix { !$0.contains("</heap>") }
        func total(_ name: String) -> Int {
            guard let line = totals.first(where: { $0.contains("type=\"\(name)\"") }), let quoted = line.split(separator: "\"").last(where: { Int($0) != nil }) else { return 0 }
            return Int(quoted)!
        }
        return total("current") - total("fast") - total("rest") + total("mmap")
    }

    /// Breaks every connection of this process to an address, as a network would.
    static func cut(to address: SocketAddress) {
        for fd in 3..<CInt(20_000) where Socket.peerAddress(fd) == address { shutdown(fd, CInt(SHUT_RDWR)) }
    }

    @discardableResult
    static func sendAll(_ fd: CInt, _ bytes: some Collection<UInt8>) -> Bool {
        let bytes = Array(bytes)
        var sent = 0
        while sent < bytes.count {
            let count = bytes.withUnsafeBytes { send(fd, $0.baseAddress! + sent, bytes.count - sent, CInt(MSG_NOSIGNAL)) }
            if count <= 0 { return false }
            sent += count
        }
        return true
    }

    /// Sends from a thread of its own, and then ends the sending side if wanted. Through a descriptor of its own: the caller may close its one at any time,
    /// and a thread that went on with the number would meddle with whatever connection of another test has it next.
    static func sendAside(_ fd: CInt, _ bytes: [UInt8], thenEnd: Bool) {
        let own = dup(fd)
        thread {
            sendAll(own, bytes)
            if thenEnd { shutdown(own, CInt(SHUT_WR)) }
            close(own)
        }
    }

    /// Reads to the end of the stream; nil on a reset or timeout.
    static func receiveAll(_ fd: CInt) -> [UInt8]? {
        var all: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 262_144)
        while true {
            let count = read(fd, &buffer, buffer.count)
            if count == 0 { return all }
            if count < 0 { return nil }
            all.append(contentsOf: buffer[..<count])
        }
    }

    /// Bytes that differ everywhere, so that a lost or doubled piece shows.
    static func pattern(_ count: Int, seed: UInt64 = 1) -> [UInt8] {
        var state = seed &* 0x9e37_79b9_7f4a_7c15 | 1
        return [UInt8](unsafeUninitializedCapacity: count) { buffer, initialized in
            for index in 0..<count {
                state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
                buffer[index] = UInt8(truncatingIfNeeded: state >> 33)
            }
            initialized = count
        }
    }

    static func thread(_ body: @escaping @Sendable () -> Void) {
        final class Box: Sendable {
            let body: @Sendable () -> Void
            init(_ body: @escaping @Sendable () -> Void) { self.body = body }
        }
        var thread = pthread_t()
        pthread_create(
            &thread, nil,
            { raw in
                Unmanaged<Box>.fromOpaque(raw!).takeRetainedValue().body()
                return nil
            }, Unmanaged.passRetained(Box(body)).toOpaque())
        pthread_detach(thread)
    }

    static func blocking(_ fd: CInt) { _ = fcntl(fd, F_SETFL, fcntl(fd, F_GETFL, 0) & ~O_NONBLOCK) }

    /// A port that is this test's alone until the process ends.
    static func freePort() throws -> SocketAddress { try ReservedPort().release() }
}

/// A port of loopback that nobody else is given: a socket that is bound and does not listen keeps it. Without it a mesh of another test, which runs at the
/// same time, could get the same port, and with SO_REUSEPORT both would take the connections in turn.
struct ReservedPort: ~Copyable {
    let address: SocketAddress
    private let fd: OwnedFD

    init() throws {
        fd = OwnedFD(consuming: Glibc.socket(AF_INET, CInt(SOCK_STREAM.rawValue), 0))
        try Socket.set(fd.raw, SOL_SOCKET, SO_REUSEADDR, 1)
        try Socket.set(fd.raw, SOL_SOCKET, SO_REUSEPORT, 1)
        let raw = fd.raw
        if SocketAddress(.loopbackV4, port: 0).withSockaddr({ bind(raw, $0, $1) }) != 0 { throw Errno.current }
        address = Socket.localAddress(raw)!
    }

    /// Keeps the port until the process ends.
    consuming func release() -> SocketAddress {
        let address = address
        _ = fd.release()
        return address
    }
}
