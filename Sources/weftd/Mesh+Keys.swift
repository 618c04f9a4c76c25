import Catalog
import Identity
import Logging
import Membership
import MeshModel
import Plane
import Reactor
import SWIM
import Settings

extension FrameType {
    /// What two nodes tell each other of their gossip keys: see `KeyExchange`.
    static let gossipKeys = FrameType(rawValue: 0x50)
}

/// The gossip keys of the whole mesh.
extension Mesh {
    /// How long another node has to say which keys it has, or to store others.
    private static let keyTimeout = Duration.seconds(5)

    func makeKeyExchange() -> KeyExchange {
        KeyExchange(
            .init(
                node: configuration.node.name,
                held: { [weak self] in self.flatMap { $0.isStopped ? nil : $0.identity.credentials?.gossip } },
                take: { [identity] keyring, basis throws(MeshError) in try await identity.take(keyring, basis: basis) },
                ask: { [weak self] node, payload throws(MeshError) in
                    guard let self else { throw MeshError(.internal, code: "mesh_stopped", "this node leaves its mesh", retryable: true) }
                    return try await ask(node, payload)
                },
                reachable: { [weak self] in self?.catalog.peers.map(\.node) ?? [] },
                living: { [weak self] in
                    self?.gossip.members().filter { ($0.state == .alive || $0.state == .suspect) && !$0.isLocal }.map(\.name) ?? []
                }), logger: logger)
    }

    private func ask(_ node: String, _ payload: [UInt8]) async throws(MeshError) -> [UInt8] {
        guard catalog.address(of: node) != nil || catalog.peers.contains(where: { $0.node == node }) else {
            throw MeshError(
                .peer, code: "foreign_member", "it is in the gossip, but proved to be no node of this mesh",
                remedy: "change its keys with its own tools, as `serf keys`, before the old one is removed")
        }
        return try await catalog.ask(node, .gossipKeys, payload, timeout: Self.keyTimeout).payload
    }

    /// Streams carry questions about keys; who comes up is compared with, so that a node that was away learns what it missed.
    func attachKeys() {
        catalog.riders.append(
            PlaneRider(
                connected: { [weak self] peer in
                    // One of the two is enough: each gives the other what that lacks.
                    guard let self, configuration.node.name < peer else { return }
                    Task { @Control in await self.keys.settleQuietly(with: peer) }
                },
                answers: [
                    .gossipKeys: { [weak self] frame, peer throws(MeshError) in
                        guard let self else { throw MeshError(.peer, code: "gossip_keys_stopped", "this node is in no mesh any more", retryable: true) }
                        return try await keys.answer(frame.payload, from: peer)
                    }
                ]))
    }

    /// Now and then: compares with somebody, and calls a lost node when somebody seals with keys that are not here. Two halves of a mesh that were apart while
    /// one of them changed its keys hold each other dead and can't open each other's calls, so only a stream brings them together.
    func lookAfterKeys() {
        Task { @Control in await keys.settleWithAnyone() }
        let unopened = gossip.counters.core[.undecryptable]
        defer { unopenedSeen = unopened }
        guard unopened > unopenedSeen else { return }
        let lost = gossip.lost.filter { catalog.address(of: $0) != nil }
        if let node = lost.randomElement() { catalog.callOnce(node) }
    }

    /// New keys were stored: gossip seals and opens with them from the next packet on.
    func useKeys(_ keyring: GossipKeyring) {
        guard gossip.keyring.keys != keyring.keys else { return }
        do throws(MeshError) { gossip.keyring = try Keyring(keys: keyring.keys) } catch { return logger.error("\(error)", metadata: ["code": "\(error.code)"]) }
        // With the old keys nobody may have answered.
        rejoinIfAlone()
    }
}
