/// How often and how patiently. The profiles are memberlist's, so that pools mix well (memberlist-protocol §11).
package struct SWIMTimers: Hashable, Sendable {
    package var probeInterval: Duration = .seconds(1)
    /// How long a direct ping may take before helpers are asked.
    package var probeTimeout: Duration = .milliseconds(500)
    /// A node that is later than this with its own work, by timers or by what waits in its socket, accuses nobody.
    package var lateness: Duration = .milliseconds(100)
    /// How many helpers are asked.
    package var indirectChecks = 3
    package var gossipInterval: Duration = .milliseconds(200)
    /// How many members get a packet in each gossip round.
    package var gossipNodes = 3
    /// Each broadcast is sent `retransmitMultiplier × ⌈log10(n + 1)⌉` times.
    package var retransmitMultiplier = 4
    /// The shortest suspicion is `suspicionMultiplier × max(1, log10 n) × probeInterval`; the longest is `suspicionMaximum` times that.
    package var suspicionMultiplier = 4
    package var suspicionMaximum = 6
    package var pushPullInterval: Duration = .seconds(30)
    package var streamTimeout: Duration = .seconds(10)
    /// The dead stay listed, and are gossiped to, for this long: they may only have been cut off.
    package var gossipToTheDead: Duration = .seconds(30)
    /// The awareness score stays below this; the probe interval grows to as many times its base.
    package var awarenessMaximum = 8
    /// A dead member's name may be taken by another address after this long; nil: not before it is forgotten.
    package var deadReclaim: Duration? = .seconds(5)
    /// How often one of the dead, or a seed that nobody in the pool has, is called again.
    package var reconnectInterval: Duration = .seconds(30)
    /// How long the dead are remembered for that.
    package var reconnectTimeout: Duration = .seconds(24 * 3600)
    /// How long a leave waits for each of its two messages to spread, and then keeps answering.
    package var leaveTimeout: Duration = .seconds(1)

    package init() {}

    /// One data centre.
    package static let lan = SWIMTimers()

    /// Between sites.
    package static let wan: SWIMTimers = {
        var timers = SWIMTimers()
        timers.probeInterval = .seconds(5)
        timers.probeTimeout = .seconds(3)
        timers.lateness = .milliseconds(600)
        timers.gossipInterval = .milliseconds(500)
        timers.gossipNodes = 4
        timers.suspicionMultiplier = 6
        timers.pushPullInterval = .seconds(60)
        timers.streamTimeout = .seconds(30)
        timers.gossipToTheDead = .seconds(60)
        return timers
    }()

    /// One machine.
    package static let local: SWIMTimers = {
        var timers = SWIMTimers()
        timers.probeTimeout = .milliseconds(200)
        timers.lateness = .milliseconds(40)
        timers.indirectChecks = 1
        timers.gossipInterval = .milliseconds(100)
        timers.retransmitMultiplier = 2
        timers.suspicionMultiplier = 3
        timers.pushPullInterval = .seconds(15)
        timers.streamTimeout = .seconds(1)
        timers.gossipToTheDead = .seconds(15)
        timers.reconnectInterval = .seconds(5)
        return timers
    }()
}
