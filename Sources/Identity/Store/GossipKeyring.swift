import MeshModel

/// The mesh's gossip keys as one value on which all nodes come to agree: of two the one with the higher position holds.
///
/// Every order about keys makes the next revision. It travels between nodes over plane streams, and is `gossip.keys` on disk. Its description shows no key.
package struct GossipKeyring: Sendable, Equatable, CustomStringConvertible {
    /// What decides between two. Orders given on two nodes at once may make the same revision; then the digest decides, which is the same choice everywhere.
    package struct Position: Sendable, Hashable, Comparable {
        package var revision: UInt64
        /// Hexadecimal SHA-256 over the keys in their order.
        package var digest: String

        package init(revision: UInt64, digest: String) {
            self.revision = revision
            self.digest = digest
        }

        package static func < (a: Position, b: Position) -> Bool { (a.revision, a.digest) < (b.revision, b.digest) }
    }

    /// Every datagram that no key opens is tried with each.
    package static let bound = 8
    /// No mesh gives more orders. A node that claims more wants that nobody can order anything after it.
    package static let highestRevision: UInt64 = 1 << 40

    /// 16, 24 or 32 bytes each, the primary first.
    package let keys: [[UInt8]]
    /// Orders that there were so far.
    package let revision: UInt64
    /// The node where the last order was given; empty for the keys that the mesh began with.
    package let by: String
    package let position: Position

    /// - Throws: `gossip_keyring` for what no node may use.
    package init(keys: [[UInt8]], revision: UInt64 = 0, by: String = "") throws(MeshError) {
        func refuse(_ why: String) -> MeshError {
            MeshError(.peer, code: "gossip_keyring", "a gossip keyring \(why)", remedy: "check that all nodes run versions of Weft that may be mixed (`weft version`)")
        }
        guard 1...Self.bound ~= keys.count else { throw refuse("has \(keys.count) keys, and may have 1 to \(Self.bound)") }
        guard keys.allSatisfy({ [16, 24, 32].contains($0.count) }) else { throw refuse("has a key that is not 16, 24 or 32 bytes long") }
        guard Set(keys).count == keys.count else { throw refuse("has a key twice") }
        guard revision <= Self.highestRevision else { throw refuse("has the impossible revision \(revision)") }
        guard by.isEmpty || SPIFFEID.isSegment(by) else { throw refuse("names no node as its origin") }
        self.keys = keys
        self.revision = revision
        self.by = by
        position = Position(revision: revision, digest: Hex.encode(Hash.sha256(keys.flatMap { Hash.sha256($0) })))
    }

    /// Public names of the keys, in the keys' order.
    package var fingerprints: [String] { keys.map(Self.fingerprint) }

    /// The first eight bytes of the key's SHA-256.
    package static func fingerprint(_ key: [UInt8]) -> String { Hex.encode(Hash.sha256(key).prefix(8)) }

    package var description: String { "\(keys.count) gossip keys of revision \(revision)" }
}

extension GossipKeyring: Codable {
    private enum Fields: String, CodingKey { case keys, revision, by }

    package init(from decoder: any Decoder) throws {
        let fields = try decoder.container(keyedBy: Fields.self)
        try self.init(
            keys: try fields.decode([Bytes].self, forKey: .keys).map(\.bytes), revision: try fields.decode(UInt64.self, forKey: .revision),
            by: try fields.decode(String.self, forKey: .by))
    }

    package func encode(to encoder: any Encoder) throws {
        var fields = encoder.container(keyedBy: Fields.self)
        try fields.encode(keys.map { Bytes($0) }, forKey: .keys)
        try fields.encode(revision, forKey: .revision)
        try fields.encode(by, forKey: .by)
    }
}
