/// `GET /v1/resources`: the resources of the mesh, as this node has them.
package struct ResourceList: Codable, Sendable, Equatable {
    /// Sorted by kind, namespace and name.
    package var resources: [ResourceEntry]
    package init(resources: [ResourceEntry]) { self.resources = resources }
}

package struct ResourceEntry: Codable, Sendable, Equatable {
    package var kind: String
    /// Empty for what concerns the whole mesh.
    package var namespace: String
    package var name: String
    /// What a change of it must replace.
    package var version: String
    /// The node that wrote it.
    package var author: String
    /// RFC 3339.
    package var writtenAt: String
    package var ageSeconds: Int64
    /// Why this version is not in force on this node; empty when it is.
    package var problem: String
    /// YAML, with the version in `metadata.resourceVersion`.
    package var document: String
    package init(
        kind: String, namespace: String, name: String, version: String, author: String, writtenAt: String, ageSeconds: Int64, problem: String = "",
        document: String
    ) {
        self.kind = kind
        self.namespace = namespace
        self.name = name
        self.version = version
        self.author = author
        self.writtenAt = writtenAt
        self.ageSeconds = ageSeconds
        self.problem = problem
        self.document = document
    }
}

/// The query of `GET` and `DELETE /v1/resources` and of `GET /v1/rollout`.
package struct ResourceSelection: Sendable, Equatable {
    /// A kind's name or one of its short names; nil: every kind.
    package var kind: String?
    package var namespace: String?
    package var name: String?
    /// The version that a deletion expects; nil: any.
    package var version: String?
    package init(kind: String? = nil, namespace: String? = nil, name: String? = nil, version: String? = nil) {
        self.kind = kind
        self.namespace = namespace
        self.name = name
        self.version = version
    }
}

/// `POST /v1/resources`: writes the resources of one file.
package struct ApplyRequest: APIRequest {
    package enum CodingKeys: String, CodingKey, CaseIterable { case text, path, namespace, dryRun }
    package static let defaultNamespace = "default"

    /// YAML documents.
    package var text: String
    /// What errors call the text.
    package var path: String
    /// For documents that name none.
    package var namespace: String
    /// Say what would be done, and do nothing.
    package var dryRun: Bool

    package init(text: String, path: String = "the request", namespace: String = Self.defaultNamespace, dryRun: Bool = false) {
        self.text = text
        self.path = path
        self.namespace = namespace
        self.dryRun = dryRun
    }
    package init(from decoder: any Decoder) throws {
        let keys = try decoder.container(keyedBy: CodingKeys.self)
        text = try keys.decode(String.self, forKey: .text)
        path = try keys.decodeIfPresent(String.self, forKey: .path) ?? "the request"
        namespace = try keys.decodeIfPresent(String.self, forKey: .namespace) ?? Self.defaultNamespace
        dryRun = try keys.decodeIfPresent(Bool.self, forKey: .dryRun) ?? false
    }
}

package struct ApplyReport: Codable, Sendable, Equatable {
    /// Empty when there are errors: of a file with errors nothing is written.
    package var resources: [AppliedResource]
    /// `path:line:column: message`, one for each.
    package var errors: [String]
    package var dryRun: Bool
    package init(resources: [AppliedResource], errors: [String] = [], dryRun: Bool = false) {
        self.resources = resources
        self.errors = errors
        self.dryRun = dryRun
    }
}

/// Also the answer of `DELETE /v1/resources`.
package struct AppliedResource: Codable, Sendable, Equatable {
    package enum Outcome: String, Codable, Sendable, CaseIterable { case created, configured, unchanged, deleted }
    package var kind: String
    package var namespace: String
    package var name: String
    package var outcome: Outcome
    /// Nil for what a dry run would create.
    package var version: String?
    package init(kind: String, namespace: String, name: String, outcome: Outcome, version: String?) {
        self.kind = kind
        self.namespace = namespace
        self.name = name
        self.outcome = outcome
        self.version = version
    }
}
