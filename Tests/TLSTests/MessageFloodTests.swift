import COpenSSL
import Glibc
import Platform
import TLS
import Testing

/// Messages after the handshake that are not data. The peer is bare OpenSSL, since a `TLSConnection` never sends any.
@Suite struct `TLS messages after the handshake` {
    private final class BarePeer {
        let ssl: OpaquePointer
        let fd: CInt

        init(_ fd: CInt, _ leaf: TestAuthority.Leaf) {
            self.fd = fd
            let context = SSL_CTX_new(TLS_client_method())
            ssl = SSL_new(context)!
            SSL_CTX_free(context)
            SSL_set_verify(ssl, SSL_VERIFY_NONE, nil)
            let alpn: [UInt8] = [2] + Array("h2".utf8)
            SSL_set_alpn_protos(ssl, alpn, UInt32(alpn.count))
            let certificate = leaf.chainDER[0]
            precondition(SSL_use_certificate_ASN1(ssl, certificate, CInt(certificate.count)) == 1)
            precondition(SSL_use_PrivateKey_ASN1(EVP_PKEY_EC, ssl, leaf.keyDER, leaf.keyDER.count) == 1)
            SSL_set_fd(ssl, fd)
            SSL_set_connect_state(ssl)
        }
        deinit {
            SSL_free(ssl)
            close(fd)
        }

        /// One KeyUpdate on the wire. False when the socket has no room.
        func updateKeys(answered: Bool) -> Bool {
            SSL_key_update(ssl, answered ? SSL_KEY_UPDATE_REQUESTED : SSL_KEY_UPDATE_NOT_REQUESTED)
            return SSL_do_handshake(ssl) == 1
        }
    }

    private final class Pair {
        let peer: BarePeer
        var connection: TLSConnection
        init(_ peer: BarePeer, _ connection: consuming TLSConnection) {
            self.peer = peer
            self.connection = connection
        }
    }

    private func connected() throws -> Pair {
        let authority = TestAuthority()
        let leaf = authority.issue()
        let (a, b) = socketPair()
        let peer = BarePeer(a, authority.issue())
        var connection = try TLSConnection(server: server(authority.trust, leaf.credential), fd: OwnedFD(consuming: b))
        var (theirs, ours) = (false, false)
        for _ in 0..<50 where !theirs || !ours {
            theirs = theirs || SSL_do_handshake(peer.ssl) == 1
            if case .done = connection.handshake() { ours = true }
        }
        ERR_clear_error()
        try #require(theirs && ours)
        return Pair(peer, connection)
    }

    @Test(arguments: [true, false])
    func `a peer may renew its keys now and then`(answered: Bool) throws {
        let pair = try connected()
        let peer = pair.peer
        for round in 0..<20 as Range<UInt8> {
            #expect(peer.updateKeys(answered: answered))
            #expect(SSL_write(peer.ssl, [round], 1) == 1)
            #expect(read(&pair.connection).bytes == [round])
            #expect(wrote(write(&pair.connection, [round])))
            var byte: UInt8 = 0
            #expect(SSL_read(peer.ssl, &byte, 1) == 1 && byte == round)
        }
    }

    @Test(arguments: [true, false])
    func `a flood of key updates ends the connection after some, and does not keep the reader`(answered: Bool) throws {
        let pair = try connected()
        let peer = pair.peer
        var sent = 0
        while sent < 500, peer.updateKeys(answered: answered) { sent += 1 }
        ERR_clear_error()
        #expect(sent > 100)
        var failure: TLSError?
        // Each read may stop early to wait for the socket, which is full of answers.
        for _ in 0..<100 where failure == nil {
            if case .failed(let error) = read(&pair.connection).result { failure = error }
        }
        #expect(failure?.code == .messageFlood, "\(String(describing: failure))")
        #expect(ERR_peek_error() == 0)
        var waiting = [UInt8](repeating: 0, count: 100)
        #expect(recv(pair.connection.fd, &waiting, 100, CInt(MSG_PEEK | MSG_DONTWAIT)) >= 0 || errno == EAGAIN)
    }

    @Test func `there is no renegotiation`() throws {
        let pair = try connected()
        let peer = pair.peer
        #expect(SSL_renegotiate(peer.ssl) == 0)
        ERR_clear_error()
        #expect(SSL_write(peer.ssl, [7], 1) == 1)
        #expect(read(&pair.connection).bytes == [7])
    }

    @Test func `a client that can't speak TLS 1.3 is refused and told so`() throws {
        let authority = TestAuthority()
        let (a, b) = socketPair()
        let peer = BarePeer(a, authority.issue())
        _ = SSL_ctrl(peer.ssl, SSL_CTRL_SET_MAX_PROTO_VERSION, Int(TLS1_2_VERSION), nil)
        var connection = try TLSConnection(server: server(authority.trust, authority.issue().credential), fd: OwnedFD(consuming: b))
        _ = SSL_do_handshake(peer.ssl)
        guard case .failed(let error) = connection.handshake() else {
            Issue.record("TLS 1.2 was taken")
            return
        }
        #expect(error.code == .protocolVersion)
        #expect(SSL_do_handshake(peer.ssl) != 1)
        ERR_clear_error()
    }

    private func wrote(_ result: TLSIOResult) -> Bool { if case .bytes = result { true } else { false } }
}
