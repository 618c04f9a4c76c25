/// Why TLS did not work, in an operator's words.
public struct TLSError: Error, Equatable, Sendable, CustomStringConvertible {
    public enum Code: String, Sendable {
        /// The peer's certificate, or one in its chain, is past its end.
        case certificateExpired = "certificate_expired"
        case certificateNotYetValid = "certificate_not_yet_valid"
        /// The peer's chain ends at no root of ours: another trust domain, or an intermediate is missing.
        case unknownIssuer = "unknown_issuer"
        /// The certificate's extended key usage does not allow this end of a connection, or it is a CA's.
        case certificateWrongUsage = "certificate_wrong_usage"
        case certificateInvalid = "certificate_invalid"
        /// The peer had to show a certificate and did not.
        case noCertificate = "no_certificate"
        /// The peer ended the handshake or the connection with an alert: `TLSError.alert`.
        case peerAlert = "peer_alert"
        /// What came is not TLS.
        case notTLS = "not_tls"
        /// The peer does not speak TLS 1.3.
        case protocolVersion = "protocol_version"
        /// A client asked for a server name that we serve no certificate for; it was told `unrecognized_name`.
        case unrecognizedName = "unrecognized_name"
        /// No application protocol in common.
        case noApplicationProtocol = "no_application_protocol"
        /// The connection ended without TLS's close_notify.
        case closedEarly = "closed_early"
        /// The network failed: reset, timed out …
        case network = "network"
        /// A certificate or key that we were given to use is unusable.
        case badCredential = "bad_credential"
        /// A root certificate that we were given to trust is unusable.
        case badTrust = "bad_trust"
        /// The peer went over the bound of messages after the handshake (key updates).
        case messageFlood = "tls_message_flood"
        /// The peer broke TLS in another way.
        case protocolError = "tls_protocol_error"
        /// OpenSSL failed for a reason of its own.
        case library = "tls_library"
    }

    public let code: Code
    /// One sentence: what happened.
    public let message: String
    /// One sentence: what to do. May be empty.
    public let remedy: String
    /// The peer's alert (RFC 8446 section 6.2), with `peerAlert`.
    public let alert: UInt8?

    @inline(never)
    public init(_ code: Code, _ message: String, remedy: String = "", alert: UInt8? = nil) {
        self.code = code
        self.message = message
        self.remedy = remedy
        self.alert = alert
    }

    public var description: String { remedy.isEmpty ? message : "\(message); \(remedy)" }
}
