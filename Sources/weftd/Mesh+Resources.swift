import Catalog
import Identity
import MeshModel
import Plane
import Reactor
import Resources
import Settings

/// Resources travel on the catalog's streams, and what they say becomes part of the catalog's view.
extension Mesh {
    func ride() {
        catalog.riders.append(resources.rider)
        resources.send = { [weak self] frame, peer in self?.catalog.send(frame, to: peer) }
        resources.disconnect = { [weak self] peer, reason in self?.catalog.closeLink(peer, reason) }
        resources.onChange = { [weak self] in
            guard let self else { return }
            catalog.setSubsetRules(resources.subsets)
        }
    }

    /// How long another node has to say what it makes of the resources.
    private static let rolloutTimeout = Duration.seconds(5)

    /// One node's word on every resource of a question.
    struct NodeRollout: Sendable {
        var node: String
        /// Nil when it did not answer, with the reason.
        var items: [RolloutAnswer.Item]?
        var failure: String?
    }

    /// Asks every node of the mesh that is not known to be gone, this one included, all at once.
    func rollout(of list: [KnownResource]) async -> [NodeRollout] {
        var result = [NodeRollout(node: configuration.node.name, items: resources.rollout(of: list))]
        let others = catalog.view.nodes.filter { $0.info.name != configuration.node.name && $0.liveness != .dead && $0.liveness != .left }.map(\.info.name)
        // At once: one that does not answer must not keep the others waiting.
        let questions = others.map { node in Task { @Control in await self.ask(node, list) } }
        for question in questions { result.append(await question.value) }
        return result.sorted { $0.node < $1.node }
    }

    private func ask(_ node: String, _ list: [KnownResource]) async -> NodeRollout {
        do {
            var items: [RolloutAnswer.Item] = []
            for start in stride(from: 0, to: list.count, by: RolloutQuestion.maximum) {
                let part = Array(list[start..<min(list.count, start + RolloutQuestion.maximum)])
                let answer = try await catalog.ask(node, .resourceRollout, StateJSON.encode(RolloutQuestion(part)), timeout: Self.rolloutTimeout)
                let said = try StateJSON.decode(RolloutAnswer.self, from: answer.payload).items
                guard said.count == part.count else { return NodeRollout(node: node, failure: "it answered for \(said.count) of \(part.count) resources") }
                items += said
            }
            return NodeRollout(node: node, items: items)
        } catch {
            return NodeRollout(node: node, failure: "\(error)")
        }
    }
}
