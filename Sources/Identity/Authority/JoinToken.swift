import FoundationEssentials
import MeshModel
import Platform

/// What a node needs to join: `weft1.` and base64url of JSON, one word that survives copying.
///
/// The secret is the right to join; everything else tells the joiner whom to trust and where to go. The authority decides by its own record of the
/// token, so a changed copy gains nothing.
package struct JoinToken: Codable, Sendable, Equatable, CustomStringConvertible {
    package static let prefix = "weft1."
    package static let maximumBytes = 32_768
    package static let maximumAddresses = 16

    package var id: String
    package var secret: Bytes
    package var trustDomain: String
    /// SHA-256 of the root certificate's DER.
    package var fingerprint: Bytes
    /// The node that holds the authority. The joiner talks to no other, although all nodes' certificates are signed by the root.
    package var authority: String
    /// Where that node's port 15008 is; tried in order.
    package var addresses: [String]
    package var node: String
    /// Seconds since 1970.
    package var expires: Int64
    package var allow: [IdentityPattern]

    /// Without the secret, for logs.
    package var description: String { "join token \(id) for node \(node) of \(trustDomain)" }

    /// With the secret.
    package var text: String { Self.prefix + Base64.encodeURL((try? StateJSON.encode(self)) ?? []) }
    package var socketAddresses: [SocketAddress] { addresses.compactMap { SocketAddress($0) } }

    package init(
        id: String, secret: [UInt8], trustDomain: String, fingerprint: [UInt8], authority: String, addresses: [SocketAddress], node: String,
        expires: WallTime,
        allow: [IdentityPattern]
    ) {
        self.id = id
        self.secret = Bytes(secret)
        self.trustDomain = trustDomain
        self.fingerprint = Bytes(fingerprint)
        self.authority = authority
        self.addresses = addresses.map(\.description)
        self.node = node
        self.expires = expires.seconds
        self.allow = allow
    }

    /// Reads a token; white space around it, as a file's last newline, is ignored.
    package init(_ text: String) throws(MeshError) {
        let word = text.drop(while: \.isWhitespace).prefix(while: { !$0.isWhitespace })
        let remedy = "copy the whole word that `weft token create` printed; it begins with \(Self.prefix)"
        guard word.hasPrefix(Self.prefix), text.utf8.count <= Self.maximumBytes else {
            throw MeshError(.configuration, code: "token_malformed", "this is no join token", remedy: remedy)
        }
        guard let json = Base64.decodeURL(word.dropFirst(Self.prefix.count)), let token = try? StateJSON.decode(JoinToken.self, from: json),
            token.fingerprint.bytes.count == 32, SPIFFEID.isTrustDomain(token.trustDomain), SPIFFEID.isSegment(token.authority),
            SPIFFEID.isSegment(token.node),
            !token.socketAddresses.isEmpty, token.addresses.count <= Self.maximumAddresses
        else {
            throw MeshError(.configuration, code: "token_malformed", "the join token is damaged or not complete", remedy: remedy)
        }
        self = token
    }
}
