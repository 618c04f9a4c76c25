import CLinux
import Glibc
import Platform

/// An epoll set (epoll(7)).
public struct Epoll: ~Copyable {
    private let fd: OwnedFD

    public init() throws(Errno) {
        fd = OwnedFD(consuming: try systemCall { epoll_create1(CInt(EPOLL_CLOEXEC)) })
    }

    /// Adds a descriptor; `data` comes back with every event.
    public borrowing func add(_ target: CInt, events: UInt32, data: UInt64) throws(Errno) {
        try control(EPOLL_CTL_ADD, target, events, data)
    }
    public borrowing func modify(_ target: CInt, events: UInt32, data: UInt64) throws(Errno) {
        try control(EPOLL_CTL_MOD, target, events, data)
    }
    public borrowing func remove(_ target: CInt) {
        _ = try? control(EPOLL_CTL_DEL, target, 0, 0)
    }

    /// Waits for events; how many were written to `buffer`. An interrupted wait is zero events.
    /// - Parameter milliseconds: −1 waits for ever, 0 returns at once.
    @inline(__always)
    public borrowing func wait(_ buffer: UnsafeMutableBufferPointer<epoll_event>, milliseconds: CInt) -> Int {
        max(0, Int(epoll_wait(fd.raw, buffer.baseAddress, CInt(buffer.count), milliseconds)))
    }

    /// The same for short waits, below a millisecond (epoll_pwait2, Linux 5.11).
    @inline(__always)
    public borrowing func wait(_ buffer: UnsafeMutableBufferPointer<epoll_event>, nanoseconds: UInt64) -> Int {
        max(0, Int(clinux_epoll_wait_ns(fd.raw, buffer.baseAddress, CInt(buffer.count), nanoseconds)))
    }

    private borrowing func control(_ operation: CInt, _ target: CInt, _ events: UInt32, _ data: UInt64) throws(Errno) {
        var event = epoll_event()
        event.events = events
        event.data.u64 = data
        if epoll_ctl(fd.raw, operation, target, &event) != 0 { throw Errno.current }
    }
}

/// The event bits that matter here, as plain numbers.
public enum EpollBits {
    public static let read: UInt32 = 0x001
    public static let write: UInt32 = 0x004
    public static let error: UInt32 = 0x008
    public static let hangup: UInt32 = 0x010
    /// The peer ended its sending side.
    public static let readHangup: UInt32 = 0x2000
    public static let edge: UInt32 = 1 << 31
    /// The peer has ended its sending side, or the socket is dead.
    public static let ended = readHangup | hangup | error
}
