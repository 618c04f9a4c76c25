import Platform
import Testing

@Suite("Work after every change")
struct PacedWorkTests {
    private func at(_ milliseconds: UInt64) -> MonotonicTime { MonotonicTime(nanoseconds: milliseconds * 1_000_000) }

    @Test func `the first does not wait, and the next as long as it must`() {
        var work = PacedWork(least: .milliseconds(10), most: .milliseconds(250))
        #expect(work.wait(at(100)) == .zero)
        work.ran(from: at(100), to: at(100))
        #expect(work.wait(at(104)) == .milliseconds(6))
        #expect(work.wait(at(110)) == .zero)
        #expect(work.wait(at(500)) == .zero, "nothing happened for a while")
        work.ran(from: at(500), to: at(520))
        #expect(work.wait(at(520)) == .milliseconds(80), "a fifth of the time at most")
        work.ran(from: at(600), to: at(1600))
        #expect(work.wait(at(1600)) == .milliseconds(250))
        work.ran(from: at(1850), to: at(1850))
        #expect(work.wait(at(1850)) == .milliseconds(10), "the last run counts")
    }
}
