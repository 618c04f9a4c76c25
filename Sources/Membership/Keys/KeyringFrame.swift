import FoundationEssentials
import Identity
import MeshModel

/// What two nodes tell each other of their gossip keys, as JSON: readers ignore fields that they do not know.
struct KeyringFrame: Codable {
    /// The sender's position and fingerprints, the primary first.
    var revision: UInt64
    var digest: String
    var fingerprints: [String]
    /// The sender's keys themselves, for a receiver that has older ones.
    var keyring: GossipKeyring?

    /// The longest frame that is read: eight keys have some hundred bytes.
    static let maximumBytes = 8192

    init(_ held: GossipKeyring, withKeys: Bool) {
        revision = held.revision
        digest = held.position.digest
        fingerprints = held.fingerprints
        keyring = withKeys ? held : nil
    }

    var position: GossipKeyring.Position { .init(revision: revision, digest: digest) }

    init(reading payload: [UInt8]) throws(MeshError) {
        func refuse(_ why: String) -> MeshError {
            MeshError(.peer, code: "gossip_keys_unreadable", "what was said of gossip keys cannot be read: \(why)", remedy: "compare the versions of Weft (`weft version`)")
        }
        guard payload.count <= Self.maximumBytes else { throw refuse("it has \(payload.count) bytes") }
        do { self = try StateJSON.decode(Self.self, from: payload) } catch let error as MeshError { throw error } catch { throw refuse("\(error)") }
        guard fingerprints.count <= GossipKeyring.bound, fingerprints.allSatisfy({ $0.utf8.count <= 64 && $0.utf8.allSatisfy { (0x30...0x39) ~= $0 || (0x61...0x66) ~= $0 } }) else {
            throw refuse("its fingerprints are none")
        }
    }

    func encoded() throws(MeshError) -> [UInt8] {
        do { return try StateJSON.encode(self) } catch { throw MeshError(.internal, code: "gossip_keys_encode", "the gossip keys cannot be written down: \(error)") }
    }
}
