import Glibc
import Platform
import Reactor

/// `/etc/resolv.conf`, read again when it has changed (DHCP clients and VPNs write it at any time).
@Control
final class HostResolverFile {
    private let path: String
    private(set) var content = ResolvConf()
    private var seen: Identity?
    private var checked: MonotonicTime?
    /// How often it is looked at, at most; the C library looks before every query.
    static let interval = Duration.seconds(1)
    static let maximumSize = 64 << 10

    private struct Identity: Equatable {
        var inode: UInt
        var size: Int
        var seconds: Int
        var nanoseconds: Int
    }

    init(path: String) { self.path = path }

    /// Whether `content` is new. An unreadable file leaves what was known.
    func refresh(_ now: MonotonicTime) -> Bool {
        if let checked, now - checked < Self.interval { return false }
        checked = now
        var status = stat()
        guard stat(path, &status) == 0 else { return false }
        let identity = Identity(
            inode: UInt(status.st_ino), size: Int(status.st_size), seconds: Int(status.st_mtim.tv_sec), nanoseconds: Int(status.st_mtim.tv_nsec))
        guard identity != seen, let text = read() else { return false }
        seen = identity
        let new = ResolvConf(text)
        defer { content = new }
        return new != content
    }

    private func read() -> String? {
        let fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
        guard fd >= 0 else { return nil }
        let file = OwnedFD(consuming: fd)
        var buffer = [UInt8](repeating: 0, count: Self.maximumSize)
        var count = 0
        while count < buffer.count {
            // A file, and not a socket.
            let more = buffer[count...].withUnsafeMutableBytes { Glibc.read(file.raw, $0.baseAddress, $0.count) }
            if more == 0 { break }
            if more < 0, errno != EINTR { return nil }
            count += max(0, more)
        }
        return String(decoding: buffer[..<count], as: UTF8.self)
    }
}
