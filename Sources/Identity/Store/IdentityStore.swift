import Crypto
import Glibc
import MeshModel
import Platform
import SwiftASN1
import X509

/// The files of a node's identity, in a directory of mode 0700. All files have mode 0600.
///
///     mesh.json                    trust domain, node name, authority; there if and only if the node is a member
///     node.pem                     node key and certificate
///     bundle.pem                   roots
///     gossip.keys                  gossip keyring with its revision, the primary key first; of earlier versions a JSON list of base64
///     workloads/<ns>+<account>.pem key and certificate of one workload identity
///     ca/                          only with the authority: root.key, root.crt, nodes.json, tokens.json
///
/// A key and its certificate share a file, so that one rename replaces both and a crash can never leave a pair that does not match.
/// A file that cannot be read is an error that names it; none is ever made anew in its place. Calls block: make them off the control thread.
package struct IdentityStore: Sendable {
    package let directory: String

    package init(directory: String) { self.directory = directory }

    package var meshPath: String { "\(directory)/mesh.json" }
    package var nodePath: String { "\(directory)/node.pem" }
    package var bundlePath: String { "\(directory)/bundle.pem" }
    package var gossipPath: String { "\(directory)/gossip.keys" }
    package var workloadDirectory: String { "\(directory)/workloads" }
    package var authorityDirectory: String { "\(directory)/ca" }
    package func workloadPath(_ identity: SPIFFEID) -> String? {
        // A plus sign is in no segment, so the two parts cannot run into each other.
        identity.workload.map { "\(workloadDirectory)/\($0.namespace)+\($0.account).pem" }
    }

    // MARK: Reading

    /// Nil when this node is in no mesh.
    package func load() throws(MeshError) -> StoredIdentity? {
        guard access(directory, F_OK) == 0 else { return nil }
        try AtomicFile.checkPrivateDirectory(directory)
        guard let bytes = try AtomicFile.read(meshPath, secret: true) else {
            // Files of a join that did not finish are worth nothing and are overwritten by the next; a root key is worth a whole mesh.
            guard access("\(authorityDirectory)/root.key", F_OK) != 0 else {
                throw MeshError(
                    .configuration, code: "state_incomplete",
                    "\(meshPath) is missing, but \(authorityDirectory)/root.key, the key of a whole mesh, is there",
                    remedy: "restore mesh.json from a backup; if `weft init` was interrupted here, remove \(directory) and run it again")
            }
            return nil
        }
        let mesh = try StateJSON.content(MeshRecord.self, of: bytes, version: 1, path: meshPath)
        guard SPIFFEID.isTrustDomain(mesh.trustDomain), SPIFFEID.isSegment(mesh.node), SPIFFEID.isSegment(mesh.authority) else {
            throw .corrupt(meshPath, "its names are not valid")
        }
        let bundle = try TrustBundle(
            trustDomain: mesh.trustDomain, rootsDER: PEM.certificates(text(bundlePath), path: bundlePath), path: bundlePath)
        let node = try keyPair(nodePath)
        try checkNode(node, mesh, bundle)
        return StoredIdentity(
            mesh: mesh, node: node, bundle: bundle, gossip: try loadGossipKeyring(), workloads: try loadWorkloads(mesh.trustDomain))
    }

    /// The node's certificate is this node's and signed by the roots; whether it is still in force is not the store's question.
    private func checkNode(_ node: KeyPair, _ mesh: MeshRecord, _ bundle: TrustBundle) throws(MeshError) {
        guard let facts = CertificateFacts(node.certificate) else { throw .corrupt(nodePath, "its certificate cannot be read") }
        let found: VerifiedCertificate
        do {
            found = try bundle.verify(leaf: node.certificate, now: facts.notBefore, subject: "its certificate")
        } catch {
            throw .corrupt(nodePath, error.message)
        }
        guard found.identity == mesh.identity(ofNode: mesh.node) else {
            throw .corrupt(nodePath, "its certificate is for \(found.identity), and this node is \(mesh.node)")
        }
    }

    private func text(_ path: String) throws(MeshError) -> String {
        guard let bytes = try AtomicFile.read(path, secret: true) else { throw .corrupt(path, "it is missing") }
        return String(decoding: bytes, as: UTF8.self)
    }

    private func keyPair(_ path: String) throws(MeshError) -> KeyPair {
        let (key, chain) = try PEM.credential(text(path), path: path)
        guard let certificate = try? Certificate(derEncoded: chain[0]) else { throw .corrupt(path, "its certificate cannot be read") }
        guard certificate.publicKey == key.certificateKey.publicKey else {
            throw .corrupt(path, "its key and its certificate do not belong together")
        }
        return KeyPair(key: key, certificate: chain[0])
    }

    package func loadGossipKeyring() throws(MeshError) -> GossipKeyring {
        let content = Array(try text(gossipPath).utf8)
        guard let list = try? StateJSON.decode([Bytes].self, from: content) else {
            return try StateJSON.content(GossipKeyring.self, of: content, version: Self.keyringVersion, path: gossipPath)
        }
        // Written before keys could be changed: they are the ones that the mesh began with.
        do throws(MeshError) { return try GossipKeyring(keys: list.map(\.bytes)) } catch { throw .corrupt(gossipPath, error.message) }
    }

    private static let keyringVersion = 2

    /// The keys are on disk when this returns: only then may they be used.
    package func saveGossipKeyring(_ keyring: GossipKeyring) throws(MeshError) {
        try AtomicFile.write(StateJSON.file(keyring, version: Self.keyringVersion), to: gossipPath, mode: 0o600)
    }

    private func loadWorkloads(_ trustDomain: String) throws(MeshError) -> [SPIFFEID: KeyPair] {
        var result: [SPIFFEID: KeyPair] = [:]
        for name in Self.names(in: workloadDirectory) where name.hasSuffix(".pem") {
            let parts = name.dropLast(4).split(separator: "+", omittingEmptySubsequences: false)
            guard parts.count == 2, let identity = SPIFFEID(trustDomain: trustDomain, namespace: String(parts[0]), account: String(parts[1])) else {
                continue
            }
            result[identity] = try keyPair("\(workloadDirectory)/\(name)")
        }
        return result
    }

    package static func names(in directory: String) -> [String] {
        guard let handle = opendir(directory) else { return [] }
        defer { closedir(handle) }
        var names: [String] = []
        while let entry = readdir(handle) {
            let name = withUnsafeBytes(of: &entry.pointee.d_name) { String(decoding: $0.prefix(while: { $0 != 0 }), as: UTF8.self) }
            if name != ".", name != ".." { names.append(name) }
        }
        return names.sorted()
    }

    // MARK: Writing

    /// Makes the directories; call before anything is asked of the authority, so that a full or read-only disk costs no token.
    package func prepare() throws(MeshError) {
        try AtomicFile.privateDirectory(directory)
        try AtomicFile.privateDirectory(workloadDirectory)
        let probe = "\(directory)/probe"
        try AtomicFile.write([0], to: probe, mode: 0o600)
        try AtomicFile.remove(probe)
    }

    /// Makes this node a member. `mesh.json` comes last.
    package func save(_ identity: StoredIdentity) throws(MeshError) {
        try removeWorkloads(except: Set(identity.workloads.keys))
        try saveBundle(identity.bundle)
        try saveGossipKeyring(identity.gossip)
        try saveNode(identity.node)
        try AtomicFile.write(StateJSON.file(identity.mesh, version: 1), to: meshPath, mode: 0o600)
    }

    package func saveBundle(_ bundle: TrustBundle) throws(MeshError) {
        try AtomicFile.write(Array(bundle.rootsDER.map(PEM.certificate).joined().utf8), to: bundlePath, mode: 0o600)
    }

    package func saveNode(_ pair: KeyPair) throws(MeshError) { try save(pair, to: nodePath) }

    package func saveWorkload(_ identity: SPIFFEID, _ pair: KeyPair) throws(MeshError) {
        guard let path = workloadPath(identity) else { throw MeshError(.internal, code: "state_name", "\(identity) is no workload") }
        try save(pair, to: path)
    }

    private func save(_ pair: KeyPair, to path: String) throws(MeshError) {
        try AtomicFile.write(Array((pair.key.pem + PEM.certificate(pair.certificate)).utf8), to: path, mode: 0o600)
    }

    package func removeWorkloads(except kept: Set<SPIFFEID>) throws(MeshError) {
        let keep = Set(kept.compactMap(workloadPath))
        for name in Self.names(in: workloadDirectory) where !keep.contains("\(workloadDirectory)/\(name)") {
            try AtomicFile.remove("\(workloadDirectory)/\(name)")
        }
    }

    /// Leaves the mesh: nothing of the identity remains. Works on damaged state too. Other files in the directory stay.
    package func wipe() throws(MeshError) {
        var paths = Self.names(in: workloadDirectory).map { "\(workloadDirectory)/\($0)" }
        paths += Self.names(in: authorityDirectory).map { "\(authorityDirectory)/\($0)" }
        for path in [nodePath, gossipPath, bundlePath, meshPath] { paths += [path, path + ".new"] }
        for path in paths { try AtomicFile.remove(path) }
        rmdir(workloadDirectory)
        rmdir(authorityDirectory)
        if access(directory, F_OK) == 0 {
            do { try AtomicFile.syncDirectory(directory) } catch { throw .storage("write", directory, error) }
        }
    }
}
