/// `POST /v1/init`.
package struct InitRequest: APIRequest {
    package enum CodingKeys: String, CodingKey, CaseIterable { case trustDomain }
    /// Lower case letters, digits, dots and hyphens, as `shop.example`.
    package var trustDomain: String
    package init(trustDomain: String) { self.trustDomain = trustDomain }
}

package struct InitReport: Codable, Sendable, Equatable {
    package var trustDomain: String
    package var node: String
    /// The node's own identity.
    package var identity: String
    /// SHA-256 of the root certificate, in hexadecimal.
    package var rootFingerprint: String
    package init(trustDomain: String, node: String, identity: String, rootFingerprint: String) {
        self.trustDomain = trustDomain
        self.node = node
        self.identity = identity
        self.rootFingerprint = rootFingerprint
    }
}

/// `POST /v1/tokens`.
package struct TokenRequest: APIRequest {
    package enum CodingKeys: String, CodingKey, CaseIterable { case node, allow, rights, expiresSeconds, replace, addresses }
    package static let defaultExpirySeconds: Int64 = 3600

    /// The name of the node that will join.
    package var node: String
    /// The workload identities that the node may ask for: `ns/<namespace>/sa/<account>`, `*` for any text within a part. Empty: none.
    package var allow: [String]
    /// What the node may write for others: `admin`, `namespace-admin:<namespace>`.
    package var rights: [String]
    package var expiresSeconds: Int64
    /// Take the name over from a node that has it.
    package var replace: Bool
    /// Where the joiner finds the authority's tunnel port, `address:port`; nil: as the authority knows itself.
    package var addresses: [String]?

    package init(
        node: String, allow: [String] = [], rights: [String] = [], expiresSeconds: Int64 = Self.defaultExpirySeconds, replace: Bool = false,
        addresses: [String]? = nil
    ) {
        self.node = node
        self.allow = allow
        self.rights = rights
        self.expiresSeconds = expiresSeconds
        self.replace = replace
        self.addresses = addresses
    }
    package init(from decoder: any Decoder) throws {
        let keys = try decoder.container(keyedBy: CodingKeys.self)
        node = try keys.decode(String.self, forKey: .node)
        allow = try keys.decodeIfPresent([String].self, forKey: .allow) ?? []
        rights = try keys.decodeIfPresent([String].self, forKey: .rights) ?? []
        expiresSeconds = try keys.whole(forKey: .expiresSeconds) ?? Self.defaultExpirySeconds
        replace = try keys.decodeIfPresent(Bool.self, forKey: .replace) ?? false
        addresses = try keys.decodeIfPresent([String].self, forKey: .addresses)
    }
}

package struct TokenReport: Codable, Sendable, Equatable {
    /// Names the token in lists; not secret.
    package var id: String
    /// Secret: whoever has it can join as `node` until it expires or is used.
    package var token: String
    package var node: String
    package var expiresAt: String
    package var expiresInSeconds: Int64
    package init(id: String, token: String, node: String, expiresAt: String, expiresInSeconds: Int64) {
        self.id = id
        self.token = token
        self.node = node
        self.expiresAt = expiresAt
        self.expiresInSeconds = expiresInSeconds
    }
}

/// `GET /v1/tokens`: what the authority remembers; never a secret.
package struct TokenList: Codable, Sendable, Equatable {
    package var tokens: [TokenEntry]
    package init(tokens: [TokenEntry]) { self.tokens = tokens }
}

package struct TokenEntry: Codable, Sendable, Equatable {
    package enum State: String, Codable, Sendable, CaseIterable { case unused, used, expired }
    package var id: String
    package var node: String
    package var allow: [String]
    package var rights: [String]
    package var replace: Bool
    package var state: State
    package var expiresAt: String
    /// Negative when it has expired.
    package var expiresInSeconds: Int64
    /// RFC 3339; nil while unused.
    package var usedAt: String?
    package init(
        id: String, node: String, allow: [String], rights: [String] = [], replace: Bool, state: State, expiresAt: String, expiresInSeconds: Int64, usedAt: String? = nil
    ) {
        self.id = id
        self.node = node
        self.allow = allow
        self.rights = rights
        self.replace = replace
        self.state = state
        self.expiresAt = expiresAt
        self.expiresInSeconds = expiresInSeconds
        self.usedAt = usedAt
    }
}

/// `POST /v1/join`.
package struct JoinRequest: APIRequest {
    package enum CodingKeys: String, CodingKey, CaseIterable { case token, replace }
    package var token: String
    /// Take the node's name over from one that has it; the token must allow it too.
    package var replace: Bool
    package init(token: String, replace: Bool = false) {
        self.token = token
        self.replace = replace
    }
    package init(from decoder: any Decoder) throws {
        let keys = try decoder.container(keyedBy: CodingKeys.self)
        token = try keys.decode(String.self, forKey: .token)
        replace = try keys.decodeIfPresent(Bool.self, forKey: .replace) ?? false
    }
}

package struct JoinReport: Codable, Sendable, Equatable {
    package var trustDomain: String
    package var node: String
    package var identity: String
    /// The node that signed.
    package var authority: String
    package init(trustDomain: String, node: String, identity: String, authority: String) {
        self.trustDomain = trustDomain
        self.node = node
        self.identity = identity
        self.authority = authority
    }
}

/// `POST /v1/leave`.
package struct LeaveRequest: APIRequest {
    package enum CodingKeys: String, CodingKey, CaseIterable { case force }
    /// Leave even though the mesh loses its authority, or when no other node answers.
    package var force: Bool
    package init(force: Bool = false) { self.force = force }
    package init(from decoder: any Decoder) throws {
        force = try decoder.container(keyedBy: CodingKeys.self).decodeIfPresent(Bool.self, forKey: .force) ?? false
    }
}

package struct LeaveReport: Codable, Sendable, Equatable {
    package var node: String
    package var trustDomain: String
    /// What could not be done cleanly, one sentence each.
    package var warnings: [String]
    package init(node: String, trustDomain: String, warnings: [String] = []) {
        self.node = node
        self.trustDomain = trustDomain
        self.warnings = warnings
    }
}

/// `GET /v1/members`.
package struct MemberList: Codable, Sendable, Equatable {
    package var members: [Member]
    package init(members: [Member]) { self.members = members }
}

package struct Member: Codable, Sendable, Equatable {
    package enum State: String, Codable, Sendable, CaseIterable { case alive, suspect, dead, left }
    package enum Kind: String, Codable, Sendable, CaseIterable {
        /// Its certificate proved its name.
        case node
        /// In the gossip pool, but not proven to be a node of the mesh.
        case foreign
    }

    package var name: String
    package var kind: Kind
    package var state: State
    /// The node that answered.
    package var isSelf: Bool
    /// Where its gossip is.
    package var address: String
    /// Where its tunnels end, from its signed record; nil when that is unknown.
    package var tunnel: String?
    package var version: String
    package var region: String
    package var zone: String
    package var endpoints: Int
    /// Since the state last changed.
    package var sinceSeconds: Int64

    package init(
        name: String, kind: Kind, state: State, isSelf: Bool = false, address: String, tunnel: String?, version: String = "", region: String = "",
        zone: String = "", endpoints: Int = 0, sinceSeconds: Int64 = 0
    ) {
        self.name = name
        self.kind = kind
        self.state = state
        self.isSelf = isSelf
        self.address = address
        self.tunnel = tunnel
        self.version = version
        self.region = region
        self.zone = zone
        self.endpoints = endpoints
        self.sinceSeconds = sinceSeconds
    }
}
