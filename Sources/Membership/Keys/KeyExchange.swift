import Identity
import Logging
import MeshModel
import Reactor

/// Keeps this node's gossip keys the mesh's: compares them with other nodes over streams that certificates protect, and carries orders out everywhere.
///
/// Overview: the keys are one value with a position (`GossipKeyring`); whoever meets a higher one takes it, durably first. So an order spreads, and a node that was
/// away learns of it from the first node it has a stream to, even when no datagram of the others can be opened any more.
/// Function: `settle` with a node when a stream to it comes up and now and then; `answer` what others ask; `carryOut` an order, `look` at what all have.
/// Implementation: how nodes are asked and where keys are kept are closures, so that tests run it without either.
@Control
package final class KeyExchange {
    /// What it works with.
    package struct Surroundings {
        package var node: String
        /// The keys in use; nil when this node is in no mesh any more.
        package var held: @Control () -> GossipKeyring?
        /// Stores newer keys and uses them; false when they are not newer, or were made from others than those in use.
        package var take: @Control (GossipKeyring, _ basis: GossipKeyring.Position?) async throws(MeshError) -> Bool
        /// Asks another node, which answers with its `answer`.
        package var ask: @Control (_ node: String, _ payload: [UInt8]) async throws(MeshError) -> [UInt8]
        /// Nodes that can be asked without a wait.
        package var reachable: @Control () -> [String]
        /// Every other member that lives, by name.
        package var living: @Control () -> [String]

        package init(
            node: String, held: @escaping @Control () -> GossipKeyring?, take: @escaping @Control (GossipKeyring, _ basis: GossipKeyring.Position?) async throws(MeshError) -> Bool,
            ask: @escaping @Control (_ node: String, _ payload: [UInt8]) async throws(MeshError) -> [UInt8],
            reachable: @escaping @Control () -> [String], living: @escaping @Control () -> [String]
        ) {
            self.node = node
            self.held = held
            self.take = take
            self.ask = ask
            self.reachable = reachable
            self.living = living
        }
    }

    package struct Counters: Sendable, Equatable {
        /// Keyrings taken over from other nodes.
        package var taken: UInt64 = 0
        /// Keyrings and questions of other nodes that were refused.
        package var refused: UInt64 = 0
        /// Orders given here: carried out everywhere, carried out with nodes that failed, refused.
        package var ordersDone: UInt64 = 0
        package var ordersPartly: UInt64 = 0
        package var ordersRefused: UInt64 = 0
    }

    /// How far an order is.
    package struct Progress: Sendable, Equatable {
        package var done: Int
        package var of: Int
    }

    package internal(set) var counters = Counters()
    /// Nil when no order is being carried out.
    package internal(set) var progress: Progress?
    /// Fingerprints of the keys that were removed last, the newest last.
    private(set) var removed: [String] = []
    private static let removedBound = 16
    let surroundings: Surroundings
    let logger: Logger

    /// A node whose revision is this far above ours is not believed: it would make every later order void.
    static let longestStep: UInt64 = 1 << 20
    /// How many nodes are told of keys that came from another node; each does the same.
    static let fanout = 3

    package init(_ surroundings: Surroundings, logger: Logger) {
        self.surroundings = surroundings
        self.logger = logger
    }

    // MARK: With one node

    /// Compares keys with a node; afterwards both have the newer ones.
    ///
    /// - Returns: the fingerprints that it had before, the primary first.
    /// - Throws: what asking throws, and `gossip_keys_conflict` when it keeps others all the same.
    @discardableResult
    package func settle(with node: String) async throws(MeshError) -> [String] {
        let first = try await exchange(with: node, withKeys: false)
        if let theirs = first.keyring { try await take(theirs, from: node) }
        guard let held = surroundings.held(), first.position < held.position else { return first.fingerprints }
        let second = try await exchange(with: node, withKeys: true)
        if let theirs = second.keyring { try await take(theirs, from: node) }
        guard second.position >= held.position else {
            throw MeshError(
                .peer, code: "gossip_keys_conflict", "node \(node) keeps its gossip keys of revision \(second.revision) and does not take revision \(held.revision)",
                remedy: "its journal says why; then give the order again", retryable: true)
        }
        return first.fingerprints
    }

    /// The same without a word to anybody but the journal's debug level: it happens again.
    package func settleQuietly(with node: String) async {
        do throws(MeshError) { try await settle(with: node) } catch {
            logger.debug("gossip keys not compared", metadata: ["node": "\(node)", "reason": "\(error)"])
        }
    }

    /// With one node at random, now and then: what was missed is found.
    package func settleWithAnyone() async {
        if let node = surroundings.reachable().randomElement() { await settleQuietly(with: node) }
    }

    func exchange(with node: String, withKeys: Bool) async throws(MeshError) -> KeyringFrame {
        guard let held = surroundings.held() else { throw Self.stopped }
        let answer = try await surroundings.ask(node, try KeyringFrame(held, withKeys: withKeys).encoded())
        return try KeyringFrame(reading: answer)
    }

    /// Answers another node: with what this node has, and with the keys themselves when the asker's are older.
    /// - Parameter peer: the asker, as its certificate says.
    package func answer(_ payload: [UInt8], from peer: String) async throws(MeshError) -> [UInt8] {
        do throws(MeshError) {
            let question = try KeyringFrame(reading: payload)
            if let theirs = question.keyring { try await take(theirs, from: peer) }
            guard let held = surroundings.held() else { throw Self.stopped }
            return try KeyringFrame(held, withKeys: question.position < held.position).encoded()
        } catch {
            counters.refused += 1
            logger.warning("gossip keys of node \(peer) were refused: \(error)", metadata: ["code": "\(error.code)", "node": "\(peer)"])
            throw error
        }
    }

    // MARK: Taking

    private func take(_ keyring: GossipKeyring, from peer: String) async throws(MeshError) {
        guard let held = surroundings.held() else { throw Self.stopped }
        guard keyring.position > held.position else { return }
        guard keyring.revision - held.revision <= Self.longestStep else {
            throw MeshError(
                .peer, code: "gossip_keys_implausible", "revision \(keyring.revision) of the gossip keys is far above this node's \(held.revision)",
                remedy: "stop node \(peer) and look what runs there: it could make every later order about keys void")
        }
        guard try await surroundings.take(keyring, nil) else { return }
        counters.taken += 1
        tell(keyring, instead: held, from: peer)
        let others = surroundings.reachable().filter { $0 != peer }.shuffled().prefix(Self.fanout)
        for node in others { Task { @Control in await self.settleQuietly(with: node) } }
    }

    /// One line for each change of the keys on this node: who ordered it, and what it was.
    func tell(_ keyring: GossipKeyring, instead held: GossipKeyring, from peer: String?) {
        let (new, old) = (keyring.fingerprints, held.fingerprints)
        var changes = new.filter { !old.contains($0) }.map { "key \($0) was added" }
        if new.first != old.first, let primary = new.first { changes.append("key \(primary) seals from now on") }
        let gone = old.filter { !new.contains($0) }
        changes += gone.map { "key \($0) was removed" }
        removed = (removed + gone).suffix(Self.removedBound)
        let origin = "ordered on node \(keyring.by.isEmpty ? "?" : keyring.by)" + (peer.map { $0 == keyring.by ? "" : ", heard from \($0)" } ?? "")
        logger.notice(
            "gossip keys, revision \(keyring.revision): \(changes.isEmpty ? "their order changed" : changes.joined(separator: ", ")); \(origin)",
            metadata: ["revision": "\(keyring.revision)", "ordered_on": "\(keyring.by)"])
    }

    static let stopped = MeshError(.peer, code: "gossip_keys_stopped", "this node is in no mesh any more", retryable: true)
}
