import Platform
import Testing

@Suite("Work after every change")
struct PacedWorkTests {
    @Test func `waits as long as it must, as little as it may`() {
        var work = PacedWork(least: .milliseconds(10), most: .milliseconds(250))
        #expect(work.wait == .milliseconds(10))
        work.ran(for: .microseconds(100))
        #expect(work.wait == .milliseconds(10))
        work.ran(for: .milliseconds(20))
        #expect(work.wait == .milliseconds(80), "a fifth of the time at most")
        work.ran(for: .seconds(1))
        #expect(work.wait == .milliseconds(250))
        work.ran(for: .zero)
        #expect(work.wait == .milliseconds(10), "the last run counts")
    }
}
