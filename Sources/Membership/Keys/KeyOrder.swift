import Identity
import MeshModel

/// An order about the gossip keys of the whole mesh.
package enum KeyOrder: Sendable, Equatable {
    /// Installs a key everywhere; nothing is sealed with it yet.
    case add([UInt8])
    /// Seals with a key that every node has; by its fingerprint, or the beginning of it.
    case use(String)
    /// Takes away a key with which nobody seals any more.
    case remove(String)

    /// A keyring is as ordered, for the key of this fingerprint.
    func holds(in keyring: GossipKeyring, _ fingerprint: String) -> Bool {
        switch self {
        case .add: keyring.fingerprints.contains(fingerprint)
        case .use: keyring.fingerprints.first == fingerprint
        case .remove: !keyring.fingerprints.contains(fingerprint)
        }
    }
}

/// What the nodes said of their keys when an order was given: the ground on which it is followed or refused. Pure.
package struct KeySurvey: Sendable {
    /// Fingerprints of each other node, the primary first, as it had them before it was brought up to date.
    package var found: [String: [String]]
    /// The nodes that could not be asked, or not be brought up to date.
    package var failures: [String: MeshError]

    /// Fingerprints of keys that were removed lately: such an order again is no mistake.
    package var removed: [String]

    package init(found: [String: [String]] = [:], failures: [String: MeshError] = [:], removed: [String] = []) {
        self.found = found
        self.failures = failures
        self.removed = removed
    }

    package struct Outcome: Sendable, Equatable {
        /// The key that the order is about.
        package var fingerprint: String
        /// Nil when this node has it as ordered already.
        package var keyring: GossipKeyring?
    }

    /// What an order makes of the keyring that this node and all that answered have.
    ///
    /// - Parameters:
    ///   - node: this node.
    ///   - force: goes on without the nodes that did not answer. Nothing else is forced.
    /// - Throws: `gossip_key_unknown`, `gossip_key_ambiguous`, `gossip_key_primary`, `gossip_key_size`, `gossip_keyring_full`, and `gossip_keys_unheard`,
    ///   which names the nodes that would be lost.
    package func outcome(of order: KeyOrder, on keyring: GossipKeyring, by node: String, force: Bool) throws(MeshError) -> Outcome {
        var ring = try Keyring(keys: keyring.keys)
        let key: [UInt8]
        switch order {
        case .add(let new):
            key = new
            try ring.add(key)
        case .use(let name):
            key = try find(name, keyring)
            try ring.use(key)
            if ring.keys != keyring.keys { try demandAll(force, "make this key the primary") }
        case .remove(let name):
            // Removed here before, and perhaps only now on a node that missed it.
            if let gone = missed(name, keyring) { return Outcome(fingerprint: gone, keyring: nil) }
            key = try find(name, keyring)
            try ring.remove(key)
            try demandAll(force, "remove this key")
        }
        let fingerprint = GossipKeyring.fingerprint(key)
        guard ring.keys != keyring.keys else { return Outcome(fingerprint: fingerprint, keyring: nil) }
        return Outcome(fingerprint: fingerprint, keyring: try GossipKeyring(keys: ring.keys, revision: keyring.revision + 1, by: node))
    }

    /// Digits that a fingerprint must at least be given with.
    package static let shortestName = 4

    private func find(_ name: String, _ keyring: GossipKeyring) throws(MeshError) -> [UInt8] {
        let matching = name.utf8.count < Self.shortestName ? [] : keyring.keys.filter { GossipKeyring.fingerprint($0).hasPrefix(name.lowercased()) }
        if matching.count == 1 { return matching[0] }
        let known = keyring.fingerprints.joined(separator: ", ")
        if matching.count > 1 {
            throw MeshError(
                .configuration, code: "gossip_key_ambiguous", "\"\(name.prefix(64))\" is the beginning of \(matching.count) keys",
                remedy: "write more digits: the keys are \(known)")
        }
        throw MeshError(
            .configuration, code: "gossip_key_unknown", "no node has a gossip key \"\(name.prefix(64))\"",
            remedy: "the keys are \(known); write at least the first \(Self.shortestName) digits of one")
    }

    private func missed(_ name: String, _ keyring: GossipKeyring) -> String? {
        guard name.utf8.count >= Self.shortestName else { return nil }
        let name = name.lowercased()
        guard !keyring.fingerprints.contains(where: { $0.hasPrefix(name) }) else { return nil }
        return (Array(found.values.joined()) + removed).filter { $0.hasPrefix(name) }.min()
    }

    private func demandAll(_ force: Bool, _ what: String) throws(MeshError) {
        guard !force, !failures.isEmpty else { return }
        let names = failures.keys.sorted()
        let shown = names.prefix(5).map { "\($0) (\(failures[$0]?.message ?? ""))" }.joined(separator: ", ")
        let more = names.count > 5 ? " and \(names.count - 5) more" : ""
        throw MeshError(
            .policy, code: "gossip_keys_unheard", "cannot \(what): not every live member has said which keys it has: \(shown)\(more)",
            remedy: "mend that, or use --force: a node that is missing gets the keys when it is back, a member that is no node of the mesh is lost")
    }
}
