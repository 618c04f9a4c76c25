import MeshModel
import Platform
import SwiftASN1
import X509

/// A certificate that was checked against the bundle.
package struct VerifiedCertificate: Sendable {
    package let identity: SPIFFEID
    package let notBefore: WallTime
    package let notAfter: WallTime
    /// Lower case hexadecimal.
    package let serial: String
    /// See `PrivateKey.publicKeyHash`.
    package let publicKeyHash: String
    /// What the authority lets the node write for others; empty for workloads.
    package let rights: [ConfigurationRight]
    let publicKey: Certificate.PublicKey
}

/// The roots of one trust domain, and the check of leaves against them (X509-SVID section 5, with no intermediates: the root's path length is 0).
package struct TrustBundle: Sendable {
    package static let maximumRoots = 16

    package let trustDomain: String
    package let rootsDER: [[UInt8]]
    let roots: [Certificate]

    /// - Parameter path: where the roots come from, for errors.
    package init(trustDomain: String, rootsDER: [[UInt8]], path: String) throws(MeshError) {
        guard !rootsDER.isEmpty, rootsDER.count <= Self.maximumRoots else {
            throw .corrupt(path, "it holds \(rootsDER.count) certificates instead of 1 to \(Self.maximumRoots)")
        }
        var roots: [Certificate] = []
        for der in rootsDER {
            guard let root = try? Certificate(derEncoded: der) else { throw .corrupt(path, "it holds something that is no certificate") }
            guard Self.isRoot(root, of: trustDomain) else {
                throw .corrupt(path, "it holds a certificate that is no self-signed root of the trust domain \(trustDomain)")
            }
            roots.append(root)
        }
        self.trustDomain = trustDomain
        self.rootsDER = rootsDER
        self.roots = roots
    }

    private static func isRoot(_ root: Certificate, of trustDomain: String) -> Bool {
        guard case .isCertificateAuthority? = try? root.extensions.basicConstraints, let usage = try? root.extensions.keyUsage, usage.keyCertSign,
            let names = try? root.extensions.subjectAlternativeNames, names.count == 1, case .uniformResourceIdentifier(let uri)? = names.first
        else { return false }
        return uri == "spiffe://\(trustDomain)" && root.publicKey.isValidSignature(root.signature, for: root)
    }

    /// Checks a leaf: signed by one of the roots, in time, no authority, usable at both ends of TLS, named by exactly one SPIFFE ID of this domain.
    /// - Parameter subject: who presented it, for errors, as "node b's certificate".
    package func verify(leaf der: [UInt8], now: WallTime, subject: @autoclosure () -> String) throws(MeshError) -> VerifiedCertificate {
        guard let leaf = try? Certificate(derEncoded: der) else {
            throw .certificate("certificate_malformed", "\(subject()) cannot be read", remedy: "let the node join again")
        }
        let identity = try identity(of: leaf, subject: subject())
        guard identity.trustDomain == trustDomain else {
            throw .certificate(
                "trust_domain", "\(subject()) names \(identity), which is outside this mesh's trust domain \(trustDomain)",
                remedy: "join the node to this mesh with a token of its authority")
        }
        guard let root = roots.first(where: { $0.subject == leaf.issuer && $0.publicKey.isValidSignature(leaf.signature, for: leaf) }) else {
            throw .certificate(
                "untrusted", "\(subject()) for \(identity) is not signed by a root of \(trustDomain)",
                remedy: "join the node to this mesh with a token of its authority")
        }
        let (from, until) = (WallTime(max(leaf.notValidBefore, root.notValidBefore)), WallTime(min(leaf.notValidAfter, root.notValidAfter)))
        guard now < until else {
            throw .certificate(
                "expired", "\(subject()) for \(identity) expired at \(until.spoken), \(spoken(now.seconds - until.seconds)) ago",
                remedy: "check the clock; if it is right, see `weft certs` on that node")
        }
        guard now >= from else {
            throw .certificate(
                "not_yet_valid", "\(subject()) for \(identity) is valid only from \(from.spoken), in \(spoken(from.seconds - now.seconds))",
                remedy: "check the clocks of both nodes")
        }
        try checkUsage(leaf, subject: subject())
        return VerifiedCertificate(
            identity: identity, notBefore: WallTime(leaf.notValidBefore), notAfter: until, serial: Hex.encode(leaf.serialNumber.bytes),
            publicKeyHash: Hex.encode(Hash.sha256(leaf.publicKey.subjectPublicKeyInfo)),
            rights: identity.node == nil ? [] : RightMarks.rights(of: leaf.subject), publicKey: leaf.publicKey)
    }

    private func identity(of leaf: Certificate, subject: @autoclosure () -> String) throws(MeshError) -> SPIFFEID {
        guard let names = try? leaf.extensions.subjectAlternativeNames, names.count == 1, case .uniformResourceIdentifier(let uri)? = names.first,
            let identity = SPIFFEID(uri), !identity.path.isEmpty
        else {
            throw .certificate("no_identity", "\(subject()) does not hold exactly one SPIFFE ID", remedy: "let the node join again")
        }
        return identity
    }

    private func checkUsage(_ leaf: Certificate, subject: @autoclosure () -> String) throws(MeshError) {
        let known: [ASN1ObjectIdentifier] = [
            .X509ExtensionID.basicConstraints, .X509ExtensionID.keyUsage, .X509ExtensionID.extendedKeyUsage, .X509ExtensionID.subjectAlternativeName,
        ]
        let isLeaf =
            switch try? leaf.extensions.basicConstraints {
            case .isCertificateAuthority?: false
            case .notCertificateAuthority?, nil: true
            }
        guard isLeaf, let usage = try? leaf.extensions.keyUsage, usage.digitalSignature, !usage.keyCertSign,
            let extended = try? leaf.extensions.extendedKeyUsage, extended.contains(.serverAuth), extended.contains(.clientAuth),
            leaf.extensions.allSatisfy({ !$0.critical || known.contains($0.oid) })
        else {
            throw .certificate("usage", "\(subject()) may not be used for both ends of a mesh connection", remedy: "let the node join again")
        }
    }
}
