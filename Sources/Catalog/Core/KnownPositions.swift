import MeshModel
import Platform

/// How far each origin is known, and what all of that comes to in a few numbers.
struct KnownPositions: Sendable {
    private(set) var all: [String: Position] = [:]
    private var digest = SetDigest()
    private let sha256: @Sendable ([UInt8]) -> [UInt8]

    init(sha256: @escaping @Sendable ([UInt8]) -> [UInt8]) { self.sha256 = sha256 }

    subscript(origin: String) -> Position? {
        get { all[origin] }
        set {
            let old = all[origin]
            guard newValue != old else { return }
            if let old { digest.toggle(mark(origin, old)) }
            if let newValue { digest.toggle(mark(origin, newValue)) }
            all[origin] = newValue
        }
    }

    /// How many there are besides some, and what those come to.
    func all(besides excluded: [String]) -> (count: Int, digest: SetDigest) {
        var (count, digest) = (all.count, self.digest)
        for origin in excluded {
            guard let position = all[origin] else { continue }
            digest.toggle(mark(origin, position))
            count -= 1
        }
        return (count, digest)
    }

    /// Those in some parts of the digest.
    func named(in parts: PartSet, besides excluded: [String]) -> [String: Position] {
        guard parts != .none else { return [:] }
        return all.filter { parts.contains(SetDigest.part(of: $0.key)) && !excluded.contains($0.key) }
    }

    private func mark(_ origin: String, _ position: Position) -> SetDigest.Mark {
        var state: [UInt8] = []
        state.append(bigEndian: position.generation)
        state.append(bigEndian: position.version)
        state.append(contentsOf: origin.utf8)
        return SetDigest.Mark(origin, state: state, sha256: sha256)
    }
}

/// Some of the 64 parts of a `SetDigest`, one bit each.
package struct PartSet: Hashable, Sendable {
    package var bits: UInt64
    package init(bits: UInt64) { self.bits = bits }
    package static let none = PartSet(bits: 0)
    package static let all = PartSet(bits: .max)

    package init(_ parts: [Int]) { bits = parts.reduce(0) { $0 | 1 << UInt64($1) } }
    package func contains(_ part: Int) -> Bool { bits >> UInt64(part) & 1 == 1 }
}
