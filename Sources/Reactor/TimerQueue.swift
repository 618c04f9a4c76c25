import Platform

/// Timers by deadline, for the control loop: a binary heap with lazy removal.
struct TimerQueue<Payload>: ~Copyable {
    private var heap: [(deadline: MonotonicTime, number: UInt64)] = []
    private var live: [UInt64: (deadline: MonotonicTime, payload: Payload)] = [:]

    /// Sets a timer; a second one with the same number replaces the first.
    mutating func insert(_ number: UInt64, at deadline: MonotonicTime, _ payload: Payload) {
        live[number] = (deadline, payload)
        heap.append((deadline, number))
        siftUp(heap.count - 1)
    }

    mutating func remove(_ number: UInt64) {
        live[number] = nil
        if heap.count > 64 && heap.count > 4 * live.count { rebuild() }
    }

    /// Removes and returns one timer that is due.
    mutating func popDue(_ now: MonotonicTime) -> Payload? {
        while let first = heap.first, first.deadline <= now {
            removeFirst()
            if let entry = live[first.number], entry.deadline == first.deadline {
                live[first.number] = nil
                return entry.payload
            }
        }
        return nil
    }

    /// How long epoll may wait, rounded up; −1 when there is no timer.
    mutating func milliseconds(from now: MonotonicTime) -> CInt {
        while let first = heap.first, live[first.number]?.deadline != first.deadline { removeFirst() }
        guard let first = heap.first else { return -1 }
        guard first.deadline > now else { return 0 }
        return CInt(min((first.deadline.nanoseconds - now.nanoseconds + 999_999) / 1_000_000, 3_600_000))
    }

    private mutating func rebuild() {
        heap = live.map { ($0.value.deadline, $0.key) }.sorted { $0.deadline < $1.deadline }
    }

    private mutating func removeFirst() {
        heap.swapAt(0, heap.count - 1)
        heap.removeLast()
        var parent = 0
        while true {
            var least = parent
            for child in [2 * parent + 1, 2 * parent + 2] where child < heap.count && heap[child].deadline < heap[least].deadline { least = child }
            if least == parent { return }
            heap.swapAt(parent, least)
            parent = least
        }
    }

    private mutating func siftUp(_ index: Int) {
        var child = index
        while child > 0 {
            let parent = (child - 1) / 2
            if heap[parent].deadline <= heap[child].deadline { return }
            heap.swapAt(parent, child)
            child = parent
        }
    }
}
