import Platform

/// How often drift is repaired: a burst at once, then one a second, so that two programs that disagree don't fight at full speed. Pure.
package struct RepairBudget: Equatable, Sendable {
    package static let burst = 10
    package static let interval = Duration.seconds(1)

    private var spent = 0
    private var since = MonotonicTime(nanoseconds: 0)

    package init() {}

    /// Takes one repair.
    /// - Returns: nil when it may be done now; else how long to wait before asking again.
    package mutating func take(at now: MonotonicTime) -> Duration? {
        let earned = Int((now - since).nanoseconds / Self.interval.nanoseconds)
        if earned > 0 {
            spent = max(0, spent - earned)
            since = spent == 0 ? now : since + .nanoseconds(Int64(earned) * Self.interval.nanoseconds)
        }
        guard spent < Self.burst else { return Self.interval - (now - since) }
        spent += 1
        return nil
    }
}
