import COpenSSL
import Glibc
import Platform
import Testing

@testable import TLS

@Suite struct `TLS handshake` {
    let authority = TestAuthority()

    @Test func `both ends learn who the other is and what was agreed`() throws {
        let ours = authority.issue("spiffe://lab/ns/default/sa/productpage"), theirs = authority.issue("spiffe://lab/ns/default/sa/reviews")
        let seen = Box<ClientHello?>(nil)
        let answering = TLSContext.server(trust: authority.trust, alpn: ["h2", "weft-plane/1"]) { hello in
            seen.value = hello
            return .accept(theirs.credential, peerCertificate: .required)
        }
        let (a, b) = socketPair()
        var client = try TLSConnection(
            client: .client(trust: authority.trust), fd: OwnedFD(consuming: a), serverName: "Reviews.default.lab", alpn: ["weft-plane/1", "h2"],
            credential: ours.credential)
        var server = try TLSConnection(server: answering, fd: OwnedFD(consuming: b))
        let outcome = shakeHands(&client, &server)
        #expect(outcome.isDone, "\(outcome)")
        #expect(seen.value == ClientHello(serverName: "reviews.default.lab", alpn: ["weft-plane/1", "h2"], selectedALPN: "h2"))
        let (clientURIs, serverURIs) = (client.peerURIs, server.peerURIs)
        #expect(clientURIs == ["spiffe://lab/ns/default/sa/reviews"])
        #expect(serverURIs == ["spiffe://lab/ns/default/sa/productpage"])
        let (clientChain, serverChain) = (client.peerChainDER, server.peerChainDER)
        #expect(clientChain == theirs.chainDER)
        #expect(serverChain == ours.chainDER)
        let agreed = (client.alpn, server.alpn, client.version, server.cipher, client.isEstablished)
        #expect(agreed.0 == "h2" && agreed.1 == "h2")
        #expect(agreed.2 == "TLSv1.3")
        #expect(agreed.3.hasPrefix("TLS_"))
        #expect(agreed.4)
    }

    @Test func `a chain with an intermediate and the root is sent and read whole`() throws {
        var leaf = authority.issue()
        leaf.chainDER.append(authority.rootDER)
        let (a, b) = socketPair()
        let answering = server(authority.trust, leaf.credential, peer: .optional)
        var client = try TLSConnection(
            client: .client(trust: authority.trust), fd: OwnedFD(consuming: a), serverName: nil, alpn: ["h2"], credential: nil)
        var server = try TLSConnection(server: answering, fd: OwnedFD(consuming: b))
        let outcome = shakeHands(&client, &server)
        #expect(outcome.isDone)
        let (chain, serverName, strangers) = (client.peerChainDER, server.serverName, server.peerURIs)
        #expect(chain == leaf.chainDER)
        #expect(serverName == nil)
        #expect(strangers == [])
    }

    @Test func `no session ticket follows a handshake`() throws {
        let leaf = authority.issue()
        let (a, b) = socketPair()
        let answering = server(authority.trust, leaf.credential)
        var client = try TLSConnection(
            client: .client(trust: authority.trust), fd: OwnedFD(consuming: a), serverName: "x", alpn: ["h2"], credential: leaf.credential)
        var server = try TLSConnection(server: answering, fd: OwnedFD(consuming: b))
        let outcome = shakeHands(&client, &server)
        #expect(outcome.isDone)
        var byte: UInt8 = 0
        let waiting = recv(client.fd, &byte, 1, CInt(MSG_PEEK))
        #expect(waiting == -1, "bytes wait after the handshake")
    }

    @Test func `the ClientHello may come a byte at a time`() throws {
        let leaf = authority.issue()
        let (a, rawClient) = socketPair()
        let (rawServer, b) = socketPair()
        let relayClient = OwnedFD(consuming: rawClient), relayServer = OwnedFD(consuming: rawServer)
        let answering = server(authority.trust, leaf.credential)
        var client = try TLSConnection(
            client: .client(trust: authority.trust), fd: OwnedFD(consuming: a), serverName: "reviews.default.lab", alpn: ["h2"],
            credential: leaf.credential)
        var server = try TLSConnection(server: answering, fd: OwnedFD(consuming: b))
        var clientDone = false, serverDone = false
        for _ in 0..<20_000 where !(clientDone && serverDone) {
            if !clientDone, case .done = client.handshake() { clientDone = true }
            if !serverDone, case .done = server.handshake() { serverDone = true }
            for (from, to) in [(relayClient.raw, relayServer.raw), (relayServer.raw, relayClient.raw)] {
                var byte: UInt8 = 0
                if recv(from, &byte, 1, 0) == 1 { send(to, &byte, 1, 0) }
            }
        }
        #expect(clientDone && serverDone)
    }

    @Test func `a connection may be handed to another thread after its handshake`() async throws {
        let leaf = authority.issue()
        let (a, b) = socketPair()
        var client = try TLSConnection(
            client: .client(trust: authority.trust), fd: OwnedFD(consuming: a), serverName: "x", alpn: ["h2"], credential: leaf.credential)
        do {
            // The context and its `decide` end here; the connection lives on elsewhere.
            let answering = server(authority.trust, leaf.credential)
            var server = try TLSConnection(server: answering, fd: OwnedFD(consuming: b))
            let outcome = shakeHands(&client, &server)
            #expect(outcome.isDone)
            let moved = Box<TLSConnection?>(consume server)
            let sent = await Task.detached {
                var connection = moved.value.take()!
                let result = write(&connection, [1, 2, 3])
                connection.shutdown()
                if case .bytes(3) = result { return true }
                return false
            }.value
            #expect(sent)
        }
        let (_, bytes) = read(&client)
        #expect(bytes == [1, 2, 3])
        let (end, _) = read(&client)
        guard case .endOfStream = end else {
            Issue.record("\(end)")
            return
        }
    }
}

/// A value that closures share.
final class Box<T: ~Copyable>: @unchecked Sendable {
    var value: T
    init(_ value: consuming T) { self.value = value }
}
