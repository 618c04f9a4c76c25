import Glibc
import Platform
import Reactor
import Traffic

/// Keeping the workers evenly loaded: connections that come to one that has clearly more to do than another are served by the other.
extension Worker {
    /// How often a worker looks how busy it is, in nanoseconds.
    static let busyWindow: UInt64 = 100_000_000

    /// Places in a mailbox that connections leave free: one turn takes all that are there, and may not become long by it.
    private static let room = messages - 256

    /// Serves a connection that this worker has accepted, or gives it to another one.
    func place(_ fd: consuming OwnedFD, _ peer: SocketAddress, _ number: Int, _ listener: Listener) {
        let kind = balance(listener)
        guard let other = board.better(than: index, for: kind, at: now.nanoseconds, passing: passing, start: flows.count) else { return accepted(fd, peer, listener) }
        let connection = AcceptedConnection(fd, from: peer, listener: number)
        board[other].pointee.coming(kind, 1)
        if mailboxes[other].post(.serve(connection), leaving: Self.room) {
            statistics.handovers &+= 1
            return
        }
        board[other].pointee.coming(kind, -1)
        if let fd = connection.take() { accepted(fd, peer, listener) }
    }

    /// Serves a connection that another worker has accepted.
    func serve(_ connection: AcceptedConnection) {
        guard let fd = connection.take() else { return }
        guard stopAt == nil else {
            statistics.ends[Int(FlowEnd.agentStopping.rawValue)] &+= 1
            return Socket.resetOnClose(fd.raw)
        }
        let listener = listeners[connection.listener]
        accepted(fd, connection.peer, listener)
        board[index].pointee.coming(balance(listener), -1)
    }

    /// From any thread: no other worker gives this one connections from now on.
    func takesNoMore() { board[index].pointee.set(accepts: false) }

    /// Flows that ended in the last window, as far as that is no old story.
    private var passing: Int { now.nanoseconds &- lookedAt < 2 * Self.busyWindow ? finishedLately : 0 }

    private func balance(_ listener: Listener) -> AcceptBalance { listener.kind == TokenKind.tunnelListener ? .tunnels : .flows }

    /// Tells the other workers what this one has.
    func publishLoad() { board[index].pointee.set(flows: flows.count, tunnels: acceptedTunnels) }

    /// Once a turn: looks, now and then, how much of a core the last turns have used, and how many flows have ended, and tells the others.
    func look() {
        publishLoad()
        let length = now.nanoseconds &- lookedAt
        if length < Self.busyWindow { return }
        var time = timespec()
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time)
        let used = UInt64(time.tv_sec) &* 1_000_000_000 &+ UInt64(time.tv_nsec)
        busy = Int((used &- usedBefore) &* 100 / length)
        finishedLately = Int((finished &- finishedBefore) &* Self.busyWindow / length)
        lookedAt = now.nanoseconds
        usedBefore = used
        finishedBefore = finished
        board[index].pointee.set(busy: busy, at: lookedAt)
    }
}
