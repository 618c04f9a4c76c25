import Platform

/// Counts what a peer does that is cheap for it and not for us, against a rate each. A generic cell rate algorithm (ITU-T I.371): one number
/// for each rate, the time at which a peer that behaves would have done all that it did.
struct FloodGuard {
    private var limits: HTTP2Limits
    private var settings: UInt64 = 0
    private var ping: UInt64 = 0
    private var reset: UInt64 = 0
    private var emptyData: UInt64 = 0
    private var control: UInt64 = 0
    private var invalid: UInt64 = 0
    /// Window updates that our own DATA frames and new streams called for.
    private var earned: UInt32 = 0

    init(_ limits: HTTP2Limits) { self.limits = limits }

    /// One more of these happened. False when that is one too many.
    mutating func admits(_ flood: HTTP2Flood, at now: MonotonicTime) -> Bool {
        switch flood {
        case .unansweredReset: Self.take(&reset, limits.unansweredReset, now)
        case .settings: Self.take(&settings, limits.settings, now)
        case .ping: Self.take(&ping, limits.ping, now)
        case .emptyData: Self.take(&emptyData, limits.emptyData, now)
        case .control: spend() || Self.take(&control, limits.control, now)
        case .invalid: Self.take(&invalid, limits.invalid, now)
        // These are bounds and not rates: nghttp2 or the header scratch counts them.
        case .decodedHeaders, .continuation, .pendingAcks, .pendingFrames: false
        }
    }

    /// A DATA frame went out: it may be answered by two WINDOW_UPDATE frames, for its stream and the connection.
    mutating func dataSent() { earned = min(earned + 2, Self.mostEarned) }

    /// A stream was opened, by either end: the other one may widen its window.
    mutating func streamOpened() { earned = min(earned + 1, Self.mostEarned) }

    private mutating func spend() -> Bool {
        guard earned > 0 else { return false }
        earned -= 1
        return true
    }

    private static let mostEarned: UInt32 = 100_000

    private static func interval(_ rate: HTTP2Limits.Rate) -> UInt64 { 1_000_000_000 / UInt64(max(1, rate.perSecond)) }

    private static func take(_ due: inout UInt64, _ rate: HTTP2Limits.Rate, _ now: MonotonicTime) -> Bool {
        let step = interval(rate)
        due = max(due, now.nanoseconds) &+ step
        return due &- now.nanoseconds <= UInt64(rate.burst) &* step
    }
}
