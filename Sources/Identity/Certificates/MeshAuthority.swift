import Crypto
import MeshModel
import Platform
import SwiftASN1
import X509

/// How long certificates last.
package struct CertificateLifetimes: Sendable {
    package var leaf: Duration = .seconds(86_400)
    package var root: Duration = .seconds(3_652 * 86_400)
    /// How far back a certificate starts, for clocks that are a little behind.
    package var backdate: Duration = .seconds(60)
    package init() {}
}

/// A certificate as the authority made it.
package struct IssuedCertificate: Sendable {
    package let identity: SPIFFEID
    package let der: [UInt8]
    package let serial: String
    package let notBefore: WallTime
    package let notAfter: WallTime
}

/// The root key and what it signs. Whether a requester may have an identity is `NodeRegistry`'s question; time is an argument.
///
/// The root (RFC 5280) has path length 0 and the trust domain's URI as its name (X509-SVID section 4); leaves have one critical URI, a subject
/// that is empty but for rights (`RightMarks`), key usage digitalSignature and both extended usages.
package struct MeshAuthority: Sendable {
    package let trustDomain: String
    package let rootDER: [UInt8]
    let root: Certificate
    let key: PrivateKey
    package var lifetimes = CertificateLifetimes()

    /// Makes a new root.
    package init(creating trustDomain: String, now: WallTime, lifetimes: CertificateLifetimes = CertificateLifetimes()) throws(MeshError) {
        guard let uri = SPIFFEID(trustDomain: trustDomain, path: "") else {
            throw MeshError(
                .configuration, code: "trust_domain", "\"\(trustDomain)\" is no trust domain",
                remedy: "use lower case letters, digits, dots, hyphens and underscores, as in mesh.example.org")
        }
        let key = PrivateKey()
        do {
            // The random part keeps the names of two roots of one trust domain apart, so that chains are found by name.
            let name = try DistinguishedName {
                OrganizationName("Weft")
                CommonName("Weft root \(Hex.encode(Random.bytes(8)))")
            }
            let root = try Certificate(
                version: .v3, serialNumber: .init(), publicKey: key.certificateKey.publicKey, notValidBefore: (now - lifetimes.backdate).date,
                notValidAfter: (now + lifetimes.root).date, issuer: name, subject: name, signatureAlgorithm: .ecdsaWithSHA256,
                extensions: try .init {
                    Critical(BasicConstraints.isCertificateAuthority(maxPathLength: 0))
                    Critical(KeyUsage(keyCertSign: true, cRLSign: true))
                    SubjectKeyIdentifier(hash: key.certificateKey.publicKey)
                    SubjectAlternativeNames([.uniformResourceIdentifier(uri.description)])
                }, issuerPrivateKey: key.certificateKey)
            self.trustDomain = trustDomain
            self.root = root
            self.key = key
            self.lifetimes = lifetimes
            self.rootDER = try root.derBytes
        } catch {
            throw MeshError(.internal, code: "root", "cannot make a root certificate: \(error)")
        }
    }

    /// From what `weft init` stored.
    /// - Parameter paths: named in errors.
    package init(
        trustDomain: String, rootDER: [UInt8], key: PrivateKey, paths: (certificate: String, key: String), lifetimes: CertificateLifetimes
    ) throws(MeshError) {
        let bundle = try TrustBundle(trustDomain: trustDomain, rootsDER: [rootDER], path: paths.certificate)
        guard let root = bundle.roots.first, root.publicKey == key.certificateKey.publicKey else {
            throw .corrupt(paths.key, "it is not the key of \(paths.certificate)")
        }
        self.trustDomain = trustDomain
        self.rootDER = rootDER
        self.root = root
        self.key = key
        self.lifetimes = lifetimes
    }

    /// SHA-256 of the root certificate's DER: what a token pins.
    package var fingerprint: [UInt8] { Hash.sha256(rootDER) }
    package var keyPEM: String { key.pem }

    /// Signs a checked request. The caller has decided that the requester may have the identity, and the rights.
    package func issue(_ request: SigningRequest.Verified, rights: [ConfigurationRight] = [], now: WallTime) throws(MeshError) -> IssuedCertificate {
        let identity = request.identity
        guard identity.trustDomain == trustDomain else {
            throw .certificate(
                "trust_domain", "\(identity) is not in this mesh's trust domain \(trustDomain)",
                remedy: "ask for spiffe://\(trustDomain)\(identity.path)")
        }
        let end = WallTime(root.notValidAfter)
        guard now < end else {
            throw .certificate("root_expired", "the mesh's root certificate expired at \(end.spoken)", remedy: "make a new mesh with `weft init`")
        }
        let notBefore = now - lifetimes.backdate
        let notAfter = min(now + lifetimes.leaf, end)
        do {
            let serial = Certificate.SerialNumber()
            let certificate = try Certificate(
                version: .v3, serialNumber: serial, publicKey: request.publicKey, notValidBefore: notBefore.date, notValidAfter: notAfter.date,
                issuer: root.subject, subject: RightMarks.subject(rights), signatureAlgorithm: .ecdsaWithSHA256,
                extensions: try .init {
                    Critical(BasicConstraints.notCertificateAuthority)
                    Critical(KeyUsage(digitalSignature: true))
                    try ExtendedKeyUsage([.serverAuth, .clientAuth])
                    // Critical, because the subject names nobody (RFC 5280 section 4.2.1.6).
                    Critical(SubjectAlternativeNames([.uniformResourceIdentifier(identity.description)]))
                    AuthorityKeyIdentifier(keyIdentifier: SubjectKeyIdentifier(hash: key.certificateKey.publicKey).keyIdentifier)
                    SubjectKeyIdentifier(hash: request.publicKey)
                }, issuerPrivateKey: key.certificateKey)
            return IssuedCertificate(
                identity: identity, der: try certificate.derBytes, serial: Hex.encode(serial.bytes), notBefore: notBefore, notAfter: notAfter)
        } catch {
            throw MeshError(.internal, code: "issue", "cannot make a certificate for \(identity): \(error)")
        }
    }
}

extension WallTime {
    static func - (time: WallTime, duration: Duration) -> WallTime {
        WallTime(seconds: time.seconds - duration.components.seconds, nanoseconds: time.nanoseconds)
    }
}
