import SWIM

/// Numbers since the start.
package struct GossipCounters: Hashable, Sendable {
    package var core = SWIMCounters()
    /// Datagrams the kernel did not take.
    package var sendFailures: UInt64 = 0
    /// Datagrams that came faster than the agent read them.
    package var datagramsLost: UInt64 = 0
    /// Streams that were turned away because too many were open, or the agent was out of descriptors.
    package var streamsRefused: UInt64 = 0
    /// Streams that did not send a whole request, or did not take the answer, in time.
    package var streamsTimedOut: UInt64 = 0
}
