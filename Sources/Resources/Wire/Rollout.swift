import Identity
import MeshModel

/// Asks a node what it makes of some versions.
package struct RolloutQuestion: Codable, Sendable {
    /// The most resources of one question.
    package static let maximum = 1_000
    var resources: [KnownField]
    package init(_ resources: [KnownResource]) { self.resources = resources.map(KnownField.init) }
    package var known: [KnownResource] { resources.compactMap(\.known) }
}

/// One answer for each resource of the question, in its order.
package struct RolloutAnswer: Codable, Sendable {
    package struct Item: Codable, Hashable, Sendable {
        package var state: RolloutState
        /// What it has instead, when the version is another.
        package var version: String?
        /// Why it does not take or apply it.
        package var reason: String?
        package init(state: RolloutState, version: String? = nil, reason: String? = nil) {
            self.state = state
            self.version = version
            self.reason = reason
        }
    }
    package var items: [Item]
    package init(items: [Item]) { self.items = items }
}

/// What a node makes of one version of a resource.
package enum RolloutState: String, Codable, Hashable, Sendable, CaseIterable {
    /// It has it and acts on it; of a deletion, that it is gone.
    case applied
    /// It has another version, or none.
    case waiting
    /// It was refused at the door: signature, rights, clock, bounds.
    case refused
    /// It has it, and does not understand it: the last version that it understood stays in force.
    case invalid
}
