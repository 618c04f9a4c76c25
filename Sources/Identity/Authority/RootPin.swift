import MeshModel
import Platform

/// The joiner's check of the server, made before a byte of the token is sent.
package enum RootPin {
    /// - Parameter chain: what the server presented in the handshake, DER, leaf first. The handshake proved that it owns the leaf's key.
    /// - Returns: the pinned root.
    package static func check(chain: [[UInt8]], token: JoinToken, now: WallTime) throws(MeshError) -> [UInt8] {
        guard let leaf = chain.first, let root = chain.dropFirst().first(where: { Hash.equal(Hash.sha256($0), token.fingerprint.bytes) }) else {
            throw MeshError(
                .peer, code: "fingerprint",
                "the server does not present the root certificate whose fingerprint is in the token, so nothing was sent to it",
                remedy:
                    "check that the token is of this mesh and that its addresses (\(token.addresses.joined(separator: ", "))) are the authority's"
            )
        }
        let bundle = try TrustBundle(trustDomain: token.trustDomain, rootsDER: [root], path: "the server's root certificate")
        let server = try bundle.verify(leaf: leaf, now: now, subject: "the server's certificate")
        guard server.identity.node == token.authority else {
            throw MeshError(
                .peer, code: "not_the_authority",
                "the server is \(server.identity), not the authority's node \(token.authority), so nothing was sent to it",
                remedy: "make a new token whose addresses lead to the authority's node")
        }
        return root
    }
}
