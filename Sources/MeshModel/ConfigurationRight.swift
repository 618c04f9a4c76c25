/// What a node may write for others: resources of every namespace and of the whole mesh, or those of one namespace.
///
/// The authority marks it in the node's certificate; without one, a node speaks only of its own workloads.
package enum ConfigurationRight: Hashable, Sendable, Comparable, CustomStringConvertible, LosslessStringConvertible, Codable {
    case admin
    case namespaceAdmin(String)

    /// The most rights of one node.
    package static let maximum = 32

    private static let namespacePrefix = "namespace-admin:"

    /// `admin`, or `namespace-admin:` and a namespace.
    package init?(_ text: String) {
        if text == "admin" {
            self = .admin
        } else if text.hasPrefix(Self.namespacePrefix), ServiceName.isLabel(text.dropFirst(Self.namespacePrefix.count)) {
            self = .namespaceAdmin(String(text.dropFirst(Self.namespacePrefix.count)))
        } else {
            return nil
        }
    }

    package var description: String {
        switch self {
        case .admin: "admin"
        case .namespaceAdmin(let namespace): Self.namespacePrefix + namespace
        }
    }

    package static func < (a: Self, b: Self) -> Bool { a.description < b.description }

    package init(from decoder: any Decoder) throws {
        let text = try decoder.singleValueContainer().decode(String.self)
        guard let value = Self(text) else {
            throw DecodingError.dataCorrupted(.init(codingPath: decoder.codingPath, debugDescription: "\"\(text)\" is no right"))
        }
        self = value
    }
    package func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(description)
    }
}

extension Sequence<ConfigurationRight> {
    /// Whether a resource of this namespace may be written; the empty one is the whole mesh.
    package func allow(namespace: String) -> Bool {
        contains { right in
            switch right {
            case .admin: true
            case .namespaceAdmin(let own): !namespace.isEmpty && own == namespace
            }
        }
    }
}
