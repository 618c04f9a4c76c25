import Platform

/// Waits between attempts: doubling from 0.5 to 30 s, each with up to half of it random.
package struct Backoff: Hashable, Sendable {
    package static let shortest = Duration.milliseconds(500)
    package static let longest = Duration.seconds(30)
    private var attempts = 0

    package init() {}

    /// The wait before the next attempt.
    /// - Parameter random: 0..<1.
    package mutating func next(random: Double) -> Duration {
        let base = min(Self.longest.nanoseconds, Self.shortest.nanoseconds << Int64(min(attempts, 10)))
        attempts += 1
        return .nanoseconds(Int64(Double(base) * (0.5 + 0.5 * random)))
    }
    package mutating func reset() { attempts = 0 }
}
