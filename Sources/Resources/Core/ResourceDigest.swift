/// What a set of resource versions comes to, in 64 parts: two nodes find where they differ without naming everything.
///
/// Each entry's hash is added and taken away by exclusive or, so a change costs what changed. A hash is 64 bits of SHA-256: two sets that differ
/// look the same once in 2^64 times, until their next change.
struct ResourceDigest: Hashable, Sendable {
    static let parts = 64
    private(set) var values = [UInt64](repeating: 0, count: parts)

    /// Where an entry belongs, and what it adds.
    struct Mark: Hashable, Sendable {
        let part: Int
        let hash: UInt64

        init(_ key: ResourceKey, _ version: ResourceVersion, sha256: ([UInt8]) -> [UInt8]) {
            part = Int(sha256(Array(key.path.utf8)).first ?? 0) % ResourceDigest.parts
            hash = sha256(Array("\(key.path) \(version)".utf8)).prefix(8).reduce(0) { $0 << 8 | UInt64($1) }
        }
    }

    mutating func toggle(_ mark: Mark) { values[mark.part] ^= mark.hash }

    /// One number for all parts, in their order.
    var whole: UInt64 { values.reduce(0x9e37_79b9_7f4a_7c15) { ($0 ^ $1) &* 0xff51_afd7_ed55_8ccd ^ $0 >> 29 } }

    /// The parts in which another set differs; nil when it has another number of parts.
    func differences(to other: [UInt64]) -> [Int]? {
        guard other.count == values.count else { return nil }
        return values.indices.filter { values[$0] != other[$0] }
    }
}
