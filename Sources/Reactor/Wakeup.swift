import CLinux
import Glibc
import Platform

/// An eventfd that makes a loop's wait return. `signal` may be called from any thread.
public struct Wakeup: ~Copyable, Sendable {
    private let fd: OwnedFD

    public init() throws(Errno) {
        fd = OwnedFD(consuming: try systemCall { eventfd(0, CInt(EFD_NONBLOCK | EFD_CLOEXEC)) })
    }
    public var raw: CInt { fd.raw }
    public borrowing func signal() { _ = eventfd_write(fd.raw, 1) }
    /// Takes back what was signalled.
    public borrowing func drain() {
        var value: eventfd_t = 0
        _ = eventfd_read(fd.raw, &value)
    }
}
