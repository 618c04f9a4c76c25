import MeshModel
import Platform

// What travels between a node and the authority, as JSON. Readers ignore fields they don't know.

/// First frame of a `weft-join/1` stream, sent only after the root was pinned.
package struct JoinRequest: Codable, Sendable, CustomStringConvertible {
    package static let maximumBytes = 65_536
    package var version = 1
    package var tokenID: String
    package var secret: Bytes
    package var node: String
    /// PKCS #10 DER for `spiffe://<trust domain>/node/<node>`.
    package var request: Bytes
    /// Take the name over from a node that has it.
    package var replace: Bool
    /// The joiner's clock, seconds since 1970.
    package var time: Int64?

    /// Without the secret, for logs.
    package var description: String { "join of node \(node) with token \(tokenID)" }

    package init(token: JoinToken, request: [UInt8], replace: Bool, now: WallTime) {
        time = now.seconds
        tokenID = token.id
        secret = token.secret
        node = token.node
        self.request = Bytes(request)
        self.replace = replace
    }
}

/// Everything a new node needs.
package struct JoinGrant: Codable, Sendable, CustomStringConvertible {
    package var trustDomain: String
    package var node: String
    package var certificate: Bytes
    /// Roots, DER.
    package var bundle: [Bytes]
    /// The primary first, and how many orders about them there were.
    package var gossipKeys: [Bytes]
    package var gossipRevision: UInt64?
    /// The node that holds the authority, and its port 15008.
    package var authority: String
    package var authorityAddresses: [String]
    /// Gossip addresses to begin with.
    package var seeds: [String]
    package var allow: [IdentityPattern]

    /// Without the gossip keys, for logs.
    package var description: String { "grant for node \(node) of \(trustDomain)" }
}

package struct JoinReply: Codable, Sendable {
    package var version = 1
    package var grant: JoinGrant?
    package var error: WireError?

    package init(grant: JoinGrant) { self.grant = grant }
    package init(error: MeshError) { self.error = WireError(error) }

    package func result() throws(MeshError) -> JoinGrant {
        if let grant { return grant }
        throw error?.error ?? .badRequest("the authority answered with neither a certificate nor an error")
    }
}

/// Asks for certificates, over a stream that the requester's node certificate opened.
package struct SignRequest: Codable, Sendable {
    package static let maximumRequests = 64
    package var version = 1
    /// PKCS #10 DER, one identity each.
    package var requests: [Bytes]
    package init(_ requests: [[UInt8]]) { self.requests = requests.map { Bytes($0) } }
}

package struct SignReply: Codable, Sendable {
    /// One for each request, in its order: a certificate or an error.
    package struct Item: Codable, Sendable {
        package var certificate: Bytes?
        package var error: WireError?
    }
    package var version = 1
    package var items: [Item]
    /// The roots now in force.
    package var bundle: [Bytes]
    /// Set when the requester as a whole is refused; `items` is empty then.
    package var error: WireError?

    package init(items: [Item], bundle: [[UInt8]]) {
        self.items = items
        self.bundle = bundle.map { Bytes($0) }
    }
    package init(error: MeshError) {
        items = []
        bundle = []
        self.error = WireError(error)
    }
}

/// Over `weft-join/1`, from a node whose certificate expired while it was off: the signing request, made with the node key that the authority has on
/// record, is the proof. A copy of it is worth nothing without that key.
package struct RecoverRequest: Codable, Sendable {
    package var version = 1
    package var node: String
    /// PKCS #10 DER for the node's own identity.
    package var request: Bytes
    package init(node: String, request: [UInt8]) {
        self.node = node
        self.request = Bytes(request)
    }
}
