import Crypto
import MeshModel
import SwiftASN1
import X509

/// A certificate signing request (RFC 2986): made by a node, checked by the authority.
package enum SigningRequest {
    /// A request larger than this is refused unread.
    package static let maximumBytes = 4_096

    /// DER of a request for one identity, signed with its key.
    package static func make(_ identity: SPIFFEID, key: PrivateKey) throws(MeshError) -> [UInt8] {
        do {
            let extensions = try Certificate.Extensions { SubjectAlternativeNames([.uniformResourceIdentifier(identity.description)]) }
            let attributes: [CertificateSigningRequest.Attribute] = [try .init(ExtensionRequest(extensions: extensions))]
            let request = try CertificateSigningRequest(
                version: .v1, subject: DistinguishedName(), privateKey: key.certificateKey, attributes: .init(attributes),
                signatureAlgorithm: .ecdsaWithSHA256)
            return try request.derBytes
        } catch {
            throw MeshError(.internal, code: "csr", "cannot make a signing request for \(identity): \(error)")
        }
    }

    /// What is known of a request after its checks. Nothing else of it is used.
    package struct Verified: Sendable {
        package let identity: SPIFFEID
        let publicKey: Certificate.PublicKey
        /// See `PrivateKey.publicKeyHash`.
        package let publicKeyHash: String
    }

    /// Checks size, form, key type, proof of possession and that the only name asked for is one SPIFFE ID.
    package static func verify(_ der: [UInt8]) throws(MeshError) -> Verified {
        guard der.count <= maximumBytes else {
            throw .badRequest("the signing request has \(der.count) bytes, the most is \(maximumBytes)")
        }
        let request: CertificateSigningRequest
        do {
            request = try CertificateSigningRequest(derEncoded: der)
        } catch {
            // An RSA key too small for the library to hold fails here and not at the key check.
            throw .certificate("csr_malformed", "the signing request cannot be read: \(error)", remedy: "send a PKCS #10 request with a P-256 key")
        }
        guard isAcceptable(request.publicKey) else {
            throw .certificate("csr_key", "the signing request's key is of another type than ECDSA P-256, P-384 or P-521", remedy: "use a P-256 key")
        }
        guard request.publicKey.isValidSignature(request.signature, for: request) else {
            throw .certificate(
                "csr_possession", "the signing request is not signed with the private key of the public key it holds",
                remedy: "make a new request on the node that owns the key")
        }
        return Verified(
            identity: try identity(of: request), publicKey: request.publicKey,
            publicKeyHash: Hex.encode(SHA256.hash(data: request.publicKey.subjectPublicKeyInfo)))
    }

    private static func identity(of request: CertificateSigningRequest) throws(MeshError) -> SPIFFEID {
        let extensionRequest: ASN1ObjectIdentifier = [1, 2, 840, 113549, 1, 9, 14]
        let remedy = "ask for exactly one name, a URI like spiffe://<trust domain>/ns/<namespace>/sa/<account>"
        guard request.attributes.count(where: { $0.oid == extensionRequest }) == 1,
            let names = try? request.attributes.extensionRequest?.extensions.subjectAlternativeNames
        else { throw .certificate("csr_names", "the signing request asks for no name", remedy: remedy) }
        guard names.count == 1, case .uniformResourceIdentifier(let uri)? = names.first else {
            throw .certificate("csr_names", "the signing request asks for \(names.count) names, some of them no SPIFFE ID", remedy: remedy)
        }
        guard let identity = SPIFFEID(uri) else {
            throw .certificate("csr_names", "the signing request asks for \"\(uri.prefix(200))\", which is no SPIFFE ID", remedy: remedy)
        }
        return identity
    }

    private static func isAcceptable(_ key: Certificate.PublicKey) -> Bool {
        P256.Signing.PublicKey(key) != nil || P384.Signing.PublicKey(key) != nil || P521.Signing.PublicKey(key) != nil
    }
}

extension DERSerializable {
    var derBytes: [UInt8] {
        get throws {
            var serializer = DER.Serializer()
            try serializer.serialize(self)
            return serializer.serializedBytes
        }
    }
}

extension Certificate.PublicKey {
    var subjectPublicKeyInfo: [UInt8] { (try? derBytes) ?? [] }
}
