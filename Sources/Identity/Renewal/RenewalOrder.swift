import MeshModel
import Platform
import SwiftASN1
import X509

/// One certificate asked for: the key, which never leaves, and the request.
struct RenewalOrder: Sendable {
    let identity: SPIFFEID
    let key: PrivateKey
    let request: [UInt8]

    /// A new key for every workload certificate; the node keeps the key that the authority knows it by.
    static func make(_ identities: [SPIFFEID], for node: StoredIdentity) throws(MeshError) -> [RenewalOrder] {
        var orders: [RenewalOrder] = []
        for identity in identities {
            let key = identity.node == nil ? PrivateKey() : node.node.key
            orders.append(RenewalOrder(identity: identity, key: key, request: try SigningRequest.make(identity, key: key)))
        }
        return orders
    }

    /// Whether the answer is a certificate for this identity and this key.
    func check(_ item: SignReply.Item, bundle: TrustBundle, now: WallTime) throws(MeshError) -> (KeyPair, VerifiedCertificate) {
        guard let der = item.certificate?.bytes else { throw item.error?.error ?? .badRequest("the authority's answer for \(identity) is empty") }
        let found = try bundle.verify(leaf: der, now: now, subject: "the certificate from the authority")
        guard found.identity == identity, found.publicKeyHash == key.publicKeyHash else {
            throw .badRequest("the authority's certificate for \(identity) is for \(found.identity) or another key")
        }
        return (KeyPair(key: key, certificate: der), found)
    }
}

/// What a certificate of our own says of itself.
struct CertificateFacts {
    let notBefore: WallTime
    let notAfter: WallTime
    let serial: String
    let rights: [ConfigurationRight]

    init?(_ der: [UInt8]) {
        guard let certificate = try? Certificate(derEncoded: der) else { return nil }
        notBefore = WallTime(certificate.notValidBefore)
        notAfter = WallTime(certificate.notValidAfter)
        serial = Hex.encode(certificate.serialNumber.bytes)
        rights = RightMarks.rights(of: certificate.subject)
    }
}
