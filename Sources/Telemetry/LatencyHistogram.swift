/// Counts of durations in fixed buckets, from 0.5 ms to a minute. A plain value of one thread; adding allocates nothing.
package struct LatencyHistogram: Sendable {
    /// Upper bounds in seconds.
    package static let bounds: [Double] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, .infinity]
    private static let nanoseconds: [UInt64] = bounds.map { $0.isInfinite ? .max : UInt64($0 * 1e9) }

    package private(set) var counts: [UInt64]
    package private(set) var sumNanoseconds: UInt64 = 0

    package init() { counts = Array(repeating: 0, count: Self.bounds.count) }

    package mutating func add(nanoseconds value: UInt64) {
        sumNanoseconds &+= value
        var index = 0
        while value > Self.nanoseconds[index] { index += 1 }
        counts[index] &+= 1
    }

    package mutating func add(_ other: LatencyHistogram) {
        for index in counts.indices { counts[index] &+= other.counts[index] }
        sumNanoseconds &+= other.sumNanoseconds
    }

    /// For `PrometheusText.histogram`.
    package var buckets: [(Double, UInt64)] { Array(zip(Self.bounds, counts)) }
    package var sumSeconds: Double { Double(sumNanoseconds) / 1e9 }
}
