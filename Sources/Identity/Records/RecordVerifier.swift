import Crypto
import MeshModel
import Platform
import X509

/// Checks that a record was signed by the node it speaks for. Not shared between threads; time is an argument.
package struct RecordVerifier: Sendable {
    /// Certificates remembered, so that the chain is checked once for each and not for each record.
    package static let maximumCached = 4_096

    private var bundle: TrustBundle
    /// By SHA-256 of the certificate.
    private var verified: [[UInt8]: VerifiedCertificate] = [:]
    package private(set) var hits: UInt64 = 0

    package init(_ bundle: TrustBundle) { self.bundle = bundle }

    /// Takes new roots; nothing verified with the old ones counts any more.
    package mutating func replace(_ bundle: TrustBundle) {
        self.bundle = bundle
        verified = [:]
    }

    /// - Parameters:
    ///   - node: whose record it claims to be.
    ///   - now: the time at which the certificate must be in force.
    /// - Returns: what is known of the signer's certificate.
    @discardableResult
    package mutating func verify(
        _ bytes: [UInt8], signature: [UInt8], certificate: [UInt8], node: String, now: WallTime
    ) throws(MeshError) -> VerifiedCertificate {
        let known = try check(certificate, now: now)
        guard known.identity.node == node else {
            throw MeshError(
                .peer, code: "record_owner", "a record of node \(node) is signed by \(known.identity)",
                remedy: "a node speaks only for itself; look at the node that signed")
        }
        guard let key = P256.Signing.PublicKey(known.publicKey), let signature = try? P256.Signing.ECDSASignature(derRepresentation: signature),
            key.isValidSignature(signature, for: bytes)
        else {
            throw MeshError(.peer, code: "record_signature", "the signature on a record of node \(node) is wrong", remedy: "the record is dropped")
        }
        return known
    }

    private mutating func check(_ certificate: [UInt8], now: WallTime) throws(MeshError) -> VerifiedCertificate {
        let hash = Hash.sha256(certificate)
        if let known = verified[hash], known.notBefore <= now, now < known.notAfter {
            hits += 1
            return known
        }
        let fresh = try bundle.verify(leaf: certificate, now: now, subject: "the certificate on a record")
        if verified.count >= Self.maximumCached {
            // Renewed certificates leave old ones behind; only when all are in force does the cache start anew.
            verified = verified.filter { now < $0.value.notAfter }
            if verified.count >= Self.maximumCached { verified = [:] }
        }
        verified[hash] = fresh
        return fresh
    }
}
