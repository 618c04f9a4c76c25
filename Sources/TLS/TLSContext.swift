import COpenSSL
import Glibc

/// What all connections of one thread and one direction share: TLS 1.3 only, no tickets, no resumption, no early data.
///
/// Make one for each thread and direction, and again when the roots change. Not thread-safe.
public final class TLSContext {
    let context: OpaquePointer
    /// The server's protocols, best first.
    let alpn: [String]
    private let decide: ((ClientHello) -> ServerDecision)?
    /// Whether kernel TLS was asked for; whether a connection has it is for the kernel to say (`TLSConnection.kernelSends`).
    public let asksForKernelTLS: Bool

    /// For dialling. Credentials are given for each connection.
    public static func client(trust: TrustStore, kernelTLS: Bool = TLSFeatures.kernelTLS) -> TLSContext {
        TLSContext(method: TLS_client_method(), trust: trust, alpn: [], decide: nil, kernelTLS: kernelTLS)
    }

    /// For answering.
    ///
    /// - Parameters:
    ///   - alpn: best first. A client that has none of them is refused (`no_application_protocol`); empty means that ALPN is not used.
    ///   - decide: chooses the credential when the ClientHello is complete; called on the thread that handshakes.
    public static func server(
        trust: TrustStore, alpn: [String], kernelTLS: Bool = TLSFeatures.kernelTLS, decide: @escaping (ClientHello) -> ServerDecision
    ) -> TLSContext {
        TLSContext(method: TLS_server_method(), trust: trust, alpn: alpn, decide: decide, kernelTLS: kernelTLS)
    }

    /// All that TLS 1.3 demands (RFC 8446 section 9.1), the cheapest first: AES-128 is no weaker than the P-256 keys, and a fifth cheaper than AES-256.
    static let ciphers = "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256"
    /// Bytes of certificates that a peer may send.
    static let largestChain = 32 << 10
    /// Certificates between a leaf and its root.
    static let deepestChain: CInt = 4
    /// What one read from the socket may bring: four full records.
    static let readAhead = 4 * (16_384 + 256 + 5)

    private init(method: OpaquePointer?, trust: TrustStore, alpn: [String], decide: ((ClientHello) -> ServerDecision)?, kernelTLS: Bool) {
        TLSFeatures.ignoreBrokenPipes
        ERR_clear_error()
        guard let context = SSL_CTX_new(method) else { preconditionFailure("OpenSSL: \(TLSError.library(.library, "no context"))") }
        self.context = context
        self.alpn = alpn
        self.decide = decide
        precondition(copenssl_ctx_tls13_only(context) == 1, "this OpenSSL has no TLS 1.3")
        precondition(SSL_CTX_set_ciphersuites(context, Self.ciphers) == 1, "this OpenSSL lacks the ciphers of TLS 1.3")
        copenssl_ctx_no_resumption(context)
        copenssl_ctx_modes(context)
        copenssl_ctx_read_ahead(context, Self.readAhead)
        copenssl_ctx_max_cert_list(context, Self.largestChain)
        MessageFlood.install(on: context)
        asksForKernelTLS = kernelTLS && copenssl_ctx_enable_ktls(context) == 1
        SSL_CTX_set1_cert_store(context, trust.store)
        SSL_CTX_set_verify_depth(context, Self.deepestChain)
        SSL_CTX_set_client_hello_cb(context, decide == nil ? nil : Self.helloCallback, Unmanaged.passUnretained(self).toOpaque())
        if decide != nil, !alpn.isEmpty { SSL_CTX_set_alpn_select_cb(context, Self.alpnCallback, nil) }
        ERR_clear_error()
    }

    deinit { SSL_CTX_free(context) }

    // MARK: The server's choice

    private static let helloCallback: SSL_client_hello_cb_fn = { ssl, alert, pointer in
        guard let ssl, let alert, let pointer, let notes = HandshakeNotes.of(ssl) else { return SSL_CLIENT_HELLO_ERROR }
        let context = Unmanaged<TLSContext>.fromOpaque(pointer).takeUnretainedValue()
        guard let refusal = context.answer(ssl, notes) else { return SSL_CLIENT_HELLO_SUCCESS }
        alert.pointee = refusal.alert
        notes.failure = refusal.error
        return SSL_CLIENT_HELLO_ERROR
    }

    /// Reads the ClientHello, asks `decide` and sets the connection up. Nil, or why not.
    private func answer(_ ssl: OpaquePointer, _ notes: HandshakeNotes) -> (alert: CInt, error: TLSError)? {
        let malformed = (SSL_AD_DECODE_ERROR, TLSError(.protocolError, "the client's server name or protocol list is malformed"))
        var serverName: String?
        if let bytes = Self.helloExtension(ssl, TLSEXT_TYPE_server_name) {
            guard case .value(let name) = HelloExtensions.serverName(bytes) else { return malformed }
            serverName = name
        }
        var offered: [String] = []
        if let bytes = Self.helloExtension(ssl, TLSEXT_TYPE_application_layer_protocol_negotiation) {
            guard case .value(let names) = HelloExtensions.alpn(bytes) else { return malformed }
            offered = names
        }
        notes.selectedALPN = alpn.first(where: offered.contains)
        if !alpn.isEmpty, notes.selectedALPN == nil {
            let theirs = offered.isEmpty ? "none" : offered.map { "\"\($0)\"" }.joined(separator: ", ")
            return (
                SSL_AD_NO_APPLICATION_PROTOCOL,
                TLSError(
                    .noApplicationProtocol, "the client offers no application protocol (ALPN) that this node speaks (it offers \(theirs))",
                    remedy: "is it a Weft node, and of what version?")
            )
        }
        let hello = ClientHello(serverName: serverName, alpn: offered, selectedALPN: notes.selectedALPN)
        guard case .accept(let credential, let peerCertificate)? = decide?(hello) else {
            let asked = serverName.map { "\"\($0)\"" } ?? "no server name"
            return (
                SSL_AD_UNRECOGNIZED_NAME,
                TLSError(
                    .unrecognizedName, "a client asked for \(asked), which names no workload of this node",
                    remedy: "has the workload moved? The client's catalog may be old")
            )
        }
        guard credential.use(on: ssl) else {
            return (SSL_AD_INTERNAL_ERROR, TLSError.library(.badCredential, "OpenSSL does not take our own certificate"))
        }
        switch peerCertificate {
        case .required: SSL_set_verify(ssl, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, PeerVerification.callback)
        case .optional: SSL_set_verify(ssl, SSL_VERIFY_PEER, PeerVerification.callback)
        }
        return nil
    }

    private static func helloExtension(_ ssl: OpaquePointer, _ type: CInt) -> UnsafeRawBufferPointer? {
        var start: UnsafePointer<UInt8>?
        var length = 0
        guard SSL_client_hello_get0_ext(ssl, UInt32(type), &start, &length) == 1 else { return nil }
        return UnsafeRawBufferPointer(start: start, count: length)
    }

    /// Answers with the protocol that was chosen with the ClientHello; the name must lie in the client's own list.
    private static let alpnCallback: SSL_CTX_alpn_select_cb_func = { ssl, output, outputLength, input, inputLength, _ in
        guard let chosen = HandshakeNotes.of(ssl)?.selectedALPN, let input else { return SSL_TLSEXT_ERR_ALERT_FATAL }
        var position = 0
        while position < Int(inputLength) {
            let length = Int(input[position])
            if UnsafeBufferPointer(start: input + position + 1, count: length).elementsEqual(chosen.utf8) {
                output?.pointee = input + position + 1
                outputLength?.pointee = UInt8(length)
                return SSL_TLSEXT_ERR_OK
            }
            position += 1 + length
        }
        return SSL_TLSEXT_ERR_ALERT_FATAL
    }
}
