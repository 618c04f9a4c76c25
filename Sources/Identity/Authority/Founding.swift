import MeshModel
import Platform

/// Makes a mesh: what `weft init` does on disk.
package enum Founding {
    /// Makes root, node key and gossip key, and stores everything; `mesh.json` last. Blocking.
    package static func found(_ mesh: MeshRecord, store: IdentityStore, lifetimes: CertificateLifetimes, now: WallTime) throws(MeshError)
        -> StoredIdentity
    {
        guard SPIFFEID.isSegment(mesh.node), mesh.node.utf8.count <= AuthorityService.longestNodeName,
            let identity = mesh.identity(ofNode: mesh.node), mesh.holdsAuthority
        else {
            throw MeshError(
                .configuration, code: "node_name", "\"\(mesh.node)\" cannot be a node of \"\(mesh.trustDomain)\"",
                remedy: "use letters, digits, dots, hyphens and underscores; a trust domain is lower case")
        }
        guard try store.load() == nil else {
            throw MeshError(.configuration, code: "already_member", "this node is in a mesh already", remedy: "run `weft leave` first")
        }
        let authority = try MeshAuthority(creating: mesh.trustDomain, now: now, lifetimes: lifetimes)
        let key = PrivateKey()
        let certificate = try authority.issue(SigningRequest.verify(SigningRequest.make(identity, key: key)), rights: [.admin], now: now)
        var nodes = NodeRegistry()
        nodes.register(NodeRegistry.Record(name: mesh.node, keyHash: key.publicKeyHash, allow: [.any], rights: [.admin], joined: now.seconds))

        let founded = StoredIdentity(
            mesh: mesh, node: KeyPair(key: key, certificate: certificate.der),
            bundle: try TrustBundle(trustDomain: mesh.trustDomain, rootsDER: [authority.rootDER], path: store.rootCertificatePath),
            gossip: try GossipKeyring(keys: [Random.bytes(32)]))
        try store.prepare()
        try store.saveAuthority(authority, nodes: nodes, tokens: TokenLedger())
        try store.save(founded)
        return founded
    }
}
