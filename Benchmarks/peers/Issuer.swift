import Identity
import Membership
import MeshModel
import Platform
import SWIM
import TLS

/// Certificates of the agent's mesh, from the root's key that the agent holds.
struct Issuer {
    let trustDomain: String
    let trust: TrustStore
    let keyring: Keyring
    private let authority: MeshAuthority

    init(_ directory: String) throws {
        let store = IdentityStore(directory: directory)
        guard let stored = try store.load() else { throw MeshError(.configuration, code: "no_mesh", "\(directory) holds no identity") }
        trustDomain = stored.mesh.trustDomain
        authority = try store.loadAuthority(trustDomain, lifetimes: CertificateLifetimes()).authority
        trust = try TrustStore(rootsDER: stored.bundle.rootsDER)
        keyring = try Keyring(keys: store.loadGossipKeyring().keys)
    }

    /// What a join would give a node.
    func identity(_ name: String) throws -> (credential: Credential, signer: RecordSigner) {
        guard let identity = SPIFFEID(trustDomain: trustDomain, node: name) else { throw MeshError(.internal, code: "node_name", "\(name) is no name of a node") }
        let key = PrivateKey()
        let certificate = try authority.issue(SigningRequest.verify(SigningRequest.make(identity, key: key)), now: .now())
        return (
            try Credential(chainDER: [certificate.der], privateKeyDER: key.pkcs8), RecordSigner(node: name, pair: KeyPair(key: key, certificate: certificate.der))
        )
    }
}
