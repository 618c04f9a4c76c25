import Identity
import MeshModel
import TLS

extension RecordKeys {
    /// For the catalog: signatures count while the signer's certificate is valid.
    var authority: RecordAuthority {
        RecordAuthority(
            sha256: { Digest.sha256($0) }, sign: { [self] bytes in sign(bytes).map { ([$0.certificate], $0.signature) } },
            verify: { [self] (bytes, signature, chain, origin) throws(SignatureFault) in try verify(bytes, signature, chain, origin) })
    }

    private func verify(_ bytes: [UInt8], _ signature: [UInt8], _ chain: [[UInt8]], _ origin: String) throws(SignatureFault) {
        guard chain.count == 1 else { throw .invalid("\(chain.count) certificates instead of one") }
        do throws(MeshError) {
            _ = try verify(bytes, signature: signature, certificate: chain[0], node: origin)
        } catch {
            throw error.code == "record_owner" ? .otherSigner(error.message) : .invalid(error.message)
        }
    }
}
