/// What a set of entries comes to, in 64 parts: two nodes find where they differ without naming everything.
///
/// Each entry's hash is added and taken away by exclusive or, so a change costs what changed. A hash is 64 bits of SHA-256: two sets that differ
/// look the same once in 2^64 times, until their next change.
package struct SetDigest: Hashable, Sendable {
    package static let parts = 64
    package private(set) var values = [UInt64](repeating: 0, count: parts)

    package init() {}

    /// Where an entry belongs, and what it adds.
    package struct Mark: Hashable, Sendable {
        package let part: Int
        package let hash: UInt64

        /// - Parameters:
        ///   - name: of the entry; it stays in its part whatever becomes of it.
        ///   - state: the name and what may change of it, as bytes.
        package init(_ name: String, state: [UInt8], sha256: ([UInt8]) -> [UInt8]) {
            part = SetDigest.part(of: name)
            hash = sha256(state).prefix(8).reduce(0) { $0 << 8 | UInt64($1) }
        }
    }

    package static func part(of name: String) -> Int { Int(StableHash.of(name) % UInt64(parts)) }

    package mutating func toggle(_ mark: Mark) { values[mark.part] ^= mark.hash }

    /// One number for all parts, in their order.
    package var whole: UInt64 { values.reduce(0x9e37_79b9_7f4a_7c15) { ($0 ^ $1) &* 0xff51_afd7_ed55_8ccd ^ $0 >> 29 } }

    /// The parts in which another set differs; nil when it has another number of parts.
    package func differences(to other: [UInt64]) -> [Int]? {
        guard other.count == values.count else { return nil }
        return values.indices.filter { values[$0] != other[$0] }
    }
}
