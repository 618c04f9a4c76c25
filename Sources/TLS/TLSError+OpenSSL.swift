import COpenSSL
import Glibc
import Platform

extension TLSError {
    /// Reads, and empties, the thread's error queue after a call on a connection failed.
    ///
    /// - Parameters:
    ///   - kind: from `SSL_get_error`.
    ///   - errno: as it stood directly after the call.
    ///   - notes: what the callbacks saw during a handshake.
    @inline(never)
    static func last(kind: CInt, errno: CInt, notes: HandshakeNotes?) -> TLSError {
        let number = ERR_get_error()
        ERR_clear_error()
        if let refusal = notes?.failure { return refusal }
        if number == 0 {
            if kind == SSL_ERROR_SYSCALL, errno != 0 { return network(errno) }
            return closedEarly(inHandshake: notes != nil)
        }
        if copenssl_err_library(number) == ERR_LIB_SYS { return network(copenssl_err_reason(number)) }
        return from(reason: copenssl_err_reason(number), text: text(number), inHandshake: notes != nil)
    }

    /// Empties the queue and makes one error of its first entry.
    @inline(never)
    static func library(_ code: Code, _ what: String, remedy: String = "") -> TLSError {
        let number = ERR_get_error()
        ERR_clear_error()
        return TLSError(code, number == 0 ? what : "\(what): \(text(number))", remedy: remedy)
    }

    private static func text(_ number: UInt) -> String {
        if let reason = ERR_reason_error_string(number) { return String(cString: reason) }
        return "OpenSSL error \(String(number, radix: 16))"
    }

    private static func network(_ number: CInt) -> TLSError {
        TLSError(.network, "the connection failed: \(Errno.message(number))")
    }

    private static func closedEarly(inHandshake: Bool) -> TLSError {
        inHandshake
            ? TLSError(
                .closedEarly, "the peer closed the connection in the middle of the TLS handshake", remedy: "look at the peer's log for the reason")
            : TLSError(.closedEarly, "the peer closed the connection without ending TLS")
    }

    private static func from(reason: CInt, text: String, inHandshake: Bool) -> TLSError {
        if reason > alertOffset, reason <= alertOffset + 255 { return peerAlert(UInt8(reason - alertOffset)) }
        switch reason {
        case SSL_R_UNEXPECTED_EOF_WHILE_READING: return closedEarly(inHandshake: inHandshake)
        case SSL_R_HTTP_REQUEST, SSL_R_HTTPS_PROXY_REQUEST:
            return TLSError(
                .notTLS, "the peer sent a plaintext HTTP request where TLS was expected",
                remedy: "is it a client that should be captured, or the wrong port?")
        case SSL_R_WRONG_VERSION_NUMBER, SSL_R_BAD_RECORD_TYPE, SSL_R_UNKNOWN_PROTOCOL, SSL_R_PACKET_LENGTH_TOO_LONG, SSL_R_RECORD_LENGTH_MISMATCH,
            SSL_R_UNEXPECTED_MESSAGE, SSL_R_UNEXPECTED_RECORD:
            guard inHandshake else { return TLSError(.protocolError, "TLS failed: \(text)") }
            return TLSError(.notTLS, "what the peer sent is not TLS (\(text))", remedy: "is the port the right one, and does the peer expect TLS?")
        case SSL_R_UNSUPPORTED_PROTOCOL, SSL_R_NO_PROTOCOLS_AVAILABLE, SSL_R_VERSION_TOO_LOW, SSL_R_UNKNOWN_SSL_VERSION,
            SSL_R_TLSV1_ALERT_PROTOCOL_VERSION:
            return TLSError(
                .protocolVersion, "the peer does not speak TLS 1.3", remedy: "upgrade its TLS library or allow TLS 1.3 in its configuration")
        case SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE:
            return TLSError(
                .noCertificate, "the peer showed no certificate",
                remedy: "it has no identity in this mesh: join it, or is it something else that connects here?")
        case SSL_R_NO_APPLICATION_PROTOCOL:
            return TLSError(.noApplicationProtocol, "no application protocol (ALPN) in common with the peer")
        case SSL_R_CERTIFICATE_VERIFY_FAILED:
            return TLSError(.certificateInvalid, "the peer's certificate did not verify")
        default: return TLSError(.protocolError, "TLS failed: \(text)")
        }
    }

    /// SSL_AD_REASON_OFFSET: OpenSSL reports a received alert as this plus its number.
    private static let alertOffset: CInt = 1000

    /// What a peer's alert means for whoever runs this end.
    static func peerAlert(_ number: UInt8) -> TLSError {
        let name = SSL_alert_desc_string_long(CInt(number)).map { String(cString: $0) } ?? "alert"
        let (meaning, remedy): (String, String) =
            switch number {
            case 45: ("it holds our certificate for expired", "compare the clocks of both nodes, and see `weft certs`")
            case 48: ("it does not trust the issuer of our certificate", "are both nodes of the same mesh (trust domain and root)?")
            case 42, 43, 46: ("it does not accept our certificate", "look at the peer's log for the reason")
            case 116: ("it demands a certificate and we showed none", "has this node joined the mesh?")
            case 70: ("it does not speak TLS 1.3", "upgrade its TLS library or allow TLS 1.3 in its configuration")
            case 112: ("it serves no workload of the name that we asked for", "has the workload moved? The catalog of this node may be old")
            case 120: ("it does not speak the protocol that we asked for (ALPN)", "is it a Weft node, and of what version?")
            case 40: ("it found no parameters in common, or refuses us", "look at the peer's log for the reason")
            default: ("", "look at the peer's log for the reason")
            }
        return TLSError(
            .peerAlert, "the peer refused the connection with the TLS alert \"\(name)\"" + (meaning.isEmpty ? "" : ": \(meaning)"), remedy: remedy,
            alert: number)
    }
}
