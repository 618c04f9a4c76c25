import MeshModel
import Platform
import Synchronization
import TLS

/// This node's certificate for signing what it says of itself and for others, and the mesh's roots for checking what others say.
///
/// Safe from any thread.
package final class RecordKeys: Sendable {
    private struct State {
        var signer: RecordSigner?
        var notAfter = WallTime(seconds: 0)
        var verifier: RecordVerifier?
    }
    private let state = Mutex(State())
    private let clock: @Sendable () -> WallTime

    package init(clock: @escaping @Sendable () -> WallTime) { self.clock = clock }

    /// New certificates or roots; nil when the node left its mesh.
    package func use(_ credentials: CredentialSet?) {
        state.withLock { state in
            state.signer = credentials?.signer
            state.notAfter = credentials?.node.notAfter ?? WallTime(seconds: 0)
            if let credentials, state.verifier == nil {
                state.verifier = RecordVerifier(credentials.bundle)
            } else if let credentials {
                state.verifier?.replace(credentials.bundle)
            }
        }
    }

    /// What this node's certificate lets it write for others.
    package var rights: [ConfigurationRight] { state.withLock { $0.signer?.rights ?? [] } }

    /// Nil when there is no certificate that is valid now.
    package func sign(_ bytes: [UInt8]) -> (certificate: [UInt8], signature: [UInt8])? {
        let now = clock()
        return state.withLock { state in
            guard let signer = state.signer, now < state.notAfter, let signature = try? signer.sign(bytes) else { return nil }
            return (signer.certificate, signature)
        }
    }

    /// What is known of the signer's certificate, if the node `node` signed the bytes with one that was valid at a time; nil: now.
    package func verify(
        _ bytes: [UInt8], signature: [UInt8], certificate: [UInt8], node: String, at time: WallTime? = nil
    ) throws(MeshError) -> VerifiedCertificate {
        let time = time ?? clock()
        let result: Result<VerifiedCertificate, MeshError> = state.withLock { state in
            do throws(MeshError) {
                let known = try state.verifier?.verify(bytes, signature: signature, certificate: certificate, node: node, now: time)
                return known.map { .success($0) } ?? .failure(MeshError(.internal, code: "no_trust", "this node is in no mesh"))
            } catch {
                return .failure(error)
            }
        }
        return try result.get()
    }
}
