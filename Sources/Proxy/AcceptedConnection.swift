import Platform
import Synchronization

/// A connection on its way from the worker that accepted it to the one that will serve it.
final class AcceptedConnection: Sendable {
    let peer: SocketAddress
    /// Which of the listeners it came to: all workers have the same ones, in the same order.
    let listener: Int
    private let fd: Mutex<OwnedFD?>

    init(_ fd: consuming sending OwnedFD, from peer: SocketAddress, listener: Int) {
        self.fd = Mutex(fd)
        self.peer = peer
        self.listener = listener
    }

    /// The descriptor, the first time; nil after. One that nobody takes is closed with the last reference.
    func take() -> OwnedFD? { fd.withLock { $0.take() } }
}
