@testable import HTTPWire
import Platform
import Testing

@Suite struct `Flood limits` {
    @Test func `a burst is admitted, one more is not, and time brings it back`() {
        var limits = HTTP2Limits()
        limits.ping = .init(burst: 5, perSecond: 10)
        var flood = FloodGuard(limits)
        let start = MonotonicTime(nanoseconds: 50)
        for _ in 0..<5 { #expect(admits(&flood, .ping, start)) }
        #expect(!admits(&flood, .ping, start))
        #expect(admits(&flood, .ping, start + .milliseconds(200)))
    }

    @Test func `data that we sent earns window updates`() {
        var limits = HTTP2Limits()
        limits.control = .init(burst: 10, perSecond: 1)
        var flood = FloodGuard(limits)
        let now = MonotonicTime(nanoseconds: 1)
        for _ in 0..<1000 { flood.dataSent() }
        var admitted = 0
        for _ in 0..<2000 where admits(&flood, .control, now) { admitted += 1 }
        #expect(admitted == 2000)
        for _ in 0..<10 { _ = admits(&flood, .control, now) }
        #expect(!admits(&flood, .control, now))
    }

    @Test func `each stream earns one window update`() {
        var limits = HTTP2Limits()
        limits.control = .init(burst: 1, perSecond: 1)
        var flood = FloodGuard(limits)
        let now = MonotonicTime(nanoseconds: 1)
        for _ in 0..<100 { flood.streamOpened() }
        for _ in 0..<101 { #expect(admits(&flood, .control, now)) }
        #expect(!admits(&flood, .control, now))
    }

    @Test func `kinds do not share a budget`() {
        var limits = HTTP2Limits()
        limits.ping = .init(burst: 1, perSecond: 1)
        limits.settings = .init(burst: 1, perSecond: 1)
        var flood = FloodGuard(limits)
        let now = MonotonicTime(nanoseconds: 1)
        #expect(admits(&flood, .ping, now))
        #expect(!admits(&flood, .ping, now))
        #expect(admits(&flood, .settings, now))
    }

    private func admits(_ flood: inout FloodGuard, _ kind: HTTP2Flood, _ now: MonotonicTime) -> Bool { flood.admits(kind, at: now) }
}
