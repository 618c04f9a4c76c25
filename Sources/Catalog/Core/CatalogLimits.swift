/// Every bound of the catalog, by name. What exceeds one is refused and counted.
package struct CatalogLimits: Hashable, Sendable {
    /// The most nodes whose records are kept.
    package var origins = 5_000
    /// The most live records of one origin.
    package var recordsPerOrigin = 4_096
    /// The most deletions of one origin that are remembered; who missed forgotten ones gets the whole set.
    package var tombstonesPerOrigin = 1_024
    /// The most bytes of one origin's records; it keeps any delta within one plane frame.
    package var bytesPerOrigin = 1 << 20
    package var bytesPerRecord = 16 << 10
    package var bytesPerKey = 512
    /// Changed records per second that are accepted of one origin in the long run, and at once.
    package var ratePerOrigin = 500.0
    package var burstPerOrigin = 10_000.0
    /// Refused messages from one peer after which its stream is closed; one more is forgiven every ten seconds.
    package var refusalsPerPeer = 50.0
    /// Refusals that are told as events, per second in the long run and at once; all are counted.
    package var eventRate = 1.0
    package var eventBurst = 20.0
    /// A message to a peer is split at about this size.
    package var messageBytes = 256 << 10

    /// How long the records of a dead node are kept.
    package var grace: Duration = .seconds(3600)
    /// How long a node that membership does not know keeps its traffic without a stream to it.
    package var unconfirmed: Duration = .seconds(60)
    /// How long a deletion is remembered; a node away for longer gets the whole set again.
    package var tombstoneLife: Duration = .seconds(3600)
    /// How long a dropped origin's last position is remembered, so that a peer that kept it does not bring it back.
    package var forgottenLife: Duration = .seconds(4 * 3600)
    /// How long a peer has to give something of what it was asked for before another is asked, and to give all of it.
    package var requestTimeout: Duration = .seconds(2)
    package var longestRequest: Duration = .seconds(30)
    /// Overviews, parts and digests of a peer, per second in the long run and at once.
    package var questionRate = 10.0
    package var questionBurst = 100.0
    /// How long a refused state of an origin is not asked for again.
    package var refusedLife: Duration = .seconds(60)
    /// The least time between two jumps of the own generation.
    package var jumpInterval: Duration = .seconds(10)

    /// Lets addresses be loopback: for several agents on one machine without namespaces, and tests.
    package var allowLoopback = false

    package init() {}
}
