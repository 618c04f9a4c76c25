import Identity
import MeshModel
import Platform
import Synchronization
import TLS

/// This node's certificate for signing resources, and the mesh's roots for checking those of others.
///
/// Safe from any thread; the core calls it from the control thread only. An author's certificate must have been valid when it wrote: what an
/// administrator wrote last month stays in force, and a certificate lasts a day.
final class ResourceKeys: Sendable {
    private struct State {
        var signer: RecordSigner?
        var notAfter = WallTime(seconds: 0)
        var verifier: RecordVerifier?
    }
    private let state = Mutex(State())
    private let clock: @Sendable () -> WallTime

    init(clock: @escaping @Sendable () -> WallTime) { self.clock = clock }

    func use(_ credentials: CredentialSet?) {
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

    var authority: ResourceAuthority {
        ResourceAuthority(
            sha256: { Digest.sha256($0) }, sign: { [self] in sign($0) }, ownRights: { [self] in state.withLock { $0.signer?.rights ?? [] } },
            verify: { [self] bytes, write in verify(bytes, write) })
    }

    private func sign(_ bytes: [UInt8]) -> (certificate: [UInt8], signature: [UInt8])? {
        let now = clock()
        return state.withLock { state in
            guard let signer = state.signer, now < state.notAfter, let signature = try? signer.sign(bytes) else { return nil }
            return (signer.certificate, signature)
        }
    }

    private func verify(_ bytes: [UInt8], _ write: ResourceWrite) -> Result<[ConfigurationRight], ResourceRefusal> {
        state.withLock { state in
            guard state.verifier != nil else { return .failure(.badSignature("this node is in no mesh")) }
            do throws(MeshError) {
                let signer = try state.verifier?.verify(
                    bytes, signature: write.signature, certificate: write.certificate, node: write.version.author, now: write.version.time.wall)
                return .success(signer?.rights ?? [])
            } catch {
                return .failure(.badSignature(error.message))
            }
        }
    }
}
