import MeshModel
import Platform
import TLS

/// Everything that proves who this node and its workloads are, at one moment. Immutable: a change makes a new one.
package struct CredentialSet: Sendable, CustomStringConvertible {
    package let mesh: MeshRecord
    package let nodeIdentity: SPIFFEID
    /// The node's own credential: plane streams, and as the answerer of `weft-plane/1`.
    package let node: Credential
    /// By workload identity; only those that are in force.
    package let workloads: [SPIFFEID: Credential]
    /// The node's credential with the root in its chain, for a joiner to pin. Only on the authority's node; present it for `weft-join/1`,
    /// without asking for the peer's certificate.
    package let join: Credential?
    package let trust: TrustStore
    package let bundle: TrustBundle
    package let signer: RecordSigner
    package let gossip: GossipKeyring

    package var trustDomain: String { mesh.trustDomain }
    /// Without the gossip keys, for logs.
    package var description: String { "credentials of \(nodeIdentity) and \(workloads.count) workloads" }

    /// - Parameter previous: the last state and its set; what did not change is taken from it.
    init(_ stored: StoredIdentity, previous: (state: StoredIdentity, set: CredentialSet)?, at now: WallTime) throws(MeshError) {
        guard let nodeIdentity = stored.mesh.identity(ofNode: stored.mesh.node) else {
            throw MeshError(.internal, code: "node_name", "\"\(stored.mesh.node)\" is no node name")
        }
        do throws(TLSError) {
            mesh = stored.mesh
            self.nodeIdentity = nodeIdentity
            node = try Credential(chainDER: [stored.node.certificate], privateKeyDER: stored.node.key.pkcs8)
            join =
                stored.mesh.holdsAuthority
                ? try Credential(chainDER: [stored.node.certificate] + stored.bundle.rootsDER, privateKeyDER: stored.node.key.pkcs8) : nil
            var workloads: [SPIFFEID: Credential] = [:]
            for (identity, pair) in stored.workloads {
                let isSame = previous?.state.workloads[identity]?.certificate == pair.certificate
                let known = isSame ? previous?.set.workloads[identity] : nil
                let credential: Credential
                if let known { credential = known } else { credential = try Credential(chainDER: [pair.certificate], privateKeyDER: pair.key.pkcs8) }
                if now < credential.notAfter { workloads[identity] = credential }
            }
            self.workloads = workloads
            trust = try TrustStore(rootsDER: stored.bundle.rootsDER)
        } catch {
            throw MeshError(.internal, code: "credential", "OpenSSL does not take this node's certificates: \(error.message)", remedy: error.remedy)
        }
        bundle = stored.bundle
        signer = RecordSigner(node: stored.mesh.node, pair: stored.node)
        gossip = stored.gossip
    }
}

/// One line of `weft certs`.
package struct CertificateStatus: Sendable {
    package let identity: SPIFFEID
    package let state: RenewalSchedule.State
    package let notBefore: WallTime?
    package let notAfter: WallTime?
    /// Lower case hexadecimal; empty without a certificate.
    package let serial: String
    /// When it is asked for again; nil while an answer is awaited.
    package let renewal: WallTime?
    /// Why the last request failed; nil after a success.
    package let lastError: MeshError?
}
