/// What changed at one origin after a position, with the origin's signature on the result.
package struct OriginDelta: Hashable, Sendable {
    /// Everything up to this version (of the same generation) must be known already; nil replaces all that is known of the origin.
    package var from: UInt64?
    package var head: SignedHead
    package var records: [Record]
    package var tombstones: [Tombstone]

    package init(from: UInt64?, head: SignedHead, records: [Record], tombstones: [Tombstone]) {
        self.from = from
        self.head = head
        self.records = records
        self.tombstones = tombstones
    }

    package var origin: String { head.origin }
    package var position: Position { head.position }
    /// About as many bytes as it has on the wire.
    package var cost: Int {
        256 + head.chain.reduce(0) { $0 + $1.count * 4 / 3 } + records.reduce(0) { $0 + $1.cost * 5 / 4 } + tombstones.count * 96
    }
}

/// A record that was deleted. It is not signed by itself: the head proves that the key is not among the live records.
package struct Tombstone: Hashable, Sendable {
    package let key: RecordKey
    package let version: UInt64
    package init(key: RecordKey, version: UInt64) {
        self.key = key
        self.version = version
    }
}
