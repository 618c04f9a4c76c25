import CLinux
import Glibc

/// A file descriptor with one owner. It is closed exactly once, when the owner goes away.
public struct OwnedFD: ~Copyable, Sendable {
    /// The number, for system calls; never store it beyond the owner's life.
    public let raw: CInt

    /// Takes ownership of an open descriptor.
    public init(consuming raw: CInt) {
        precondition(raw >= 0, "not a descriptor")
        self.raw = raw
    }

    deinit { _ = close(raw) }

    /// Gives ownership up; the caller must close the returned descriptor.
    public consuming func release() -> CInt {
        let raw = self.raw
        discard self
        return raw
    }
}
