import Crypto
import MeshModel

/// Signs what this node says of itself: ECDSA P-256 over SHA-256, signature in DER (RFC 3279 section 2.2.3).
package struct RecordSigner: Sendable {
    package let node: String
    /// The certificate to send along, DER.
    package let certificate: [UInt8]
    /// What the certificate lets this node write for others.
    package let rights: [ConfigurationRight]
    private let key: PrivateKey

    package init(node: String, pair: KeyPair) {
        self.node = node
        self.certificate = pair.certificate
        self.key = pair.key
        rights = CertificateFacts(pair.certificate)?.rights ?? []
    }

    package func sign(_ bytes: [UInt8]) throws(MeshError) -> [UInt8] {
        do {
            return [UInt8](try key.signing.signature(for: bytes).derRepresentation)
        } catch {
            throw MeshError(.internal, code: "sign", "cannot sign a record: \(error)")
        }
    }
}
