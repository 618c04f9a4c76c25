import Platform

/// Every bound of the resources, by name. What exceeds one is refused and counted.
package struct ResourceLimits: Hashable, Sendable {
    /// The most resources, deleted ones that are remembered included.
    package var resources = 10_000
    /// The most bytes of all of them.
    package var bytes = 64 << 20
    /// The most bytes of one document.
    package var bytesPerResource = 64 << 10
    /// Writings per second that are accepted of one author in the long run, and at once.
    package var ratePerAuthor = 100.0
    package var burstPerAuthor = 10_000.0
    /// A message to a peer is split at about this size.
    package var messageBytes = 256 << 10
    /// The most keys that are asked for at once, and that may wait to be asked for.
    package var wantedAtOnce = 128
    /// Refused writings that are remembered, so that they are not asked for again and `weft rollout status` can name them.
    package var refusalsRemembered = 1_000
    /// Writings of one peer that it should have refused itself, after which its stream is closed; one more is forgiven every ten seconds.
    package var faultsPerPeer = 50.0
    /// Events per second in the long run and at once; all are counted.
    package var eventRate = 1.0
    package var eventBurst = 20.0

    /// How far ahead of this node's clock a writing may be.
    package var clockAhead: Duration = .seconds(60)
    /// How long a deletion is remembered. A node that was away for longer can't tell a deleted resource from a new one: it takes the others' word.
    package var tombstoneLife: Duration = .seconds(7 * 86_400)
    /// How long a refused writing is not asked for again.
    package var refusedLife: Duration = .seconds(60)
    /// How long a peer has to answer; then another is asked with the next comparison.
    package var wantTimeout: Duration = .seconds(5)
    /// How long nodes that all were away look for one that was not, before they take what they have together for the truth.
    package var settling: Duration = .seconds(30)

    package init() {}
}

/// The two clocks at one moment: the monotonic one for waits and rates, the wall clock for versions.
package struct Moment: Hashable, Sendable {
    package var monotonic: MonotonicTime
    package var wall: WallTime
    package init(monotonic: MonotonicTime, wall: WallTime) {
        self.monotonic = monotonic
        self.wall = wall
    }
    /// The clocks now. Only shells call this.
    package static func now() -> Moment { Moment(monotonic: .now(), wall: .now()) }
}
