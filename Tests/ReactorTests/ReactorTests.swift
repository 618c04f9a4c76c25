import Glibc
import Platform
import Testing

@testable import Reactor

@Suite("Slab")
struct SlabTests {
    @Test("a freed slot's old handle is stale, also after the slot is used again")
    func generations() {
        var slab = Slab<Int>(bound: 2, blank: 0)
        let first = slab.allocate()!
        slab[first.slot].pointee = 7
        slab.release(first.slot)
        let stale = slab.get(first.slot, generation: first.generation)
        #expect(stale == nil)
        let second = slab.allocate()!
        #expect(second.slot == first.slot && second.generation != first.generation)
        let value = slab[second.slot].pointee
        #expect(value == 0)
        _ = slab.allocate()
        let third = slab.allocate()
        #expect(third == nil, "the bound holds")
    }

    @Test("a value keeps its address while the slab grows")
    func stable() {
        var slab = Slab<Int>(bound: 10_000, blank: 0)
        let first = slab.allocate()!
        let address = slab[first.slot]
        for _ in 0..<5000 { _ = slab.allocate() }
        let (now, count) = (slab[first.slot], slab.liveSlots.count)
        #expect(now == address)
        #expect(count == 5001)
    }

    @Test("an empty slab gives its memory back and still knows stale handles from new ones; one that is not empty keeps it")
    func shrinks() {
        var slab = Slab<Int>(bound: 10_000, blank: 0)
        let handles = (0..<5000).map { _ in slab.allocate()! }
        for handle in handles.dropFirst() { slab.release(handle.slot) }
        slab.shrinkIfEmpty()
        let kept = slab.chunks.count
        #expect(kept == 5)
        slab.release(handles[0].slot)
        slab.shrinkIfEmpty()
        let left = slab.chunks.count
        #expect(left == 1)
        let again = (0..<5000).map { _ in slab.allocate()! }
        let stale = handles.filter { slab.get($0.slot, generation: $0.generation) != nil }.count
        let good = again.filter { slab.get($0.slot, generation: $0.generation) != nil }.count
        #expect(stale == 0 && good == 5000)
        #expect(Set(again.map(\.slot)).count == 5000)
    }
}

@Suite("Timer wheel")
struct TimerWheelTests {
    private func at(_ milliseconds: UInt64) -> MonotonicTime { MonotonicTime(nanoseconds: milliseconds * 1_000_000) }
    private func token(_ slot: UInt32) -> Token { Token(kind: 1, slot: slot, generation: 0) }

    @Test("a timer fires within a tick after its time and never before", arguments: [0, 1, 99, 100, 101, 5_000, 51_000] as [UInt64])
    func fires(delay: UInt64) {
        var wheel = TimerWheel(now: at(1000))
        wheel.set(token(3), at: at(1000 + delay))
        var due: [Token] = []
        wheel.advance(to: at(1000 + delay), due: &due)
        #expect(due.isEmpty || delay == 0)
        wheel.advance(to: at(1000 + delay + 200), due: &due)
        #expect(due == [token(3)])
        let rest = wheel.milliseconds
        #expect(rest == -1)
    }

    @Test("after a long sleep without timers a near deadline is still near")
    func sleeps() {
        var wheel = TimerWheel(now: at(0))
        wheel.catchUp(at(3_600_000))
        wheel.set(token(1), at: at(3_601_000))
        var due: [Token] = []
        wheel.advance(to: at(3_600_900), due: &due)
        #expect(due.isEmpty)
        wheel.advance(to: at(3_601_200), due: &due)
        #expect(due == [token(1)])
    }

    @Test("a deadline beyond a turn is named early, so that its owner asks again")
    func far() {
        var wheel = TimerWheel(now: at(0))
        wheel.set(token(1), at: at(3_600_000))
        var due: [Token] = []
        wheel.advance(to: at(60_000), due: &due)
        #expect(due == [token(1)])
    }
}

@Suite("Pipe pool")
struct PipePoolTests {
    @Test("no more pipes are lent than the bound, and idle ones are closed when descriptors are short")
    func bounds() {
        var pool = PipePool(bound: 1, most: 2)
        let pipes = [pool.take(), pool.take()].compactMap { $0 }
        let third = pool.take()
        #expect(pipes.count == 2 && third == nil)
        for pipe in pipes { pool.give(pipe) }
        let lent = pool.lent
        #expect(lent == 0)
        let kept = pool.idle.count
        #expect(kept == 1, "one is kept, the other closed")
        pool.closeIdle()
        let left = pool.idle.count
        #expect(left == 0)
    }
}

@Suite("Control loop")
struct ControlLoopTests {
    @Control
    @Test("code of @Control runs on the control thread, and timers fire in order")
    func timers() async {
        #expect(ControlLoop.shared.isIsolatingCurrentContext() == true)
        var order: [Int] = []
        ControlLoop.shared.after(.milliseconds(30)) { order.append(2) }
        ControlLoop.shared.after(.milliseconds(10)) { order.append(1) }
        let cancelled = ControlLoop.shared.after(.milliseconds(20)) { order.append(9) }
        ControlLoop.shared.cancel(cancelled)
        await ControlLoop.shared.sleep(.milliseconds(60))
        #expect(order == [1, 2])
    }

    @Control
    @Test("a repeating timer stops when it is cancelled, also from its own body")
    func repeating() async {
        final class Ticker {
            var timer: TimerID?
            var count = 0
        }
        let ticker = Ticker()
        ticker.timer = ControlLoop.shared.every(.milliseconds(5)) {
            ticker.count += 1
            if ticker.count == 3 { ControlLoop.shared.cancel(ticker.timer!) }
        }
        for _ in 0..<200 where ticker.count < 3 { await ControlLoop.shared.sleep(.milliseconds(10)) }
        await ControlLoop.shared.sleep(.milliseconds(30))
        #expect(ticker.count == 3)
    }

    @Control
    @Test("a mailbox wakes its reader once for many messages, and drops beyond its bound")
    func mailbox() async throws {
        let mailbox = try Mailbox<Int>(bound: 3)
        var batches: [[Int]] = []
        let watch = try ControlLoop.shared.watch(mailbox.fd, .read) { _ in batches.append(mailbox.take()) }
        for value in 0..<5 { mailbox.post(value) }
        await ControlLoop.shared.sleep(.milliseconds(20))
        ControlLoop.shared.unwatch(watch)
        #expect(batches == [[0, 1, 2]])
        #expect(mailbox.dropped == 2)
    }
}
