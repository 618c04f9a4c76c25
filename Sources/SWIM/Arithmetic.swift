import Platform

// Logarithms without the C library: the same on every machine, so a seed replays everywhere.

/// The natural logarithm of a number ≥ 1: exponent × ln 2, and the atanh series for the rest (error below 1e-12).
func naturalLogarithm(_ x: Double) -> Double {
    guard x > 1, x.isFinite else { return 0 }
    let m = x.significand
    let t = (m - 1) / (m + 1)
    var term = t
    var sum = 0.0
    var n = 1.0
    while n < 60 {
        sum += term / n
        term *= t * t
        n += 2
    }
    return Double(x.exponent) * 0.693_147_180_559_945_3 + 2 * sum
}

func decimalLogarithm(_ x: Double) -> Double { naturalLogarithm(x) / 2.302_585_092_994_045_7 }

/// `⌈log10(n + 1)⌉`, exactly.
func decimalDigitsUp(_ n: Int) -> Int {
    var power = 1
    var digits = 0
    while power < n + 1 {
        power *= 10
        digits += 1
    }
    return digits
}

/// `⌈log2 n⌉` for n ≥ 1, exactly.
func binaryDigitsUp(_ n: Int) -> Int { n <= 1 ? 0 : Int.bitWidth - (n - 1).leadingZeroBitCount }

extension Duration {
    func scaled(by factor: Double) -> Duration { .nanoseconds(Int64(Double(nanoseconds) * factor)) }
}
