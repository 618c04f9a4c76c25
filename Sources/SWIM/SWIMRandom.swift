import Platform

/// The random numbers of a core, held by its shell and passed into every step: a seed replays a run exactly (xoshiro256**, Blackman and Vigna).
///
/// Not for secrets. Shells seed it from the system.
package struct SWIMRandom: RandomNumberGenerator, Sendable {
    private var a, b, c, d: UInt64

    package init(seed: UInt64) {
        var state = seed
        func next() -> UInt64 {  // SplitMix64, as the authors advise for seeding
            state &+= 0x9e37_79b9_7f4a_7c15
            var z = state
            z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
            z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
            return z ^ (z >> 31)
        }
        a = next()
        b = next()
        c = next()
        d = next()
    }

    package mutating func next() -> UInt64 {
        let x = b &* 5
        let result = ((x << 7) | (x >> 57)) &* 9
        let t = b << 17
        c ^= a
        d ^= b
        b ^= c
        a ^= d
        c ^= t
        d = (d << 45) | (d >> 19)
        return result
    }

    /// Anywhere in `[0, limit)`; zero for a limit that is not positive.
    mutating func duration(below limit: Duration) -> Duration {
        let nanoseconds = limit.nanoseconds
        return nanoseconds > 0 ? .nanoseconds(Int64.random(in: 0..<nanoseconds, using: &self)) : .zero
    }
}
