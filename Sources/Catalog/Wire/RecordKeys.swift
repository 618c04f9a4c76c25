import Identity
import MeshModel
import Platform
import Synchronization
import TLS

/// This node's certificate for signing records, and the mesh's roots for checking those of others.
///
/// Safe from any thread; the core calls it from the control thread only.
final class RecordKeys: Sendable {
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

    var authority: RecordAuthority {
        RecordAuthority(
            sha256: { Digest.sha256($0) }, sign: { [self] in sign($0) },
            verify: { [self] (bytes, signature, chain, origin) throws(SignatureFault) in try verify(bytes, signature, chain, origin) })
    }

    private func sign(_ bytes: [UInt8]) -> (chain: [[UInt8]], signature: [UInt8])? {
        let now = clock()
        return state.withLock { state in
            guard let signer = state.signer, now < state.notAfter, let signature = try? signer.sign(bytes) else { return nil }
            return ([signer.certificate], signature)
        }
    }

    private func verify(_ bytes: [UInt8], _ signature: [UInt8], _ chain: [[UInt8]], _ origin: String) throws(SignatureFault) {
        guard chain.count == 1 else { throw .invalid("\(chain.count) certificates instead of one") }
        let now = clock()
        let failure: MeshError? = state.withLock { state in
            guard state.verifier != nil else { return MeshError(.internal, code: "no_trust", "this node is in no mesh") }
            do throws(MeshError) {
                try state.verifier?.verify(bytes, signature: signature, certificate: chain[0], node: origin, now: now)
                return nil
            } catch {
                return error
            }
        }
        guard let failure else { return }
        throw failure.code == "record_owner" ? .otherSigner(failure.message) : .invalid(failure.message)
    }
}
