/// News on its way out: each item is sent a limited number of times, on whatever packet has room (memberlist-protocol §12.1).
///
/// Sorted by who goes next; finding an item by its subject and placing one are binary searches, so a storm of joins stays cheap.
struct BroadcastQueue: Sendable {
    /// An item's place: least sent first; among those the longest, then the newest.
    private struct Rank: Hashable, Sendable {
        var transmits: Int
        var length: Int
        var number: UInt64

        static func < (a: Rank, b: Rank) -> Bool {
            if a.transmits != b.transmits { return a.transmits < b.transmits }
            if a.length != b.length { return a.length > b.length }
            return a.number > b.number
        }
    }

    private struct Item: Sendable {
        var rank: Rank
        var bytes: [UInt8]
        /// What it is about; newer news about the same replaces it.
        var subject: String?
        var most: Int
    }

    private var items: [Item] = []
    private var ranks: [String: Rank] = [:]
    private var next: UInt64 = 0
    /// No item is shorter.
    private var shortest = Int.max
    /// More items than this push out what was sent most.
    let bound: Int
    private(set) var dropped: UInt64 = 0

    init(bound: Int) { self.bound = bound }

    var isEmpty: Bool { items.isEmpty }
    var count: Int { items.count }

    /// - Parameter most: it is sent no more often than this, whatever the limit for all.
    mutating func enqueue(_ bytes: [UInt8], about subject: String?, most: Int = .max) {
        if let subject, let old = ranks[subject] { items.remove(at: place(of: old)) }
        if items.count >= bound {
            if let subject = items.removeLast().subject { ranks[subject] = nil }
            dropped &+= 1
        }
        next += 1
        shortest = items.isEmpty ? bytes.count : min(shortest, bytes.count)
        insert(Item(rank: Rank(transmits: 0, length: bytes.count, number: next), bytes: bytes, subject: subject, most: most))
    }

    /// A queue that is longer than this has more to say than a few rounds carry.
    static let crowded = 32

    /// Somebody has sent us the same. In a crowded queue it counts as one of our own transmissions: where much is told at once, as when hundreds join, most of it
    /// meets those who know it. (In a short queue it does not: half as many transmissions would leave one node in fifty without the news.)
    mutating func heard(_ message: Message, about subject: String, limit: Int) {
        guard items.count > Self.crowded, let rank = ranks[subject] else { return }
        let index = place(of: rank)
        guard items[index].bytes == message.encoded else { return }
        var item = items.remove(at: index)
        item.rank.transmits += 1
        if item.rank.transmits < min(limit, item.most) { insert(item) } else { ranks[subject] = nil }
    }

    /// Takes what fits `room` bytes, each with `perItem` bytes more; counts one transmission for each taken.
    mutating func take(room: Int, perItem: Int, atMost count: Int, limit: Int) -> [[UInt8]] {
        var room = room
        var taken: [Item] = []
        var passedOver: [Item] = []
        var index = 0
        while index < items.count, taken.count < count, room >= shortest + perItem {
            if items[index].rank.length + perItem <= room {
                room -= items[index].rank.length + perItem
                taken.append(items[index])
            } else {
                passedOver.append(items[index])
            }
            index += 1
        }
        items.replaceSubrange(0..<index, with: passedOver)
        for var item in taken {
            item.rank.transmits += 1
            if item.rank.transmits < min(limit, item.most) {
                insert(item)
            } else if let subject = item.subject {
                ranks[subject] = nil
            }
        }
        return taken.map(\.bytes)
    }

    private mutating func insert(_ item: Item) {
        items.insert(item, at: place(of: item.rank))
        if let subject = item.subject { ranks[subject] = item.rank }
    }

    /// Where it is, or belongs.
    private func place(of rank: Rank) -> Int {
        var low = 0
        var high = items.count
        while low < high {
            let middle = (low + high) / 2
            if items[middle].rank < rank { low = middle + 1 } else { high = middle }
        }
        return low
    }
}
