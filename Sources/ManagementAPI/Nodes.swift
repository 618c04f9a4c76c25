/// `GET /v1/nodes`: the nodes that joined, as the authority remembers them.
package struct NodeList: Codable, Sendable, Equatable {
    /// Sorted by name.
    package var nodes: [NodeEntry]
    package init(nodes: [NodeEntry]) { self.nodes = nodes }
}

package struct NodeEntry: Codable, Sendable, Equatable {
    package var name: String
    /// What it may write for others: `admin`, `namespace-admin:<namespace>`.
    package var rights: [String]
    /// The workload identities that it may ask for.
    package var allow: [String]
    /// RFC 3339.
    package var joinedAt: String
    package init(name: String, rights: [String], allow: [String], joinedAt: String) {
        self.name = name
        self.rights = rights
        self.allow = allow
        self.joinedAt = joinedAt
    }
}

/// `POST /v1/rights`: gives rights to a node and takes some from it.
package struct RightsRequest: APIRequest {
    package enum CodingKeys: String, CodingKey, CaseIterable { case node, grant, revoke }
    package var node: String
    package var grant: [String]
    package var revoke: [String]
    package init(node: String, grant: [String] = [], revoke: [String] = []) {
        self.node = node
        self.grant = grant
        self.revoke = revoke
    }
    package init(from decoder: any Decoder) throws {
        let keys = try decoder.container(keyedBy: CodingKeys.self)
        node = try keys.decode(String.self, forKey: .node)
        grant = try keys.decodeIfPresent([String].self, forKey: .grant) ?? []
        revoke = try keys.decodeIfPresent([String].self, forKey: .revoke) ?? []
    }
}

package struct RightsReport: Codable, Sendable, Equatable {
    package var node: String
    /// All that it has now; they stand in its next certificate.
    package var rights: [String]
    /// How long a certificate with the earlier ones may last.
    package var certificateSeconds: Int64
    package init(node: String, rights: [String], certificateSeconds: Int64) {
        self.node = node
        self.rights = rights
        self.certificateSeconds = certificateSeconds
    }
}

/// `POST /v1/certificates`: asks for new ones.
package struct RenewalReport: Codable, Sendable, Equatable {
    /// How many were asked for.
    package var asked: Int
    package init(asked: Int) { self.asked = asked }
}
