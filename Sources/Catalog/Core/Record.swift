import Platform

/// What a record is about: its kind and its name within its origin.
///
/// Kinds are open: a kind that this version does not know is kept, checked and passed on, but not shown.
package struct RecordKey: Hashable, Comparable, Sendable, CustomStringConvertible {
    package let kind: String
    package let name: String

    package init(kind: String, name: String) {
        self.kind = kind
        self.name = name
    }

    /// What a node says of itself; the name is the node's.
    package static func node(_ name: String) -> RecordKey { RecordKey(kind: nodeKind, name: name) }
    /// One instance of a service; the name is `<service>.<namespace>/<address>`.
    package static func endpoint(_ name: String) -> RecordKey { RecordKey(kind: endpointKind, name: name) }
    package static let nodeKind = "node"
    package static let endpointKind = "endpoint"

    /// Bytes of both parts.
    var cost: Int { kind.utf8.count + name.utf8.count }

    package static func < (a: RecordKey, b: RecordKey) -> Bool { (a.kind, a.name) < (b.kind, b.name) }
    package var description: String { "\(kind) \(name)" }
}

/// A SHA-256 result.
package struct RecordDigest: Hashable, Sendable {
    private let words: (UInt64, UInt64, UInt64, UInt64)

    /// Nil unless there are 32 bytes.
    package init?(_ bytes: [UInt8]) {
        guard bytes.count == 32 else { return nil }
        func word(_ at: Int) -> UInt64 { bytes[at..<at + 8].reduce(0) { $0 << 8 | UInt64($1) } }
        words = (word(0), word(8), word(16), word(24))
    }

    package func append(to bytes: inout [UInt8]) {
        for word in [words.0, words.1, words.2, words.3] { bytes.append(bigEndian: word) }
    }
    package var bytes: [UInt8] {
        var bytes: [UInt8] = []
        append(to: &bytes)
        return bytes
    }

    package static func == (a: RecordDigest, b: RecordDigest) -> Bool { a.words == b.words }
    package func hash(into hasher: inout Hasher) { hasher.combine(words.0) }
}

/// One entry of an origin's log. Its version is the origin's version when it was last written, and unique there.
package struct Record: Hashable, Sendable {
    package let key: RecordKey
    package let version: UInt64
    /// JSON, kept byte for byte, so that fields of newer versions survive. Nil when it was withheld: this node or the one it came from refused the
    /// content, and only its digest travels on (the origin's signature covers all of its records).
    package var payload: [UInt8]?
    package let digest: RecordDigest

    package init(key: RecordKey, version: UInt64, payload: [UInt8]?, digest: RecordDigest) {
        self.key = key
        self.version = version
        self.payload = payload
        self.digest = digest
    }

    /// The bytes whose SHA-256 is the record's digest: each part with its length, so that no two records have the same.
    package static func digestInput(key: RecordKey, version: UInt64, payload: [UInt8]) -> [UInt8] {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(payload.count + 96)
        bytes.append(lengthPrefixed: Array("weft-catalog-record-1".utf8))
        bytes.append(lengthPrefixed: Array(key.kind.utf8))
        bytes.append(lengthPrefixed: Array(key.name.utf8))
        bytes.append(bigEndian: version)
        bytes.append(lengthPrefixed: payload)
        return bytes
    }

    /// What it counts for against the bounds of its origin.
    package var cost: Int { (payload?.count ?? 32) + key.cost + 64 }
}

/// How far somebody knows an origin. A higher generation replaces everything of a lower one.
package struct Position: Hashable, Comparable, Sendable, CustomStringConvertible {
    /// Grows with each start of the origin.
    package var generation: UInt64
    /// Grows with each change within the generation.
    package var version: UInt64

    package init(generation: UInt64, version: UInt64) {
        self.generation = generation
        self.version = version
    }
    /// Knows nothing.
    package static let none = Position(generation: 0, version: 0)

    package static func < (a: Position, b: Position) -> Bool { (a.generation, a.version) < (b.generation, b.version) }
    package var description: String { "\(generation).\(version)" }
}
