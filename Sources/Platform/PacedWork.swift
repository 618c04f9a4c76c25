/// When work that is done anew after changes may be done again, so that it takes a small part of a thread however many changes come.
///
/// The first change after a quiet time is not kept waiting. Those that come soon after a run make one run together: the pause between runs is `least` while
/// they are cheap, and grows with what the last one cost.
public struct PacedWork: Sendable {
    private let least: Duration
    /// No state is older than this, whatever it costs.
    private let most: Duration
    private var next: MonotonicTime?

    /// A run may take one part in so many of the time.
    private static let share = 5

    public init(least: Duration, most: Duration) {
        self.least = least
        self.most = most
    }

    /// How long to wait after a change; zero for none.
    public func wait(_ now: MonotonicTime) -> Duration { next.map { max(.zero, $0 - now) } ?? .zero }

    /// A run began and ended.
    public mutating func ran(from start: MonotonicTime, to end: MonotonicTime) {
        next = end + min(most, max(least, (end - start) * (Self.share - 1)))
    }
}
