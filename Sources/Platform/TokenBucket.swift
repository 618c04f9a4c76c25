/// A rate with a burst.
package struct TokenBucket: Sendable {
    private var tokens: Double
    private var filled: MonotonicTime

    package init(burst: Double, now: MonotonicTime) {
        tokens = burst
        filled = now
    }

    /// True when `cost` tokens were there; they are gone then. A cost above the burst never passes.
    package mutating func take(_ cost: Double, rate: Double, burst: Double, now: MonotonicTime) -> Bool {
        if now > filled {
            tokens = min(burst, tokens + Double((now - filled).nanoseconds) / 1e9 * rate)
            filled = now
        }
        guard tokens >= cost else { return false }
        tokens -= cost
        return true
    }
}
