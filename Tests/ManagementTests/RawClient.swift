import Glibc
import ManagementTestSupport

/// A client below HTTP.
enum RawClient {
    /// A connected socket, or nil with errno.
    static func connect(_ path: String) -> CInt? {
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path.utf8) }
        let fd = socket(AF_UNIX, CInt(SOCK_STREAM.rawValue), 0)
        guard fd >= 0 else { return nil }
        let result = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { Glibc.connect(fd, $0, socklen_t(MemoryLayout<sockaddr_un>.size)) }
        }
        if result == 0 { return fd }
        close(fd)
        return nil
    }

    /// Sends bytes and reads to the end, or for five seconds.
    static func send(_ path: String, _ text: String) async -> String {
        await withCheckedContinuation { continuation in
            Program.onThread {
                guard let fd = connect(path) else { return continuation.resume(returning: "no connection") }
                defer { close(fd) }
                var patience = timeval(tv_sec: 5, tv_usec: 0)
                setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, socklen_t(MemoryLayout<timeval>.size))
                let bytes = Array(text.utf8)
                _ = Glibc.send(fd, bytes, bytes.count, CInt(MSG_NOSIGNAL))
                var reply: [UInt8] = []
                var buffer = [UInt8](repeating: 0, count: 4096)
                while true {
                    let count = recv(fd, &buffer, buffer.count, 0)
                    guard count > 0 else { break }
                    reply += buffer[..<count]
                }
                continuation.resume(returning: String(decoding: reply, as: UTF8.self))
            }
        }
    }
}
