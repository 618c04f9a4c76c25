import Identity
import MeshModel

/// The pool's keys: AES-128, -192 or -256. The first seals; all open.
///
/// A value; `Gossip.keyring` holds the one in force. Its description shows no key.
package struct Keyring: Hashable, Sendable, CustomStringConvertible {
    /// 16, 24 or 32 bytes each, the primary first.
    package private(set) var keys: [[UInt8]] = []
    /// Keys above this are refused: every datagram with a wrong key is tried with each.
    package static let bound = GossipKeyring.bound

    /// Empty: no encryption.
    package init() {}

    package init(keys: [[UInt8]]) throws(MeshError) {
        for key in keys { try add(key) }
    }

    package var isEmpty: Bool { keys.isEmpty }
    package var primary: [UInt8]? { keys.first }

    /// Adds a key for opening only; the first one becomes primary. A known key changes nothing.
    package mutating func add(_ key: [UInt8]) throws(MeshError) {
        guard [16, 24, 32].contains(key.count) else {
            throw MeshError(.configuration, code: "gossip_key_size", "a gossip key has \(key.count) bytes", remedy: "use 16, 24 or 32 random bytes")
        }
        guard !keys.contains(key) else { return }
        guard keys.count < Self.bound else {
            throw MeshError(
                .configuration, code: "gossip_keyring_full", "the gossip keyring has \(keys.count) keys",
                remedy: "remove keys that no member uses any more")
        }
        keys.append(key)
    }

    /// Makes a key of the ring the one that seals.
    package mutating func use(_ key: [UInt8]) throws(MeshError) {
        guard let index = keys.firstIndex(of: key) else {
            throw MeshError(
                .configuration, code: "gossip_key_unknown", "the key is not in the gossip keyring", remedy: "add it on every member first")
        }
        keys.insert(keys.remove(at: index), at: 0)
    }

    package mutating func remove(_ key: [UInt8]) throws(MeshError) {
        guard key != keys.first else {
            throw MeshError(.configuration, code: "gossip_key_primary", "the primary gossip key cannot be removed", remedy: "use another key first")
        }
        keys.removeAll { $0 == key }
    }

    package var description: String { "\(keys.count) keys" }
}
