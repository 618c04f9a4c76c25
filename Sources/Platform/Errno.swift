import CLinux
import Glibc

/// A kernel error number (`errno(3)`). An open set, so a struct and not an enum.
public struct Errno: Error, Hashable, Sendable, CustomStringConvertible {
    public let code: CInt

    public init(_ code: CInt) { self.code = code }

    /// The calling thread's `errno`. Read it directly after the call that failed.
    public static var current: Errno { Errno(clinux_errno()) }

    public var description: String {
        "\(Self.message(code)) (errno \(code))"
    }

    /// The C library's text for the number, without the number.
    public static func message(_ code: CInt) -> String {
        guard let text = strerror(code) else { return "error" }
        return String(cString: text)
    }
}

/// Runs a system call, again while it is interrupted, and throws its `errno` when the result is negative.
@inline(__always)
public func systemCall(_ body: () -> CInt) throws(Errno) -> CInt {
    while true {
        let result = body()
        if result >= 0 { return result }
        let error = clinux_errno()
        if error != EINTR { throw Errno(error) }
    }
}
