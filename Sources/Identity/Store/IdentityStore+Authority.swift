import MeshModel

/// The authority's files.
extension IdentityStore {
    package var rootKeyPath: String { "\(authorityDirectory)/root.key" }
    package var rootCertificatePath: String { "\(authorityDirectory)/root.crt" }
    package var nodesPath: String { "\(authorityDirectory)/nodes.json" }
    package var tokensPath: String { "\(authorityDirectory)/tokens.json" }

    package struct StoredAuthority: Sendable {
        package var authority: MeshAuthority
        package var nodes: NodeRegistry
        package var tokens: TokenLedger
    }

    package func loadAuthority(_ trustDomain: String, lifetimes: CertificateLifetimes) throws(MeshError) -> StoredAuthority {
        try AtomicFile.checkPrivateDirectory(authorityDirectory)
        let roots = try PEM.certificates(String(decoding: required(rootCertificatePath), as: UTF8.self), path: rootCertificatePath)
        guard roots.count == 1 else { throw .corrupt(rootCertificatePath, "it holds \(roots.count) certificates instead of one") }
        let authority = try MeshAuthority(
            trustDomain: trustDomain, rootDER: roots[0],
            key: PrivateKey(pem: String(decoding: required(rootKeyPath), as: UTF8.self), path: rootKeyPath),
            paths: (rootCertificatePath, rootKeyPath), lifetimes: lifetimes)
        return StoredAuthority(
            authority: authority, nodes: try StateJSON.content(NodeRegistry.self, of: required(nodesPath), version: 1, path: nodesPath),
            tokens: try StateJSON.content(TokenLedger.self, of: required(tokensPath), version: 1, path: tokensPath))
    }

    private func required(_ path: String) throws(MeshError) -> [UInt8] {
        guard let bytes = try AtomicFile.read(path, secret: true) else {
            throw MeshError(
                .configuration, code: "state_corrupt", "\(path) is missing, and the mesh's authority needs it",
                remedy: "restore \(authorityDirectory) from a backup")
        }
        return bytes
    }

    package func saveAuthority(_ authority: MeshAuthority, nodes: NodeRegistry, tokens: TokenLedger) throws(MeshError) {
        try AtomicFile.privateDirectory(authorityDirectory)
        // The key comes last: its presence says that the rest is there.
        try AtomicFile.write(Array(PEM.certificate(authority.rootDER).utf8), to: rootCertificatePath, mode: 0o600)
        try saveNodes(nodes)
        try saveTokens(tokens)
        try AtomicFile.write(Array(authority.keyPEM.utf8), to: rootKeyPath, mode: 0o600)
    }

    package func saveNodes(_ nodes: NodeRegistry) throws(MeshError) {
        try AtomicFile.write(StateJSON.file(nodes, version: 1), to: nodesPath, mode: 0o600)
    }

    package func saveTokens(_ tokens: TokenLedger) throws(MeshError) {
        try AtomicFile.write(StateJSON.file(tokens, version: 1), to: tokensPath, mode: 0o600)
    }
}
