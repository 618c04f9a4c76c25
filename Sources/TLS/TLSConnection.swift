import COpenSSL
import Glibc
import Platform

/// How far a handshake is.
public enum TLSHandshake: Sendable {
    case done
    /// Call again when the socket is readable, or writable.
    case wantsRead, wantsWrite
    case failed(TLSError)
}

/// What a read or a write did.
public enum TLSIOResult: Sendable {
    case bytes(Int)
    /// Call again when the socket is readable, or writable.
    case wantsRead, wantsWrite
    /// The peer ended its direction with close_notify. (Only reads.)
    case endOfStream
    case failed(TLSError)
}

/// TLS over a non-blocking stream socket that it owns. One thread at a time; it may be handed to another thread between two calls.
///
/// Unchecked: OpenSSL's connections have no tie to a thread, and what they share (context, credential) has atomic reference counts. Before the
/// handshake is done a server's connection belongs to the thread of its context, whose `decide` it calls.
public struct TLSConnection: ~Copyable, @unchecked Sendable {
    /// What a client asks of the server's certificate.
    public enum Verification: Sendable {
        /// Chain, time and purpose.
        case chain
        /// Nothing: the caller checks the peer itself, before it sends anything (a join pins the root's fingerprint).
        case none
    }

    let ssl: OpaquePointer
    private let socket: OwnedFD
    /// Nil when OpenSSL talks to the socket itself, which kernel TLS needs.
    var wire: TLSWire.Pointer?
    private var notes: HandshakeNotes?
    private var isBroken = false
    private var saidGoodbye = false

    /// A client's connection. `fd` may still be connecting.
    ///
    /// - Parameters:
    ///   - serverName: sent as SNI; nil for none.
    ///   - buffers: where what it writes gathers until `flush`, and what it reads comes in many records at once; nil: the socket itself.
    public init(
        client context: TLSContext, fd: consuming OwnedFD, serverName: String?, alpn: [String], credential: Credential?, verify: Verification = .chain,
        buffers: TLSBuffers? = nil
    ) throws(TLSError) {
        let ssl = try Self.make(context)
        let wire = try Self.attach(ssl, fd.raw, buffers)
        if let error = Self.configure(ssl, serverName, alpn, credential, verify) {
            SSL_free(ssl)
            if let wire { TLSWire.free(wire) }
            throw error
        }
        SSL_set_connect_state(ssl)
        self.init(ssl, context, fd, wire)
    }

    /// A server's connection, just accepted.
    public init(server context: TLSContext, fd: consuming OwnedFD, buffers: TLSBuffers? = nil) throws(TLSError) {
        let ssl = try Self.make(context)
        let wire = try Self.attach(ssl, fd.raw, buffers)
        SSL_set_accept_state(ssl)
        self.init(ssl, context, fd, wire)
    }

    private init(_ ssl: OpaquePointer, _ context: TLSContext, _ fd: consuming OwnedFD, _ wire: TLSWire.Pointer?) {
        self.ssl = ssl
        self.wire = wire
        socket = fd
        let notes = HandshakeNotes(context: context)
        notes.attach(to: ssl)
        self.notes = notes
    }

    private static func make(_ context: TLSContext) throws(TLSError) -> OpaquePointer {
        ERR_clear_error()
        guard let ssl = SSL_new(context.context) else { throw TLSError.library(.library, "no memory for a connection") }
        return ssl
    }

    /// Puts the connection on its socket. Frees it when that fails.
    private static func attach(_ ssl: OpaquePointer, _ fd: CInt, _ buffers: TLSBuffers?) throws(TLSError) -> TLSWire.Pointer? {
        guard let buffers else {
            guard SSL_set_fd(ssl, fd) == 1 else {
                SSL_free(ssl)
                throw TLSError.library(.library, "no memory for a connection")
            }
            return nil
        }
        let wire = TLSWire.make(fd, buffers)
        guard let bio = TLSWire.bio(wire) else {
            TLSWire.free(wire)
            SSL_free(ssl)
            throw TLSError.library(.library, "no memory for a connection")
        }
        SSL_set_bio(ssl, bio, bio)
        // Its own buffers, for one record each, stay while it is busy; `releaseBuffers` gives them back.
        copenssl_keep_buffers(ssl)
        SSL_set_read_ahead(ssl, 0)
        SSL_set_default_read_buffer_len(ssl, 0)
        return wire
    }

    private static func configure(_ ssl: OpaquePointer, _ serverName: String?, _ alpn: [String], _ credential: Credential?, _ verify: Verification)
        -> TLSError?
    {
        if let serverName, copenssl_set_server_name(ssl, serverName) != 1 {
            return TLSError.library(.library, "\"\(serverName)\" can't be sent as a server name")
        }
        if !alpn.isEmpty {
            let wire = HelloExtensions.encode(alpn)
            guard SSL_set_alpn_protos(ssl, wire, UInt32(wire.count)) == 0 else {
                return TLSError.library(.library, "the protocol list can't be sent")
            }
        }
        if let credential, !credential.use(on: ssl) { return TLSError.library(.badCredential, "OpenSSL does not take our own certificate") }
        switch verify {
        case .chain: SSL_set_verify(ssl, SSL_VERIFY_PEER, PeerVerification.callback)
        case .none: SSL_set_verify(ssl, SSL_VERIFY_NONE, nil)
        }
        return nil
    }

    deinit {
        SSL_free(ssl)
        if let wire { TLSWire.free(wire) }
    }

    /// For the loop's registration; the connection keeps owning it.
    public var fd: CInt { socket.raw }

    // MARK: Work

    /// Goes on with the handshake. Once `.failed`, only closing is left (the alert for the peer was written if the socket took it).
    public mutating func handshake() -> TLSHandshake {
        prepare()
        let result = SSL_do_handshake(ssl)
        let number = errno
        let kind = result == 1 ? SSL_ERROR_NONE : SSL_get_error(ssl, result)
        // The flight, or the alert. A handshake's flight is small: the socket takes it, or the connection is no good.
        let sent = flush()
        if result == 1, case .failed(let error) = sent {
            isBroken = true
            return .failed(error)
        }
        if result == 1 {
            HandshakeNotes.detach(from: ssl)
            notes = nil
            return .done
        }
        switch kind {
        case SSL_ERROR_WANT_READ: return .wantsRead
        case SSL_ERROR_WANT_WRITE: return .wantsWrite
        default:
            isBroken = true
            return .failed(TLSError.last(kind: kind, errno: number, notes: notes))
        }
    }

    /// Reads what there is, at most one record (16 KiB). Go on until `wantsRead`, or look at `hasBufferedInput` before waiting for the socket.
    public mutating func read(into buffer: UnsafeMutableRawBufferPointer) -> TLSIOResult {
        guard buffer.count > 0 else { return .bytes(0) }
        prepare()
        let result = SSL_read(ssl, buffer.baseAddress, CInt(clamping: buffer.count))
        return result > 0 ? .bytes(Int(result)) : stopped(result)
    }

    /// Writes at most one record (16 KiB) of `bytes`; with an output, it gathers there. Ask `hasRoom` first.
    ///
    /// After `wantsWrite` or `wantsRead` the next write must begin with the same bytes, though they may have moved: part of the record may have
    /// left.
    public mutating func write(_ bytes: UnsafeRawBufferPointer) -> TLSIOResult {
        guard bytes.count > 0 else { return .bytes(0) }
        prepare()
        let result = SSL_write(ssl, bytes.baseAddress, CInt(clamping: bytes.count))
        return result > 0 ? .bytes(Int(result)) : stopped(result)
    }

    /// Bytes were read from the socket and not yet by the caller: the socket may never become readable for them. After `wantsRead` it may still be
    /// true, for a part of a record; then the socket is what to wait for.
    public var hasBufferedInput: Bool { SSL_has_pending(ssl) == 1 }

    /// Ends our direction with close_notify; the peer's goes on. Once is enough.
    ///
    /// - Returns: false when the socket has no room now: call again when it is writable.
    @discardableResult
    public mutating func shutdown() -> Bool {
        guard notes == nil, !isBroken, !saidGoodbye else { return true }
        prepare()
        let result = SSL_shutdown(ssl)
        _ = flush()
        let wantsWrite = result < 0 && SSL_get_error(ssl, result) == SSL_ERROR_WANT_WRITE
        if result < 0, !wantsWrite { ERR_clear_error() }
        saidGoodbye = !wantsWrite
        return !wantsWrite
    }

    /// `SSL_get_error` looks at the thread's whole error queue, so nothing of another library user may be in it.
    private func prepare() {
        if ERR_peek_error() != 0 { ERR_clear_error() }
    }

    @inline(never)
    private mutating func stopped(_ result: CInt) -> TLSIOResult {
        let number = errno
        let kind = SSL_get_error(ssl, result)
        switch kind {
        case SSL_ERROR_WANT_READ: return .wantsRead
        case SSL_ERROR_WANT_WRITE: return .wantsWrite
        case SSL_ERROR_ZERO_RETURN where !MessageFlood.happened(on: ssl): return .endOfStream
        default:
            isBroken = true
            let error = MessageFlood.happened(on: ssl) ? MessageFlood.error : TLSError.last(kind: kind, errno: number, notes: notes)
            // The alert.
            _ = flush()
            return .failed(error)
        }
    }

    // MARK: What was agreed

    /// The handshake is over; what follows is meaningful only then.
    public var isEstablished: Bool { notes == nil }

    /// The URIs of the peer's certificate; empty without one. Verified, unless `Verification.none` was asked for.
    public var peerURIs: [String] {
        guard let certificate = SSL_get0_peer_certificate(ssl) else { return [] }
        return Certificate.uris(certificate)
    }

    /// When the peer's certificate ends.
    public var peerNotAfter: WallTime? { SSL_get0_peer_certificate(ssl).flatMap(Certificate.notAfter) }

    /// What the peer sent: its own certificate first.
    public var peerChainDER: [[UInt8]] {
        guard let leaf = SSL_get0_peer_certificate(ssl) else { return [] }
        var chain = [Certificate.der(leaf)]
        let rest = SSL_get_peer_cert_chain(ssl)
        // A client sees the leaf in this list, a server does not.
        let first: CInt = SSL_is_server(ssl) == 1 ? 0 : 1
        let count = copenssl_x509_stack_count(rest)
        if first < count {
            for index in first..<count {
                if let certificate = copenssl_x509_stack_value(rest, index) { chain.append(Certificate.der(certificate)) }
            }
        }
        return chain
    }

    public var alpn: String? {
        var start: UnsafePointer<UInt8>?
        var length: UInt32 = 0
        SSL_get0_alpn_selected(ssl, &start, &length)
        guard let start, length > 0 else { return nil }
        return String(decoding: UnsafeBufferPointer(start: start, count: Int(length)), as: UTF8.self)
    }

    /// The SNI that was sent.
    public var serverName: String? { SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name).map { String(cString: $0) } }

    /// As `TLSv1.3`.
    public var version: String { String(cString: SSL_get_version(ssl)) }

    /// As `TLS_AES_256_GCM_SHA384`.
    public var cipher: String { SSL_CIPHER_get_name(SSL_get_current_cipher(ssl)).map { String(cString: $0) } ?? "" }

    /// The kernel encrypts what we send, or decrypts what we receive (kTLS).
    public var kernelSends: Bool { copenssl_ktls_send(ssl) == 1 }
    public var kernelReceives: Bool { copenssl_ktls_receive(ssl) == 1 }
}
