import Glibc

/// sd_notify(3): one datagram on the socket that systemd names. Without systemd it does nothing.
struct Notifier: Sendable {
    private let path: String?
    /// Half of what systemd allows between two signs of life; nil without a watchdog.
    let watchdogInterval: Duration?

    init() {
        path = Cleanup.environment("NOTIFY_SOCKET")
        let isForUs = Cleanup.environment("WATCHDOG_PID").map { $0 == String(getpid()) } ?? true
        let microseconds = Cleanup.environment("WATCHDOG_USEC").flatMap { Int64($0) }
        watchdogInterval = isForUs ? microseconds.map { .microseconds($0 / 3) } : nil
        // Children must not speak for the agent.
        unsetenv("NOTIFY_SOCKET")
    }

    func ready(_ status: String) { send("READY=1\nSTATUS=\(status)") }
    func status(_ status: String) { send("STATUS=\(status)") }
    func stopping(_ status: String) { send("STOPPING=1\nSTATUS=\(status)") }
    func watchdog() { send("WATCHDOG=1") }

    private func send(_ message: String) {
        guard let path, path.hasPrefix("/") || path.hasPrefix("@"), path.utf8.count < 108 else { return }
        let fd = socket(AF_UNIX, Int32(SOCK_DGRAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        guard fd >= 0 else { return }
        defer { close(fd) }
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        let bytes = Array(path.utf8)
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: bytes) }
        // A leading @ stands for the abstract namespace's zero byte (unix(7)).
        if bytes[0] == 0x40 { address.sun_path.0 = 0 }
        let length = socklen_t(MemoryLayout<sa_family_t>.size + bytes.count)
        _ = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { address in
                message.withCString { sendto(fd, $0, strlen($0), Int32(MSG_NOSIGNAL), address, length) }
            }
        }
    }
}
