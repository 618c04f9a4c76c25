import CLinux
import Glibc
import Platform

/// A pipe for splice(2), with the bytes that lie in it. A plain value: whoever takes it from the pool gives it back or closes it.
public struct Pipe {
    public private(set) var readEnd: CInt
    public private(set) var writeEnd: CInt
    /// Bytes spliced in and not yet out.
    public var held = 0

    /// What one splice call may move, and what the kernel is asked to let the pipe hold.
    public static let capacity = 1 << 20

    public static func make() throws(Errno) -> Pipe {
        var ends: (CInt, CInt) = (-1, -1)
        _ = try systemCall {
            withUnsafeMutablePointer(to: &ends) {
                $0.withMemoryRebound(to: CInt.self, capacity: 2) { clinux_pipe2($0, O_NONBLOCK | O_CLOEXEC) }
            }
        }
        // The default of 64 KiB is kept when the kernel's per-user limit refuses more: slower, not wrong.
        _ = clinux_fcntl(ends.1, CInt(CLINUX_F_SETPIPE_SZ), Self.capacity)
        return Pipe(readEnd: ends.0, writeEnd: ends.1)
    }

    public func close() {
        _ = Glibc.close(readEnd)
        _ = Glibc.close(writeEnd)
    }

    /// Moves bytes from a socket into the pipe.
    @inline(__always)
    public mutating func fill(from fd: CInt) -> IOResult {
        let result = Self.splice(fd, writeEnd)
        if case .bytes(let count) = result { held += count }
        return result
    }

    /// Moves bytes from the pipe into a socket.
    @inline(__always)
    public mutating func drain(to fd: CInt) -> IOResult {
        let result = Self.splice(readEnd, fd, count: held)
        if case .bytes(let count) = result { held -= count }
        return result
    }

    @inline(__always)
    private static func splice(_ from: CInt, _ to: CInt, count: Int = capacity) -> IOResult {
        while true {
            let moved = clinux_splice(from, to, count, UInt32(CLINUX_SPLICE_F_MOVE | CLINUX_SPLICE_F_NONBLOCK))
            if moved > 0 { return .bytes(moved) }
            if moved == 0 { return .endOfStream }
            let error = clinux_errno()
            if error == EAGAIN { return .wouldBlock }
            if error != EINTR { return .failed(Errno(error)) }
        }
    }
}

/// Empty pipes kept for the next bulk flow. Owned by one thread.
public struct PipePool: ~Copyable {
    private(set) var idle: [Pipe] = []
    /// The most idle pipes kept; two descriptors each.
    private let bound: Int
    /// The most pipes lent at one time: each may hold `Pipe.capacity` bytes of kernel memory for a slow reader.
    private let most: Int
    /// Pipes taken and not yet given back.
    public private(set) var lent = 0

    public init(bound: Int, most: Int = .max) {
        self.bound = bound
        self.most = most
    }

    deinit { for pipe in idle { pipe.close() } }

    /// Nil when no pipe can be had; the caller copies instead.
    public mutating func take() -> Pipe? {
        guard lent < most, let pipe = idle.popLast() ?? (try? Pipe.make()) else { return nil }
        lent += 1
        return pipe
    }

    /// A pipe that still holds bytes is closed, an empty one kept up to the bound.
    public mutating func give(_ pipe: Pipe) {
        lent -= 1
        if pipe.held == 0 && idle.count < bound { idle.append(pipe) } else { pipe.close() }
    }

    /// Gives the idle pipes' descriptors back, when there are none left for connections.
    public mutating func closeIdle() {
        for pipe in idle { pipe.close() }
        idle = []
    }
}
