/// `GET /v1/rollout`: which nodes have which version of the resources.
package struct RolloutReport: Codable, Sendable, Equatable {
    package var resources: [RolloutResource]
    /// Every node of the mesh that was asked, this one included, sorted by name.
    package var nodes: [RolloutNode]
    /// Nodes that are known to be gone, and were not asked.
    package var gone: [String]
    package init(resources: [RolloutResource], nodes: [RolloutNode], gone: [String]) {
        self.resources = resources
        self.nodes = nodes
        self.gone = gone
    }

    /// Every node that was asked answered, and acts on the version that this one has.
    package var isComplete: Bool { nodes.allSatisfy { $0.failure.isEmpty } && resources.allSatisfy { $0.applied == nodes.count } }
}

package struct RolloutResource: Codable, Sendable, Equatable {
    package var kind: String
    package var namespace: String
    package var name: String
    /// The version that this node has.
    package var version: String
    package var author: String
    /// It was deleted, and is remembered so that it does not come back.
    package var deleted: Bool
    /// On how many nodes it is in force.
    package var applied: Int
    /// The nodes on which it is not, and why.
    package var pending: [RolloutPending]
    package init(
        kind: String, namespace: String, name: String, version: String, author: String, deleted: Bool, applied: Int, pending: [RolloutPending]
    ) {
        self.kind = kind
        self.namespace = namespace
        self.name = name
        self.version = version
        self.author = author
        self.deleted = deleted
        self.applied = applied
        self.pending = pending
    }
}

package struct RolloutPending: Codable, Sendable, Equatable {
    package enum State: String, Codable, Sendable, CaseIterable {
        /// It has another version, or none.
        case waiting
        /// It does not take the version: signature, rights, clock, bounds.
        case refused
        /// It has the version and does not understand it; the last one that it understood stays in force.
        case invalid
    }
    package var node: String
    package var state: State
    /// The version in force there instead; nil for none.
    package var version: String?
    package var reason: String
    package init(node: String, state: State, version: String?, reason: String) {
        self.node = node
        self.state = state
        self.version = version
        self.reason = reason
    }
}

package struct RolloutNode: Codable, Sendable, Equatable {
    package var node: String
    /// Why it did not answer; empty when it did.
    package var failure: String
    package init(node: String, failure: String = "") {
        self.node = node
        self.failure = failure
    }
}
