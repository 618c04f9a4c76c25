/// Which end of the tunnel a session is. Only clients open streams.
public enum HTTP2Role: Sendable { case client, server }

/// What this end advertises (RFC 9113 section 6.5.2) and what it bears from the peer.
///
/// Memory that one peer can make this end hold: `maxConcurrentStreams` × `streamWindow` bytes of unread data, and what `widen` adds,
/// since credit for a stream returns only when its bytes were written out; `headerListBytes` per header block.
public struct HTTP2Settings: Sendable {
    /// Bytes that the peer may send on one stream before this end says `consume` or `widen`.
    public var streamWindow: UInt32 = 256 << 10
    /// Bytes in flight on the whole connection. It returns on receipt, so that one slow stream never stalls the others.
    public var connectionWindow: UInt32 = 4 << 20
    /// Streams that the peer may have open at once.
    public var maxConcurrentStreams: UInt32 = 1000
    /// Streams that a client assumes it may open until the server's SETTINGS arrive.
    public var assumedPeerStreams: UInt32 = 100
    /// Largest frame payload taken (RFC 9113: 16,384 to 16,777,215).
    public var maxFrameBytes: UInt32 = 65_536
    /// Bound of one header block as RFC 9113 section 10.5.1 counts it: name + value + 32 for each field. At most 32,768.
    public var headerListBytes: UInt32 = 16_384
    public var limits = HTTP2Limits()

    public init() {}
}

/// How many times a second, and how many at once, a peer may do what costs it nothing and us something.
public struct HTTP2Limits: Sendable {
    public struct Rate: Sendable {
        public var burst: UInt32
        public var perSecond: UInt32
        public init(burst: UInt32, perSecond: UInt32) {
            self.burst = burst
            self.perSecond = perSecond
        }
    }

    /// Streams that the peer resets at once and before they were answered (CVE-2023-44487).
    public var unansweredReset = Rate(burst: 1000, perSecond: 100)
    /// A reset later than this after the request is a client that lost patience; those are bounded by `maxConcurrentStreams`.
    public var atOnce: Duration = .seconds(1)
    /// SETTINGS frames after the first.
    public var settings = Rate(burst: 20, perSecond: 1)
    /// PING frames that ask for an answer.
    public var ping = Rate(burst: 100, perSecond: 10)
    /// DATA frames without a byte, padding aside, and without END_STREAM.
    public var emptyData = Rate(burst: 100, perSecond: 10)
    /// WINDOW_UPDATE, PRIORITY, GOAWAY and unknown frames and informational responses beyond two for every DATA frame that we sent and one for every stream.
    public var control = Rate(burst: 5000, perSecond: 1000)
    /// Frames and header blocks that broke the protocol for one stream only, which makes this end reset it (CVE-2025-8671).
    public var invalid = Rate(burst: 100, perSecond: 10)
    /// Bytes of decoded headers in one `feed`; more than this is HPACK used as an amplifier.
    public var decodedHeaderBytes = 1 << 20
    /// Frames that continue one header block.
    public var continuations = 8
    /// Answers to SETTINGS and PING that wait because the peer does not read.
    public var pendingAcks = 200
    /// Frames without data that wait for the same reason, for each stream that the peer may have open. An orderly stream has at most four at a time:
    /// its answer, two window updates and its reset. The answers of streams that ended meanwhile would wait too, without an end.
    public var pendingFramesPerStream = 4

    public init() {}
}
