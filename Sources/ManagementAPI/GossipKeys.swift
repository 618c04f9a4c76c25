/// `GET /v1/gossip/keys`: the gossip keys of the whole mesh, as every live member says now.
package struct GossipKeyList: Codable, Sendable, Equatable {
    /// Orders about keys that this node knows of; each makes the next.
    package var revision: UInt64
    /// Live members, this node included.
    package var nodes: Int
    /// This node's primary first; then keys that only others have.
    package var keys: [Key]
    /// Members that did not say.
    package var failures: [GossipKeyFailure]

    package init(revision: UInt64, nodes: Int, keys: [Key], failures: [GossipKeyFailure]) {
        self.revision = revision
        self.nodes = nodes
        self.keys = keys
        self.failures = failures
    }

    package struct Key: Codable, Sendable, Equatable {
        /// The first eight bytes of its SHA-256, in hexadecimal digits.
        package var fingerprint: String
        /// Members that have it, and those that seal with it.
        package var installed: Int
        package var primary: Int
        /// Members that said they have it not, by name.
        package var missing: [String]
        package init(fingerprint: String, installed: Int, primary: Int, missing: [String] = []) {
            self.fingerprint = fingerprint
            self.installed = installed
            self.primary = primary
            self.missing = missing
        }
    }
}

/// Why one member did not answer, or did not do as ordered.
package struct GossipKeyFailure: Codable, Sendable, Equatable {
    package var node: String
    package var code: String
    package var message: String
    package var remedy: String
    package init(node: String, code: String, message: String, remedy: String) {
        self.node = node
        self.code = code
        self.message = message
        self.remedy = remedy
    }
}

/// `POST /v1/gossip/keys`.
package struct GossipKeyAddition: APIRequest {
    package enum CodingKeys: String, CodingKey, CaseIterable { case key }
    /// Base64 of 16, 24 or 32 bytes; nil: the agent makes one of 32.
    package var key: String?
    package init(key: String? = nil) { self.key = key }
}

/// `POST /v1/gossip/primary`.
package struct GossipKeyUse: APIRequest {
    package enum CodingKeys: String, CodingKey, CaseIterable { case fingerprint, force }
    /// Or the beginning of it.
    package var fingerprint: String
    /// Go on without members that do not answer.
    package var force: Bool
    package init(fingerprint: String, force: Bool = false) {
        self.fingerprint = fingerprint
        self.force = force
    }
    package init(from decoder: any Decoder) throws {
        let keys = try decoder.container(keyedBy: CodingKeys.self)
        fingerprint = try keys.decode(String.self, forKey: .fingerprint)
        force = try keys.decodeIfPresent(Bool.self, forKey: .force) ?? false
    }
}

/// `DELETE /v1/gossip/keys/{fingerprint}`.
package struct GossipKeyRemoval: Sendable, Equatable {
    package var fingerprint: String
    package var force: Bool
    package init(fingerprint: String, force: Bool = false) {
        self.fingerprint = fingerprint
        self.force = force
    }
}

/// What an order about a key came to.
package struct GossipKeyReport: Codable, Sendable, Equatable {
    package var fingerprint: String
    /// False when this node had it as ordered already.
    package var changed: Bool
    package var revision: UInt64
    /// Live members, this node included, and how many of them have it as ordered.
    package var nodes: Int
    package var done: Int
    package var failures: [GossipKeyFailure]
    package init(fingerprint: String, changed: Bool, revision: UInt64, nodes: Int, done: Int, failures: [GossipKeyFailure]) {
        self.fingerprint = fingerprint
        self.changed = changed
        self.revision = revision
        self.nodes = nodes
        self.done = done
        self.failures = failures
    }
}
