/// News on its way out: each item is sent a limited number of times, on whatever packet has room (memberlist-protocol §12.1).
///
/// Overview: what was sent least goes next; among those the longest, then the newest.
/// Implementation: that order is one number for each item, and only numbers are sorted; items stay where they are. Finding one by its subject and placing one are
/// binary searches, so a storm of joins stays cheap.
struct BroadcastQueue: Sendable {
    /// An item's place in line, the smallest first: 8 bits of transmissions, 16 of what its length lacks to the longest, 40 of its age. (A thousand items a second
    /// use those up in thirty years.)
    private struct Rank: Hashable, Comparable, Sendable {
        private var bits: UInt64

        init(length: Int, number: UInt64) { bits = UInt64(UInt16.max - UInt16(clamping: length)) << 40 | (~number & (1 << 40 - 1)) }

        var transmits: Int { Int(bits >> 56) }
        /// Of what is longer than 64 KiB just that.
        var length: Int { Int(UInt16.max - UInt16(truncatingIfNeeded: bits >> 40)) }
        mutating func transmit() { bits += 1 << 56 }
        static func < (a: Rank, b: Rank) -> Bool { a.bits < b.bits }
    }

    private struct Place: Sendable {
        var rank: Rank
        var slot: Int
    }

    private struct Item: Sendable {
        var rank: Rank
        var bytes: [UInt8]
        /// What it is about; newer news about the same replaces it.
        var subject: Int?
        /// Of news that its subject lives.
        var incarnation: UInt32?
        var most: Int
    }

    private var line: [Place] = []
    private var items: [Item] = []
    private var free: [Int] = []
    /// Of each subject its item, or none (-1).
    private var slots: [Int] = []
    private var next: UInt64 = 0
    /// No item is shorter.
    private var shortest = Int.max
    /// More items than this push out what was sent most.
    let bound: Int
    private(set) var dropped: UInt64 = 0

    init(bound: Int) { self.bound = bound }

    var isEmpty: Bool { line.isEmpty }
    var count: Int { line.count }
    /// The most transmissions that an item can count.
    static let mostTransmits = 255

    /// - Parameters:
    ///   - subject: a small number: there is a table of all below it.
    ///   - incarnation: of its subject, when the news is that it lives.
    ///   - most: it is sent no more often than this, whatever the limit for all.
    mutating func enqueue(_ bytes: [UInt8], about subject: Int?, incarnation: UInt32? = nil, most: Int = .max) {
        if let subject { forget(subject) }
        if line.count >= bound {
            drop(at: line.count - 1)
            dropped &+= 1
        }
        next += 1
        shortest = line.isEmpty ? bytes.count : min(shortest, bytes.count)
        let item = Item(rank: Rank(length: bytes.count, number: next), bytes: bytes, subject: subject, incarnation: incarnation, most: most)
        let slot = free.popLast() ?? items.count
        if slot == items.count { items.append(item) } else { items[slot] = item }
        if let subject {
            while slots.count <= subject { slots.append(-1) }
            slots[subject] = slot
        }
        line.insert(Place(rank: item.rank, slot: slot), at: place(of: item.rank))
    }

    /// There is nothing to say about it any more.
    mutating func forget(_ subject: Int) {
        if let slot = slot(of: subject) { drop(at: place(of: items[slot].rank)) }
    }

    private func slot(of subject: Int) -> Int? { subject < slots.count && slots[subject] >= 0 ? slots[subject] : nil }

    /// A queue that is longer than this has more to say than a few rounds carry.
    static let crowded = 32

    /// Somebody has sent us the same: that it lives, at this incarnation. In a crowded queue it counts as one of our own transmissions: where much is told at once, as when hundreds join, most of it
    /// meets those who know it. (In a short queue it does not: half as many transmissions would leave one node in fifty without the news.)
    mutating func heard(_ incarnation: UInt32, about subject: Int, limit: Int) {
        guard line.count > Self.crowded, let slot = slot(of: subject), items[slot].incarnation == incarnation else { return }
        let index = place(of: items[slot].rank)
        if countTransmit(slot, limit) {
            line.remove(at: index)
            line.insert(Place(rank: items[slot].rank, slot: slot), at: place(of: items[slot].rank))
        } else {
            drop(at: index)
        }
    }

    /// Takes what fits `room` bytes, each with `perItem` bytes more; counts one transmission for each taken.
    mutating func take(room: Int, perItem: Int, atMost count: Int, limit: Int) -> [[UInt8]] {
        var room = room
        var taken: [Place] = []
        var passedOver: [Place] = []
        var index = 0
        while index < line.count, taken.count < count, room >= shortest + perItem {
            let cost = line[index].rank.length + perItem
            if cost <= room {
                room -= cost
                taken.append(line[index])
            } else {
                passedOver.append(line[index])
            }
            index += 1
        }
        line.replaceSubrange(0..<index, with: passedOver)
        return taken.map { place in
            let bytes = items[place.slot].bytes
            if countTransmit(place.slot, limit) {
                let rank = items[place.slot].rank
                line.insert(Place(rank: rank, slot: place.slot), at: self.place(of: rank))
            } else {
                release(place.slot)
            }
            return bytes
        }
    }

    /// False when that was the last one.
    private mutating func countTransmit(_ slot: Int, _ limit: Int) -> Bool {
        guard items[slot].rank.transmits + 1 < min(limit, items[slot].most, Self.mostTransmits) else { return false }
        items[slot].rank.transmit()
        return true
    }

    private mutating func drop(at index: Int) { release(line.remove(at: index).slot) }

    private mutating func release(_ slot: Int) {
        if let subject = items[slot].subject { slots[subject] = -1 }
        items[slot].bytes = []
        items[slot].subject = nil
        free.append(slot)
    }

    /// Where it is, or belongs.
    private func place(of rank: Rank) -> Int {
        var low = 0
        var high = line.count
        while low < high {
            let middle = (low + high) / 2
            if line[middle].rank < rank { low = middle + 1 } else { high = middle }
        }
        return low
    }
}
