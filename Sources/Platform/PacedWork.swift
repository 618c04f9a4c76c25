/// When work that is done anew after every change may be done again, so that it takes a small part of a thread however many changes come.
///
/// Changes that come while one waits make one run. The wait is `least` while runs are cheap, and grows with what the last one cost.
public struct PacedWork: Sendable {
    private let least: Duration
    /// No state is older than this, whatever it costs.
    private let most: Duration
    private var last = Duration.zero

    /// A run may take one part in so many of the time.
    private static let share = 5

    public init(least: Duration, most: Duration) {
        self.least = least
        self.most = most
    }

    /// How long to wait after a change.
    public var wait: Duration { min(most, max(least, last * (Self.share - 1))) }

    /// A run took this long.
    public mutating func ran(for cost: Duration) { last = cost }
}
