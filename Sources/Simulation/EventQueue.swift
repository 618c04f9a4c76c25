import Catalog
import Platform
import SWIM

/// Something that will happen to a node. Those that belong to one life of it say which.
enum Happening {
    case datagram([UInt8], from: SocketAddress)
    case timer(SWIMTimer)
    /// A gossip stream that this node opens comes to the other side.
    case call(DialID, to: SocketAddress, request: [UInt8], timeout: Duration)
    case answer(DialID, [UInt8])
    case callFailed(DialID, DialFailure)
    /// A plane stream that this node opens comes to the other side.
    case connect(DialPlan.Dial)
    case connectFailed(DialPlan.Dial)
    case message(PlaneLink, CatalogMessage)
    /// The other end closed, or nothing came through for too long.
    case closed(PlaneLink)
    case tick
    case exchange
    case commit
    case publish
    case rejoin
}

/// What is to happen, the earliest first; equal times in the order of their scheduling.
///
/// A binary heap of small values; what happens lies in slots beside it, so that sifting moves 24 bytes.
struct EventQueue {
    struct Event {
        var node: Int
        /// The life of the node that it belongs to; nil: whoever runs there.
        var life: Int?
        var what: Happening
    }
    private struct Entry {
        var time: UInt64
        var number: UInt64
        var slot: Int

        static func precedes(_ a: Entry, _ b: Entry) -> Bool { a.time != b.time ? a.time < b.time : a.number < b.number }
    }

    private var heap: [Entry] = []
    private var slots: [Event?] = []
    private var free: [Int] = []
    private var pushed: UInt64 = 0

    init(capacity: Int) {
        heap.reserveCapacity(capacity)
        slots.reserveCapacity(capacity)
        free.reserveCapacity(capacity)
    }

    var count: Int { heap.count }

    /// - Returns: the event's number, which no other has.
    @discardableResult
    mutating func push(_ event: Event, at time: MonotonicTime) -> UInt64 {
        pushed += 1
        let slot = free.popLast() ?? slots.count
        if slot == slots.count { slots.append(event) } else { slots[slot] = event }
        var child = heap.count
        let entry = Entry(time: time.nanoseconds, number: pushed, slot: slot)
        heap.append(entry)
        while child > 0 {
            let parent = (child - 1) / 2
            guard Entry.precedes(entry, heap[parent]) else { break }
            heap[child] = heap[parent]
            child = parent
        }
        heap[child] = entry
        return pushed
    }

    /// The next one that is due at `end`.
    mutating func pop(until end: MonotonicTime) -> (time: MonotonicTime, number: UInt64, event: Event)? {
        guard let first = heap.first, first.time <= end.nanoseconds, let event = slots[first.slot] else { return nil }
        slots[first.slot] = nil
        free.append(first.slot)
        let last = heap.removeLast()
        if !heap.isEmpty { sink(last) }
        return (MonotonicTime(nanoseconds: first.time), first.number, event)
    }

    private mutating func sink(_ entry: Entry) {
        var parent = 0
        while true {
            var child = 2 * parent + 1
            guard child < heap.count else { break }
            if child + 1 < heap.count, Entry.precedes(heap[child + 1], heap[child]) { child += 1 }
            guard Entry.precedes(heap[child], entry) else { break }
            heap[parent] = heap[child]
            parent = child
        }
        heap[parent] = entry
    }
}
