import Platform
import Testing

@testable import Traffic

@Suite("Limits of a namespace")
struct NamespaceLimitsTests {
    private static let start = MonotonicTime(nanoseconds: 5_000_000_000)
    private static func at(_ seconds: Double) -> MonotonicTime { MonotonicTime(nanoseconds: start.nanoseconds + UInt64(seconds * 1e9)) }

    @Test(
        "a flow is refused for the first limit that it would break",
        arguments: [
            (0, 0, 0, nil), (9, 0, 0, nil), (10, 0, 0, .flows), (11, 0, 0, .flows),
            (0, (1 << 20) - (16 << 10), 0, nil), (0, (1 << 20) - (16 << 10) + 1, 0, .memory), (0, 2 << 20, 0, .memory),
            (0, 0, 1.0, .rate), (0, 0, 0.75, nil), (0, 0, 0.76, .rate), (10, 2 << 20, 1, .flows), (0, 2 << 20, 1, .memory),
        ] as [(Int, Int, Double, NamespaceRefusal?)])
    func refusals(flows: Int, charged: Int, ahead: Double, expected: NamespaceRefusal?) {
        let limits = NamespaceLimits(flows: 10, newFlowsPerSecond: 4, memory: 1 << 20)
        let admission = limits.admit(flows: flows, charged: charged, arrival: Self.at(ahead), at: Self.start)
        if let expected { #expect(admission == .refused(expected)) } else { #expect(admission == .admitted(nextArrival: Self.at(ahead + 0.25))) }
    }

    /// How many of those that arrive, one each `every`, are admitted until `end`.
    private static func admitted(_ limits: NamespaceLimits, every: Double, until end: Double, arrival: inout MonotonicTime) -> Int {
        var count = 0
        for number in 0..<Int((end / every).rounded(.up)) {
            if case .admitted(let next) = limits.admit(flows: 0, charged: 0, arrival: arrival, at: at(Double(number) * every)) {
                arrival = next
                count += 1
            }
        }
        return count
    }

    @Test("in t seconds of a flood rate × (t + 1) flows are admitted", arguments: [1, 7, 100, 5000], [1.0, 3.0])
    func flood(rate: Int, seconds: Double) {
        var arrival = MonotonicTime(nanoseconds: 0)
        let count = Self.admitted(NamespaceLimits(newFlowsPerSecond: rate), every: 0.1 / Double(rate), until: seconds, arrival: &arrival)
        // The last interval has just not ended; and intervals are whole nanoseconds.
        #expect(abs(count - (Int(Double(rate) * (seconds + 1)) - 1)) <= 1, "\(count)")
    }

    @Test("what comes at the rate is never refused, and a rest fills no more than a second's worth")
    func steady() {
        let limits = NamespaceLimits(newFlowsPerSecond: 10)
        var arrival = MonotonicTime(nanoseconds: 0)
        #expect(Self.admitted(limits, every: 0.1, until: 60, arrival: &arrival) == 600)
        var burst = 0
        while case .admitted(let next) = limits.admit(flows: 0, charged: 0, arrival: arrival, at: Self.at(3600)) {
            arrival = next
            burst += 1
        }
        #expect(burst == 10)
    }

    @Test("a clock that another worker read a moment earlier is no trap")
    func earlierClock() {
        let limits = NamespaceLimits(newFlowsPerSecond: 2)
        guard case .admitted(let next) = limits.admit(flows: 0, charged: 0, arrival: Self.start, at: Self.at(1)) else { return #expect(Bool(false)) }
        #expect(limits.admit(flows: 0, charged: 0, arrival: next, at: Self.at(0.999)) == .refused(.rate))
        #expect(limits.admit(flows: 0, charged: 0, arrival: next, at: Self.at(1)) == .admitted(nextArrival: Self.at(2)))
    }

    @Test("a new rate is in force within a second, whatever the old one was", arguments: [1, 10, 1000], [1, 10, 1000])
    func reload(before: Int, after: Int) {
        var arrival = MonotonicTime(nanoseconds: 0)
        while case .admitted(let next) = NamespaceLimits(newFlowsPerSecond: before).admit(flows: 0, charged: 0, arrival: arrival, at: Self.start) { arrival = next }
        #expect(NamespaceLimits(newFlowsPerSecond: after).admit(flows: 0, charged: 0, arrival: arrival, at: Self.at(1)) != .refused(.rate))
        #expect(NamespaceLimits(newFlowsPerSecond: 0).admit(flows: 0, charged: 0, arrival: arrival, at: Self.start) != .refused(.rate))
    }

    @Test(
        "bytes are allowed up to the bound, and what can be done without up to three quarters",
        arguments: [
            (1000, 0, false, true), (1001, 0, false, false), (1, 1000, false, false), (0, 1000, false, true),
            (750, 0, true, true), (751, 0, true, false), (1, 750, true, false), (250, 750, false, true),
        ])
    func charging(bytes: Int, charged: Int, spare: Bool, expected: Bool) {
        #expect(NamespaceLimits(memory: 1000).allows(bytes, beyond: charged, spare: spare) == expected)
    }
}
