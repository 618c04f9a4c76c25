import Platform

/// What a non-blocking read or write did. A full or empty queue is a value, not an error.
public enum IOResult: Equatable, Sendable {
    case bytes(Int)
    /// The peer has closed its sending side (reads only).
    case endOfStream
    case wouldBlock
    case failed(Errno)
}

/// What a listening socket gave.
public enum AcceptResult: ~Copyable {
    case accepted(OwnedFD, SocketAddress)
    case wouldBlock
    /// The connection was gone before it was accepted; try again at once.
    case gone
    /// `EMFILE`, `ENFILE`, `ENOBUFS` or `ENOMEM`: stop accepting for a while.
    case exhausted(Errno)
    case failed(Errno)
}
