import Glibc
import Platform
import Testing

/// A program that runs beside the test; it is killed when this goes away.
final class Child: @unchecked Sendable {  // used by one test at a time
    private let pid: pid_t
    private let output: OwnedFD
    private var reaped = false

    init(_ arguments: [String]) throws {
        var ends: [CInt] = [-1, -1]
        // Close-on-exec from the start: another test's child must not hold this one's end open.
        _ = try systemCall { socketpair(AF_UNIX, CInt(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0, &ends) }
        output = OwnedFD(consuming: ends[0])
        let writeEnd = OwnedFD(consuming: ends[1])
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0)
        posix_spawn_file_actions_adddup2(&actions, writeEnd.raw, 1)
        posix_spawn_file_actions_adddup2(&actions, writeEnd.raw, 2)
        var pid = pid_t()
        let texts = arguments.map { strdup($0) }
        defer { for text in texts { free(text) } }
        let result = posix_spawnp(&pid, arguments[0], &actions, nil, texts + [nil], environ)
        self.pid = pid
        if result != 0 { throw Errno(result) }
    }

    deinit { kill() }

    func kill() {
        guard !reaped else { return }
        reaped = true
        _ = Glibc.kill(pid, SIGKILL)
        _ = waitpid(pid, nil, 0)
    }

    /// The next line it writes, or what is left at its end.
    func line() -> String {
        var bytes: [UInt8] = []
        var byte: UInt8 = 0
        while read(output.raw, &byte, 1) == 1, byte != 10 { bytes.append(byte) }
        return String(decoding: bytes, as: UTF8.self)
    }

    /// Everything it writes until it ends.
    func all() -> String {
        var bytes: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 4096)
        while true {
            let count = read(output.raw, &buffer, buffer.count)
            if count <= 0 { break }
            bytes += buffer[..<count]
        }
        _ = waitpid(pid, nil, 0)
        reaped = true
        return String(decoding: bytes, as: UTF8.self)
    }
}

/// A blocking client socket with a timeout, so that tests see the bytes.
final class Client: Sendable {
    let fd: OwnedFD

    init(to address: SocketAddress, tcp: Bool, seconds: Int = 5) throws {
        let raw = try systemCall {
            socket(address.ip.isV4 ? AF_INET : AF_INET6, CInt((tcp ? SOCK_STREAM : SOCK_DGRAM).rawValue | SOCK_CLOEXEC.rawValue), 0)
        }
        fd = OwnedFD(consuming: raw)
        var time = timeval(tv_sec: seconds, tv_usec: 0)
        setsockopt(raw, SOL_SOCKET, SO_RCVTIMEO, &time, socklen_t(MemoryLayout<timeval>.size))
        _ = try systemCall { address.withSockaddr { connect(raw, $0, $1) } }
    }

    func send(_ bytes: [UInt8]) throws {
        let raw = fd.raw
        if Glibc.send(raw, bytes, bytes.count, CInt(MSG_NOSIGNAL)) != bytes.count { throw Errno.current }
    }

    /// One datagram or one read; empty at the end or after the timeout.
    func receive() -> [UInt8] {
        var buffer = [UInt8](repeating: 0, count: 65_536)
        let count = recv(fd.raw, &buffer, buffer.count, 0)
        return count > 0 ? Array(buffer[..<count]) : []
    }
}
