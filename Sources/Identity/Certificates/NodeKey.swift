import Crypto
import MeshModel
import SwiftASN1
import X509

/// A P-256 private key (FIPS 186-5). It is made here, written to this host's disk only, and never sent.
package struct PrivateKey: Sendable {
    let signing: P256.Signing.PrivateKey

    /// A new key from the system's random source.
    package init() { signing = P256.Signing.PrivateKey() }

    /// PKCS #8 or SEC 1 PEM.
    /// - Parameter path: named in the error.
    package init(pem: String, path: String) throws(MeshError) {
        do {
            signing = try P256.Signing.PrivateKey(pemRepresentation: pem)
        } catch {
            throw .corrupt(path, "it holds no P-256 private key in PEM form")
        }
    }

    /// PKCS #8 (RFC 5958).
    package var pkcs8: [UInt8] { [UInt8](signing.derRepresentation) }
    package var pem: String { signing.pemRepresentation + "\n" }
    /// SHA-256 of the SubjectPublicKeyInfo, lower case hexadecimal: names the key without showing it.
    package var publicKeyHash: String { Hex.encode(SHA256.hash(data: signing.publicKey.derRepresentation)) }

    var certificateKey: Certificate.PrivateKey { Certificate.PrivateKey(signing) }
}
