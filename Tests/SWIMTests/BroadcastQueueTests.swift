import Testing

@testable import SWIM

@Suite("News on its way out")
struct BroadcastQueueTests {
    private func bytes(_ length: Int, _ mark: UInt8) -> [UInt8] { [UInt8](repeating: mark, count: length) }

    @Test("what was sent least goes first; among those the longest, then the newest")
    func order() {
        var queue = BroadcastQueue(bound: 10)
        queue.enqueue(bytes(10, 1), about: 1)
        queue.enqueue(bytes(20, 2), about: 2)
        queue.enqueue(bytes(10, 3), about: 3)
        #expect(queue.take(room: 40, perItem: 2, atMost: 255, limit: 3) == [bytes(20, 2), bytes(10, 3)])
        #expect(queue.take(room: 100, perItem: 2, atMost: 255, limit: 3) == [bytes(10, 1), bytes(20, 2), bytes(10, 3)])
        // The first is behind by one transmission; each goes three times.
        #expect(queue.take(room: 100, perItem: 2, atMost: 255, limit: 3) == [bytes(10, 1), bytes(20, 2), bytes(10, 3)])
        #expect(queue.take(room: 100, perItem: 2, atMost: 255, limit: 3) == [bytes(10, 1)])
        #expect(queue.isEmpty)
    }

    @Test("newer news replaces older about the same, and what nobody needs to hear any more goes")
    func replaced() {
        var queue = BroadcastQueue(bound: 10)
        queue.enqueue(bytes(10, 1), about: 1)
        queue.enqueue(bytes(10, 2), about: 1)
        queue.enqueue(bytes(10, 3), about: nil)
        queue.enqueue(bytes(10, 4), about: 0)
        queue.forget(0)
        queue.forget(7)
        #expect(queue.take(room: 100, perItem: 2, atMost: 255, limit: 1) == [bytes(10, 3), bytes(10, 2)])
        #expect(queue.isEmpty)
        // Places that are free again are used again.
        queue.enqueue(bytes(10, 5), about: 1)
        #expect(queue.take(room: 100, perItem: 2, atMost: 255, limit: 1) == [bytes(10, 5)])
    }

    @Test("a full queue lets go of what was sent most, and counts it; one item may be sent less often than the rest")
    func bounded() {
        var queue = BroadcastQueue(bound: 2)
        queue.enqueue(bytes(10, 1), about: 1)
        _ = queue.take(room: 100, perItem: 2, atMost: 255, limit: 3)
        queue.enqueue(bytes(10, 2), about: 2, most: 1)
        queue.enqueue(bytes(10, 3), about: 3)
        #expect(queue.dropped == 1 && queue.count == 2)
        #expect(queue.take(room: 100, perItem: 2, atMost: 255, limit: 3) == [bytes(10, 3), bytes(10, 2)])
        #expect(queue.take(room: 100, perItem: 2, atMost: 255, limit: 3) == [bytes(10, 3)])
    }

    @Test("the same heard from others counts as sent when the queue is crowded, not else, and not of another incarnation")
    func heard() {
        var queue = BroadcastQueue(bound: 100)
        queue.enqueue(bytes(10, 0), about: 0, incarnation: 4)
        queue.heard(4, about: 0, limit: 1)
        #expect(queue.count == 1)
        for subject in 1...BroadcastQueue.crowded { queue.enqueue(bytes(10, UInt8(subject)), about: subject, incarnation: 1) }
        queue.heard(3, about: 0, limit: 1)
        #expect(queue.count == BroadcastQueue.crowded + 1)
        queue.heard(4, about: 0, limit: 1)
        #expect(queue.count == BroadcastQueue.crowded)
    }
}
