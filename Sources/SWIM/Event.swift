import Platform

/// A stream that somebody opened to us; numbered by the shell.
package struct InboundID: Hashable, Sendable {
    package let number: UInt64
    package init(number: UInt64) { self.number = number }
}
/// A stream that the core asked for; numbered by the core.
package struct DialID: Hashable, Sendable { package let number: UInt64 }
/// One call of join; numbered by the shell.
package struct JoinID: Hashable, Sendable {
    package let number: UInt64
    package init(number: UInt64) { self.number = number }
}

/// Why a stream that the core asked for brought nothing.
package enum DialFailure: Hashable, Sendable {
    /// The host is there and nobody listens.
    case refused
    case unreachable
    case timedOut
    /// It was closed before a whole answer had come: other key, other label, or not gossip at all.
    case closed
    case invalid(Refusal)
    /// The other side said why it refuses us.
    case rejected(String)
    /// Too many streams are open already.
    case busy
}

/// What a core waits for. A timer that is set again replaces the one before it.
package enum SWIMTimer: Hashable, Sendable {
    case probe
    case probeTimeout(UInt32)
    case probeDeadline(UInt32)
    /// When missing nacks are counted against ourselves.
    case probeSettled(UInt32)
    case gossip
    case pushPull
    case reconnect
    case suspicion(String)
    case relayNack(UInt32)
    case relayEnd(UInt32)
    /// When a name that another address claims is free.
    case claim(String)
    /// When the node that claims a name should have answered.
    case claimant(UInt32)
    case leave
}

/// Everything a core reacts to.
package enum SWIMEvent: Sendable {
    /// Once, first.
    case start
    /// - Parameter waited: how long it lay in our own socket before it was read.
    case datagram([UInt8], from: SocketAddress, waited: Duration = .zero)
    /// Our own kernel threw datagrams away that we had not read in time.
    case overrun
    /// One whole request (see `StreamFramer`) on a stream that somebody opened; answered by `reply` or `close`.
    case request(InboundID, [UInt8], from: SocketAddress)
    /// The whole answer on a stream that the core asked for.
    case answer(DialID, [UInt8])
    case dialFailed(DialID, DialFailure)
    /// The shell refused a stream before it had a whole request.
    case streamRefused(Refusal, from: SocketAddress)
    case timer(SWIMTimer)
    case join(JoinID, [SocketAddress])
    case leave
    /// At most `SWIMLimits.metaBytes`; more is refused with a log line.
    case setMeta([UInt8])
    case setCipher((any PacketCipher)?)
    /// Something else than gossip says that this member may be gone, such as the end of a connection to it: it is probed at once, out of turn.
    case check(String)
}

package struct JoinFailure: Hashable, Sendable {
    package var address: SocketAddress
    package var failure: DialFailure
}

/// A line for the operator. Cores write none for what comes often; that is counted.
package struct SWIMLog: Hashable, Sendable {
    package enum Level: Hashable, Sendable { case info, warning }
    package var level: Level
    package var text: String
}

/// Everything a core wants done, in this order.
package enum SWIMEffect: Sendable {
    case send([UInt8], to: SocketAddress)
    /// Connect, write, read one whole answer, within the timeout; then `answer` or `dialFailed`.
    case dial(DialID, to: SocketAddress, request: [UInt8], timeout: Duration)
    /// The answer is no longer wanted.
    case hangUp(DialID)
    /// Write, then close.
    case reply(InboundID, [UInt8])
    case close(InboundID)
    case setTimer(SWIMTimer, at: MonotonicTime)
    case cancelTimer(SWIMTimer)
    case member(MemberEvent)
    case joinFinished(JoinID, contacted: Int, failures: [JoinFailure])
    /// The leave has spread; the sockets may be closed.
    case leaveFinished
    case refused(Refusal, from: SocketAddress)
    case log(SWIMLog)
}
