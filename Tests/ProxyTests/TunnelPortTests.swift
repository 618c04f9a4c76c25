import Glibc
import Platform
import Reactor
import TLS
import Testing

@testable import Proxy

@Suite("Tunnel port", .serialized)
struct TunnelPortTests {
    private static let forbidden = SocketAddress("127.0.0.1:1")!

    @Control
    @Test(
        "a request that is not a CONNECT to an endpoint of the node is refused with its reason",
        arguments: [
            ([(":method", "CONNECT"), (":authority", "127.0.0.1:1")], "404", "not_local_endpoint"),
            ([(":method", "CONNECT"), (":authority", "[::1]:1")], "404", "not_local_endpoint"),
            ([(":method", "CONNECT"), (":authority", "reviews.default:9080")], "400", "malformed_request"),
            ([(":method", "CONNECT"), (":authority", "127.0.0.1")], "400", "malformed_request"),
            ([(":method", "CONNECT"), (":authority", "127.0.0.1:0")], "400", "malformed_request"),
            ([(":method", "GET"), (":scheme", "https"), (":authority", "127.0.0.1:1"), (":path", "/")], "400", "malformed_request"),
        ])
    func refused(fields: [(String, String)], status: String, error: String) async throws {
        let mesh = try await Mesh([Self.forbidden], local: [])
        let address = mesh.tunnel
        let answer = try await blockingWork {
            let client = try RawTunnel(address, as: "client")
            client.begin()
            client.request(fields)
            return client.answer()
        }
        #expect(answer == .response(status: status, error: error))
        #expect(await mesh.ends(1).map(\.end.code) == [error])
        await mesh.stop()
    }

    @Control
    @Test("a request whose fields come in two TLS records, behind another one, is understood as it was meant")
    func cutInItsFields() async throws {
        let mesh = try await Mesh([Self.forbidden], local: [])
        let address = mesh.tunnel
        let answers = try await blockingWork {
            let client = try RawTunnel(address, as: "client")
            client.begin()
            client.awaitSettings()
            let fields = [(":method", "CONNECT"), (":authority", "127.0.0.1:1"), ("forwarded", "for=192.0.2.7")]
            let bytes = Frames.headers(1, fields) + Frames.headers(3, fields)
            client.send(Array(bytes.dropLast(12)))
            usleep(100_000)
            client.send(Array(bytes.suffix(12)))
            return [client.answer(stream: 1), client.answer(stream: 3)]
        }
        #expect(answers == [.response(status: "404", error: "not_local_endpoint"), .response(status: "404", error: "not_local_endpoint")])
        await mesh.stop()
    }

    @Control
    @Test("a CONNECT without an authority is cut as malformed (RFC 9113 section 8.5)")
    func noAuthority() async throws {
        let mesh = try await Mesh([Self.forbidden])
        let address = mesh.tunnel
        let answer = try await blockingWork {
            let client = try RawTunnel(address, as: "client")
            client.begin()
            client.request([(":method", "CONNECT")])
            return client.answer()
        }
        #expect(answer == .reset(1))
        await mesh.stop()
    }

    @Control
    @Test("an application that refuses the connection is answered with 503 and the reason, not cut")
    func refusedByApplication() async throws {
        let dead = try Peers.freePort()
        let mesh = try await Mesh([dead])
        let address = mesh.tunnel
        let answer = try await blockingWork {
            let client = try RawTunnel(address, as: "client")
            client.begin()
            client.request([(":method", "CONNECT"), (":authority", dead.description)])
            return client.answer()
        }
        #expect(answer == .response(status: "503", error: "connect_refused"))
        await mesh.stop()
    }

    @Control
    @Test(
        "who does not prove an identity of the trust domain gets no tunnel, and the cause is counted",
        arguments: [
            ("foreign", "trust_domain"), ("expired", "certificate_expired"), ("stranger", "unknown_issuer"), (nil, "no_certificate"),
        ] as [(String?, String)])
    func unproved(account: String?, cause: String) async throws {
        let mesh = try await Mesh([Self.forbidden])
        let address = mesh.tunnel
        let answer = try await blockingWork {
            let client = try RawTunnel(address, as: account)
            client.begin()
            client.request([(":method", "CONNECT"), (":authority", "127.0.0.1:1")])
            return client.answer()
        }
        #expect(answer == .closed)
        await mesh.until { await mesh.far.statistics()[0].handshakeFailures[cause] == 1 }
        #expect(await mesh.far.statistics()[0].handshakeFailures == [cause: 1])
        #expect(await mesh.far.statistics()[0].liveTunnels == 0)
        #expect(mesh.problems.count == 1 && mesh.problems.allSatisfy { $0.code == "tls_\(cause)" })
        await mesh.stop()
    }

    @Control
    @Test("a client that does not speak TLS is cut and counted", arguments: ["GET / HTTP/1.1\r\nHost: x\r\n\r\n", "\u{16}\u{3}\u{1}garbage garbage garbage", "\0\0\0\0\0\0"])
    func notTLS(text: String) async throws {
        let mesh = try await Mesh([Self.forbidden])
        let address = mesh.tunnel
        let ended = try await blockingWork {
            let fd = try Peers.connect(address)
            defer { close(fd) }
            Peers.sendAll(fd, Array(text.utf8))
            // An alert may come before the end.
            return Peers.receiveAll(fd).map { $0.count < 64 } ?? (Errno.current.code == ECONNRESET)
        }
        #expect(ended)
        await mesh.until { await mesh.far.statistics()[0].handshakeFailures.values.reduce(0, +) == 1 }
        #expect(await mesh.far.statistics()[0].handshakeFailures.count == 1)
        #expect(await mesh.sum(\.liveTunnels) == 0)
        await mesh.stop()
    }

    @Control
    @Test("within TLS, garbage and plain HTTP/1.1 end the connection and are counted")
    func notHTTP2() async throws {
        let mesh = try await Mesh([Self.forbidden])
        let address = mesh.tunnel
        let answer = try await blockingWork {
            let client = try RawTunnel(address, as: "client")
            client.send(Array("GET / HTTP/1.1\r\nHost: reviews\r\n\r\n".utf8))
            return client.answer()
        }
        #expect(answer == .closed)
        await mesh.until { await mesh.sum(\.liveTunnels) == 0 }
        #expect(await mesh.far.statistics()[0].floods == ["not_http2": 1])
        #expect(await mesh.sum(\.liveTunnels) == 0)
        await mesh.stop()
    }

    @Control
    @Test("a client that says nothing is cut when the handshake's time is over")
    func silent() async throws {
        let mesh = try await Mesh([Self.forbidden]) { $0.timeouts.handshake = .milliseconds(200) }
        let address = mesh.tunnel
        let count = try await blockingWork {
            let fd = try Peers.connect(address)
            defer { close(fd) }
            var byte: UInt8 = 0
            return read(fd, &byte, 1)
        }
        #expect(count <= 0)
        #expect(await mesh.far.statistics()[0].handshakeFailures == ["timeout": 1])
        await mesh.stop()
    }

    @Control
    @Test("a tunnel without streams is closed by its client, pings or not; a server waits longer and says so first")
    func idle() async throws {
        let mesh = try await Mesh([try Peers.server(Peers.echo)]) {
            $0.timeouts.tunnelIdle = .milliseconds(600)
            $0.timeouts.tunnelPing = .milliseconds(150)
        }
        let (entry, address) = (mesh.entry, mesh.tunnel)
        let answer = try await blockingWork {
            let fd = try Peers.connect(entry)
            defer { close(fd) }
            Peers.sendAll(fd, [1])
            shutdown(fd, CInt(SHUT_WR))
            return Peers.receiveAll(fd)
        }
        #expect(answer == [1])
        #expect(await mesh.sum(\.liveTunnels) == 2)
        await ControlLoop.shared.sleep(.milliseconds(350))
        #expect(await mesh.sum(\.liveTunnels) == 2, "it is kept for a while")
        await mesh.until { await mesh.sum(\.liveTunnels) == 0 }
        #expect(await mesh.sum(\.liveTunnels) == 0)
        // A client that keeps its tunnel without a use, and answers pings.
        let last = try await blockingWork {
            let client = try RawTunnel(address, as: "client")
            client.begin()
            return client.answer()
        }
        #expect(last == .closed)
        #expect(!mesh.problems.contains { $0.code == "tunnel_silent" })
        await mesh.until { await mesh.sum(\.liveTunnels) == 0 }
        #expect(await mesh.sum(\.liveTunnels) == 0)
        await mesh.stop()
    }
}
