import Platform
import Synchronization

/// Messages from any thread to one loop: bounded, in order, woken once on the edge from empty to non-empty.
public final class Mailbox<Message: Sendable>: Sendable {
    private struct State {
        var messages: [Message] = []
        var dropped: UInt64 = 0
        var isClosed = false
    }
    private let state = Mutex(State())
    private let wakeup: Wakeup
    /// The most messages that wait; more are dropped and counted.
    public let bound: Int

    public init(bound: Int) throws(Errno) {
        wakeup = try Wakeup()
        self.bound = bound
    }

    /// Readable while there may be messages; the owner's loop watches it.
    public var fd: CInt { wakeup.raw }

    /// From any thread. False when the mailbox was full or closed, and the message was dropped.
    /// - Parameter room: so many more messages must fit: what can be done without leaves it to what can't.
    @discardableResult
    public func post(_ message: Message, leaving room: Int = 0) -> Bool {
        let (accepted, first) = state.withLock { state in
            guard state.messages.count < bound - room, !state.isClosed else {
                state.dropped &+= 1
                return (false, false)
            }
            state.messages.append(message)
            return (true, state.messages.count == 1)
        }
        if first { wakeup.signal() }
        return accepted
    }

    /// By the owner's loop only: everything posted so far.
    public func take() -> [Message] {
        wakeup.drain()
        return state.withLock { state in
            let messages = state.messages
            state.messages = []
            return messages
        }
    }

    /// By the owner's loop only, when it ends: takes nothing more, so that what is in the next `take` is the rest.
    public func close() { state.withLock { $0.isClosed = true } }

    /// How many messages were dropped since the start.
    public var dropped: UInt64 { state.withLock { $0.dropped } }
}
