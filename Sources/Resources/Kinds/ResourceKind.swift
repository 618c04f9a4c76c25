import MeshModel
import YAML

/// What a resource of a known kind says.
package enum ResourceValue: Hashable, Sendable {
    case destinationRule(DestinationRule)
}

/// A kind of resource that this version acts on.
package struct ResourceKind: Sendable {
    package let name: String
    package let group: String
    /// Of its API, which are written alike.
    package let versions: [String]
    package let isNamespaced: Bool
    /// What people may call it on the command line, lower case.
    package let aliases: [String]
    /// Reads the `spec` of a resource; nil when something is wrong with it (which is told).
    let read: @Sendable (_ spec: MappingDecoder, _ key: ResourceKey) -> ResourceValue?

    /// All of them. Another kind is a line here and a reader.
    package static let all: [ResourceKind] = [destinationRule]

    /// The kind that a person names: by its name or an alias, in any case.
    package static func named(_ word: String) -> ResourceKind? {
        let word = word.lowercased()
        return all.first { $0.name.lowercased() == word || $0.aliases.contains(word) || "\($0.name).\($0.group)".lowercased() == word }
    }

    static func of(_ key: ResourceKey) -> ResourceKind? { all.first { $0.name == key.kind && $0.group == key.group } }
}
