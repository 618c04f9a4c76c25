import Identity
import ManagementAPI
import Membership
import MeshModel
import Reactor
import Settings

/// The gossip keys of the whole mesh. What was ordered by whom is in the management server's own line; what it changed, in every node's.
extension AgentAPI {
    @Control
    func gossipKeys() async throws(APIError) -> GossipKeyList {
        try await explained { () async throws(MeshError) in
            let mesh = try requireMesh()
            let sight = try await mesh.keys.look()
            let own = sight.found[mesh.configuration.node.name] ?? []
            let others = Set(sight.found.values.joined()).subtracting(own).sorted()
            return GossipKeyList(
                revision: sight.revision, nodes: sight.found.count + sight.failures.count,
                keys: (own + others).map { key in
                    .init(
                        fingerprint: key, installed: sight.found.values.count { $0.contains(key) }, primary: sight.found.values.count { $0.first == key },
                        missing: sight.found.filter { !$0.value.contains(key) }.keys.sorted())
                }, failures: Self.failures(sight.failures))
        }
    }

    @Control
    func addGossipKey(_ request: GossipKeyAddition) async throws(APIError) -> GossipKeyReport {
        try await order(force: false) { () throws(MeshError) in
            guard let text = request.key else { return .add(Random.bytes(32)) }
            guard let key = Base64.decode(text) else {
                throw MeshError(
                    .configuration, code: "gossip_key_form", "the gossip key is not base64", remedy: "write 16, 24 or 32 random bytes so, as `head -c 32 /dev/urandom | base64` does")
            }
            return .add(key)
        }
    }

    @Control
    func useGossipKey(_ request: GossipKeyUse) async throws(APIError) -> GossipKeyReport {
        try await order(force: request.force) { () throws(MeshError) in .use(request.fingerprint) }
    }

    @Control
    func removeGossipKey(_ request: GossipKeyRemoval) async throws(APIError) -> GossipKeyReport {
        try await order(force: request.force) { () throws(MeshError) in .remove(request.fingerprint) }
    }

    @Control
    private func order(force: Bool, _ order: @Control () throws(MeshError) -> KeyOrder) async throws(APIError) -> GossipKeyReport {
        try await explained { () async throws(MeshError) in
            let mesh = try requireMesh()
            let report = try await mesh.keys.carryOut(try order(), force: force)
            return GossipKeyReport(
                fingerprint: report.fingerprint, changed: report.isChanged, revision: report.revision, nodes: report.nodes, done: report.done,
                failures: Self.failures(report.failures))
        }
    }

    private static func failures(_ failures: [String: MeshError]) -> [GossipKeyFailure] {
        failures.sorted { $0.key < $1.key }.map { .init(node: $0.key, code: $0.value.code, message: $0.value.message, remedy: $0.value.remedy) }
    }
}
