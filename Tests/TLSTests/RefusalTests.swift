import COpenSSL
import Glibc
import Platform
import TLS
import Testing

@Suite struct `TLS refusals` {
    enum Peer: String, CaseIterable, Sendable { case expired, notYetValid, wrongCA, wrongUsage, isCA }

    private func leaf(_ kind: Peer, _ authority: TestAuthority, usage: String) -> TestAuthority.Leaf {
        let uri = "spiffe://lab/ns/default/sa/bad"
        return switch kind {
        case .expired: authority.issue(uri, from: -7200, to: -3600)
        case .notYetValid: authority.issue(uri, from: 3600, to: 7200)
        case .wrongCA: TestAuthority("Other Root").issue(uri)
        case .wrongUsage: authority.issue(uri, usage: usage)
        case .isCA: authority.issue(uri, isCA: true)
        }
    }

    static let expected: [Peer: TLSError.Code] = [
        .expired: .certificateExpired, .notYetValid: .certificateNotYetValid, .wrongCA: .unknownIssuer, .wrongUsage: .certificateWrongUsage,
        .isCA: .certificateWrongUsage,
    ]

    @Test(arguments: Peer.allCases)
    func `a client refuses a server's bad certificate, and the server is told`(kind: Peer) throws {
        let authority = TestAuthority()
        let outcome = try handshake(client: authority.issue().credential, server: leaf(kind, authority, usage: "clientAuth").credential, authority)
        #expect(outcome.client?.code == Self.expected[kind])
        #expect(outcome.client?.message.contains("spiffe://lab/ns/default/sa/bad") == true, "\(outcome)")
        #expect(outcome.server?.code == .peerAlert)
        #expect(ERR_peek_error() == 0)
    }

    @Test(arguments: Peer.allCases)
    func `a server refuses a client's bad certificate, and the client is told`(kind: Peer) throws {
        let authority = TestAuthority()
        let outcome = try handshake(client: leaf(kind, authority, usage: "serverAuth").credential, server: authority.issue().credential, authority)
        #expect(outcome.server?.code == Self.expected[kind])
        #expect(outcome.server?.message.contains("spiffe://lab/ns/default/sa/bad") == true, "\(outcome)")
        #expect(outcome.client?.code == .peerAlert)
        #expect(ERR_peek_error() == 0)
    }

    @Test func `an expired certificate is named with its end`() throws {
        let authority = TestAuthority()
        let old = authority.issue("spiffe://lab/ns/default/sa/old", from: -7200, to: -3600).credential
        let outcome = try handshake(client: old, server: authority.issue().credential, authority)
        #expect(outcome.server?.description.contains("the certificate of spiffe://lab/ns/default/sa/old expired at \(old.notAfter.rfc3339)") == true)
        #expect(outcome.client?.alert == 45)
    }

    @Test func `a client without a certificate is refused where one is required`() throws {
        let authority = TestAuthority()
        let outcome = try handshake(client: nil, server: authority.issue().credential, authority)
        #expect(outcome.server?.code == .noCertificate)
        #expect(outcome.client?.alert == 116)
    }

    @Test func `an optional certificate is still verified when it is shown`() throws {
        let authority = TestAuthority()
        let none = try handshake(client: nil, server: authority.issue().credential, authority, peer: .optional)
        #expect(none.isDone)
        let wrong = try handshake(
            client: TestAuthority("Other Root").issue().credential, server: authority.issue().credential, authority, peer: .optional)
        #expect(wrong.server?.code == .unknownIssuer)
    }

    @Test func `a client that verifies nothing gets the chain to judge it itself`() throws {
        let authority = TestAuthority(), other = TestAuthority("Other Root")
        var leaf = other.issue()
        leaf.chainDER.append(other.rootDER)
        let (a, b) = socketPair()
        let answering = server(authority.trust, leaf.credential, peer: .optional)
        var client = try TLSConnection(
            client: .client(trust: authority.trust), fd: OwnedFD(consuming: a), serverName: nil, alpn: ["h2"], credential: nil, verify: .none)
        var server = try TLSConnection(server: answering, fd: OwnedFD(consuming: b))
        let outcome = shakeHands(&client, &server)
        #expect(outcome.isDone)
        let chain = client.peerChainDER
        #expect(chain.last == other.rootDER)
    }

    @Test(arguments: ["reviews.default.lab", nil])
    func `a server name that is not served ends with unrecognized_name`(name: String?) throws {
        let authority = TestAuthority()
        let answering = TLSContext.server(trust: authority.trust, alpn: ["h2"]) { _ in .refuse }
        let outcome = try handshake(client: authority.issue().credential, authority, answering, serverName: name)
        #expect(outcome.server?.code == .unrecognizedName)
        #expect(outcome.server?.message.contains(name ?? "no server name") == true)
        #expect(outcome.client?.alert == 112)
    }

    @Test(arguments: [["http/1.1"], [], ["h3", "weft-plane/9"]])
    func `a client that offers no protocol of ours is refused`(offer: [String]) throws {
        let authority = TestAuthority()
        let answering = server(authority.trust, authority.issue().credential, alpn: ["h2", "weft-plane/1"])
        let outcome = try handshake(client: authority.issue().credential, authority, answering, alpn: offer)
        #expect(outcome.server?.code == .noApplicationProtocol)
        #expect(outcome.client?.alert == 120)
    }

    static let garbage: [(String, [UInt8], TLSError.Code)] = [
        ("HTTP", Array("GET / HTTP/1.1\r\nHost: reviews\r\n\r\n".utf8), .notTLS), ("SSH", Array("SSH-2.0-OpenSSH_9.2p1 Debian\r\n".utf8), .notTLS),
        ("HTTP/2 in the clear", Array("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".utf8), .notTLS), ("zeros", [UInt8](repeating: 0, count: 64), .notTLS),
        ("a record that is no ClientHello", [0x16, 3, 1, 0, 4, 2, 0, 0, 0], .notTLS), ("nothing", [], .closedEarly),
        ("half a record", [0x16, 3, 1, 1, 0, 1, 0], .closedEarly),
    ]

    @Test(arguments: garbage)
    func `what is not TLS is named as such`(name: String, bytes: [UInt8], code: TLSError.Code) throws {
        let authority = TestAuthority()
        let (a, b) = socketPair()
        let answering = server(authority.trust, authority.issue().credential)
        var server = try TLSConnection(server: answering, fd: OwnedFD(consuming: b))
        let peer = OwnedFD(consuming: a)
        if !bytes.isEmpty { #expect(send(a, bytes, bytes.count, 0) == bytes.count) }
        shutdown(a, CInt(SHUT_WR))
        var failure: TLSError?
        for _ in 0..<10 where failure == nil { if case .failed(let error) = server.handshake() { failure = error } }
        #expect(failure?.code == code, "\(String(describing: failure))")
        #expect(ERR_peek_error() == 0)
        _ = peer.raw
    }

    @Test func `random bytes never crash a server`() throws {
        let authority = TestAuthority()
        let credential = authority.issue().credential
        let answering = server(authority.trust, credential)
        var random = SystemRandomNumberGenerator()
        for round in 0..<300 {
            // A real ClientHello with some bytes changed.
            let (c, d) = socketPair()
            var client = try TLSConnection(
                client: .client(trust: authority.trust), fd: OwnedFD(consuming: c), serverName: "reviews.default.lab", alpn: ["h2"], credential: nil)
            _ = client.handshake()
            var hello = [UInt8](repeating: 0, count: 4096)
            hello.removeLast(4096 - recv(d, &hello, 4096, 0))
            for _ in 0..<(round % 7) { hello[Int.random(in: 5..<hello.count, using: &random)] = UInt8.random(in: 0...255, using: &random) }
            let (a, b) = socketPair()
            var server = try TLSConnection(server: answering, fd: OwnedFD(consuming: b))
            send(a, hello, hello.count, 0)
            _ = server.handshake()
            close(a)
            close(d)
            if ERR_peek_error() != 0 { Issue.record("the error queue is not empty") }
        }
    }

    @Test func `a peer that goes away in the middle of the handshake is told from one that refuses`() throws {
        let authority = TestAuthority()
        let (a, b) = socketPair()
        var client = try TLSConnection(
            client: .client(trust: authority.trust), fd: OwnedFD(consuming: a), serverName: "x", alpn: ["h2"], credential: nil)
        _ = client.handshake()
        close(b)
        guard case .failed(let error) = client.handshake() else {
            Issue.record("no failure")
            return
        }
        #expect(error.code == .closedEarly || error.code == .network)
    }

    // MARK: Helpers

    private func handshake(
        client: Credential?, server credential: Credential, _ authority: TestAuthority, peer: ServerDecision.PeerCertificate = .required
    ) throws -> Outcome {
        try handshake(client: client, authority, server(authority.trust, credential, peer: peer))
    }

    private func handshake(
        client credential: Credential?, _ authority: TestAuthority, _ answering: TLSContext, serverName: String? = "reviews.default.lab",
        alpn: [String] = ["h2"]
    ) throws -> Outcome {
        let (a, b) = socketPair()
        var client = try TLSConnection(
            client: .client(trust: authority.trust), fd: OwnedFD(consuming: a), serverName: serverName, alpn: alpn, credential: credential)
        var server = try TLSConnection(server: answering, fd: OwnedFD(consuming: b))
        return shakeHands(&client, &server)
    }
}
