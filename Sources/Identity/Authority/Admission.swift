import MeshModel
import Platform

/// The joiner's check of what it was given, before it stores it.
enum Admission {
    static func check(_ grant: JoinGrant, token: JoinToken, root: [UInt8], key: PrivateKey, now: WallTime) throws(MeshError) -> StoredIdentity {
        let roots = grant.bundle.map(\.bytes)
        guard grant.trustDomain == token.trustDomain, grant.node == token.node, grant.authority == token.authority, roots.contains(root)
        else { throw .badRequest("the authority's answer does not fit the token") }
        let gossip = try GossipKeyring(keys: grant.gossipKeys.map(\.bytes), revision: grant.gossipRevision ?? 0, by: grant.gossipRevision == nil ? "" : grant.authority)
        let bundle = try TrustBundle(trustDomain: grant.trustDomain, rootsDER: roots, path: "the authority's answer")
        let own = try bundle.verify(leaf: grant.certificate.bytes, now: now, subject: "the certificate from the authority")
        guard own.identity.node == token.node, own.publicKeyHash == key.publicKeyHash else {
            throw .badRequest("the authority's certificate is for \(own.identity) or another key")
        }
        // The addresses that worked come first when the authority names none of its own.
        let addresses = grant.authorityAddresses.isEmpty ? token.addresses : grant.authorityAddresses
        return StoredIdentity(
            mesh: MeshRecord(
                trustDomain: grant.trustDomain, node: grant.node, authority: grant.authority, authorityAddresses: addresses, seeds: grant.seeds,
                allow: grant.allow),
            node: KeyPair(key: key, certificate: grant.certificate.bytes), bundle: bundle, gossip: gossip)
    }
}
