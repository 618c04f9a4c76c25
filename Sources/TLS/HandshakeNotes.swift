import COpenSSL
import Platform

/// What the callbacks of one handshake leave for its end. Lives from the connection's `init` until the handshake is over.
final class HandshakeNotes {
    /// Keeps the context alive: OpenSSL's callbacks hold it without a reference.
    let context: TLSContext
    var failure: TLSError?
    var selectedALPN: String?

    init(context: TLSContext) { self.context = context }

    private static let slot: CInt = {
        let index = copenssl_ex_new_index()
        precondition(index >= 0, "OpenSSL: no slot for connection data")
        return index
    }()

    func attach(to ssl: OpaquePointer) { SSL_set_ex_data(ssl, Self.slot, Unmanaged.passUnretained(self).toOpaque()) }
    static func detach(from ssl: OpaquePointer) { SSL_set_ex_data(ssl, slot, nil) }
    static func of(_ ssl: OpaquePointer?) -> HandshakeNotes? {
        guard let ssl, let pointer = SSL_get_ex_data(ssl, slot) else { return nil }
        return Unmanaged.fromOpaque(pointer).takeUnretainedValue()
    }
}

/// OpenSSL's verification (chain, time, purpose) with our words for what is wrong.
enum PeerVerification {
    /// Called for every certificate of the chain, and for each fault.
    static let callback: @convention(c) (CInt, OpaquePointer?) -> CInt = { passed, verification in
        let ssl = X509_STORE_CTX_get_ex_data(verification, SSL_get_ex_data_X509_STORE_CTX_idx()).map { OpaquePointer($0) }
        let notes = HandshakeNotes.of(ssl)
        let certificate = X509_STORE_CTX_get_current_cert(verification)
        if passed == 1 {
            // Whoever holds a CA's key could be anyone; as a peer's own certificate it proves nothing (SPIFFE X509-SVID section 5.2).
            guard X509_STORE_CTX_get_error_depth(verification) == 0, let certificate, X509_check_ca(certificate) != 0 else { return 1 }
            X509_STORE_CTX_set_error(verification, X509_V_ERR_INVALID_PURPOSE)
            notes?.failure = TLSError(.certificateWrongUsage, "the peer showed a CA's certificate (\(Certificate.name(certificate))) as its own")
            return 0
        }
        if let notes, notes.failure == nil { notes.failure = error(X509_STORE_CTX_get_error(verification), certificate) }
        return 0
    }

    private static func error(_ number: CInt, _ certificate: OpaquePointer?) -> TLSError {
        let name = certificate.map(Certificate.name) ?? "the peer"
        switch number {
        case X509_V_ERR_CERT_HAS_EXPIRED:
            let end = certificate.flatMap(Certificate.notAfter)?.rfc3339 ?? "an unknown time"
            return TLSError(
                .certificateExpired, "the certificate of \(name) expired at \(end)", remedy: "is its node cut off from the CA, or a clock wrong?")
        case X509_V_ERR_CERT_NOT_YET_VALID:
            let start = certificate.flatMap(Certificate.notBefore)?.rfc3339 ?? "an unknown time"
            return TLSError(
                .certificateNotYetValid, "the certificate of \(name) is valid only from \(start)", remedy: "compare the clocks of both nodes")
        case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT, X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY, X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE,
            X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN, X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT, X509_V_ERR_CERT_SIGNATURE_FAILURE,
            X509_V_ERR_CERT_UNTRUSTED:
            return TLSError(
                .unknownIssuer, "the certificate of \(name) was not issued under a root that this node trusts (\(reason(number)))",
                remedy: "is the peer of another mesh or trust domain?")
        case X509_V_ERR_INVALID_PURPOSE:
            return TLSError(
                .certificateWrongUsage, "the certificate of \(name) does not allow this use (extended key usage)",
                remedy: "it must name both client and server authentication")
        default:
            return TLSError(.certificateInvalid, "the certificate of \(name) did not verify: \(reason(number))")
        }
    }

    private static func reason(_ number: CInt) -> String { String(cString: X509_verify_cert_error_string(Int(number))) }
}
