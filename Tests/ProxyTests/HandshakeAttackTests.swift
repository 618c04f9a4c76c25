import COpenSSL
import Glibc
import Platform
import Reactor
import Testing

@testable import Proxy

/// What anybody who reaches the tunnel port can do, without a certificate or before it was seen.
@Suite("Handshakes that are no good", .serialized)
struct HandshakeAttackTests {
    private static let forbidden = SocketAddress("127.0.0.1:1")!

    @Control
    @Test("a ClientHello in the smallest pieces, of segments or of TLS records, still makes a tunnel", arguments: Fragmenter.Kind.allCases)
    func fragments(kind: Fragmenter.Kind) async throws {
        let mesh = try await Mesh([Self.forbidden], local: [])
        let address = mesh.tunnel
        let answer = try await blockingWork {
            let client = try RawTunnel(try Fragmenter.start(before: address, kind), as: "client")
            client.begin()
            client.request([(":method", "CONNECT"), (":authority", "127.0.0.1:1")])
            return client.answer()
        }
        #expect(answer == .response(status: "404", error: "not_local_endpoint"))
        #expect(await mesh.far.statistics()[0].handshakeFailures.isEmpty)
        await mesh.stop()
    }

    struct Slow: CustomTestStringConvertible, Sendable {
        let testDescription: String
        let send: @Sendable (CInt) -> Void
    }
    static let slow = [
        Slow(testDescription: "one byte every 50 ms") { fd in
            for byte in Hello.record(length: 16_000) {
                guard Peers.sendAll(fd, [byte]) else { return }
                usleep(50_000)
            }
        },
        Slow(testDescription: "a ClientHello of 130,000 bytes that stops at its half") { fd in
            Peers.sendAll(fd, Hello.records(claimed: 130_000, sent: 65_000))
        },
        Slow(testDescription: "the beginning of a record") { fd in Peers.sendAll(fd, [0x16, 3, 1, 0x40]) },
    ]

    @Control
    @Test("a handshake that is never finished ends with timeouts.handshake, however it is kept going, and is told", arguments: slow)
    func neverFinished(attack: Slow) async throws {
        let echo = try Peers.server(Peers.echo)
        let mesh = try await Mesh([echo]) { $0.timeouts.handshake = .milliseconds(600) }
        let healthy = try await Healthy(mesh.entry)
        let address = mesh.tunnel
        let started = MonotonicTime.now()
        let ended = try await blockingWork {
            let fd = try Peers.connect(address)
            defer { close(fd) }
            // The sender has a descriptor of its own: it may go on for a moment after this one is closed.
            let own = dup(fd)
            Peers.thread {
                attack.send(own)
                close(own)
            }
            var buffer = [UInt8](repeating: 0, count: 100)
            while case let count = read(fd, &buffer, 100), count > 0 {}
            return MonotonicTime.now()
        }
        #expect(ended - started >= .milliseconds(500) && ended - started < .seconds(10))
        #expect(await mesh.far.statistics()[0].handshakeFailures == ["timeout": 1])
        await mesh.until { !mesh.problems.isEmpty }
        #expect(mesh.problems.map(\.code) == ["tls_timeout"])
        #expect(await mesh.far.statistics()[0].liveTunnels == 1)
        #expect(await healthy.end().beats > 0)
        await mesh.stop()
    }

    @Control
    @Test(
        "a first message that is too large, empty or of another version ends at once, and is counted",
        arguments: [
            ("16 MiB", [0x16, 3, 1, 0, 4, 1, 0xff, 0xff, 0xff], "tls_protocol_error"), ("200,000 bytes", Hello.records(claimed: 200_000, sent: 100), "tls_protocol_error"),
            ("nothing in it", [0x16, 3, 1, 0, 4, 1, 0, 0, 0], "tls_protocol_error"), ("TLS 1.2", Hello.tls12, "protocol_version"),
            ("records without a byte", (0..<40).flatMap { _ in [0x16, 3, 1, 0, 0] as [UInt8] }, "tls_protocol_error"),
        ] as [(String, [UInt8], String)])
    func refused(name: String, bytes: [UInt8], reason: String) async throws {
        let mesh = try await Mesh([Self.forbidden])
        let address = mesh.tunnel
        let ended = try await blockingWork {
            let fd = try Peers.connect(address)
            defer { close(fd) }
            Peers.sendAll(fd, bytes)
            return Peers.receiveAll(fd).map { $0.count < 64 } ?? (Errno.current.code == ECONNRESET)
        }
        #expect(ended)
        await mesh.until { await !mesh.far.statistics()[0].handshakeFailures.isEmpty }
        #expect(await mesh.far.statistics()[0].handshakeFailures == [reason: 1])
        #expect(await mesh.sum(\.liveTunnels) == 0)
        #expect(mesh.problems.map(\.code) == ["tls_\(reason)"])
        await mesh.stop()
    }

    @Control
    @Test("connections that say nothing take no place of those who prove who they are")
    func silentCrowd() async throws {
        Peers.raiseDescriptorLimit()
        let echo = try Peers.server(Peers.echo)
        let mesh = try await Mesh([echo], adjustFar: { $0.limits.handshakes = 20 })
        let healthy = try await Healthy(mesh.entry)
        let address = mesh.tunnel
        let crowd = try await blockingWork { try (0..<100).map { _ in try Peers.connect(address) } }
        await mesh.until { await mesh.far.statistics()[0].ends[Int(FlowEnd.tunnelLimit.rawValue)] == 80 }
        let far = await mesh.far.statistics()[0]
        #expect(far.ends[Int(FlowEnd.tunnelLimit.rawValue)] == 80 && far.liveTunnels == 21)
        await mesh.until { mesh.problems.contains { $0.code == "handshake_limit" } }
        #expect((1...20).contains(mesh.problems.count { $0.code == "handshake_limit" }), "told, at most some times a second")
        for fd in crowd { close(fd) }
        await mesh.until { await mesh.far.statistics()[0].liveTunnels == 1 }
        // The places are free again.
        let answer = try await blockingWork {
            let client = try RawTunnel(address, as: "client")
            client.begin()
            client.request([(":method", "CONNECT"), (":authority", "127.0.0.1:1")])
            return client.answer()
        }
        #expect(answer == .response(status: "404", error: "not_local_endpoint"))
        #expect(await healthy.end().beats > 0)
        await mesh.stop()
    }

    @Control
    @Test("garbage in the middle of a tunnel ends it, and is counted and told")
    func garbage() async throws {
        let echo = try Peers.server(Peers.echo)
        let mesh = try await Mesh([echo])
        let healthy = try await Healthy(mesh.entry)
        let address = mesh.tunnel
        try await blockingWork {
            let client = try RawTunnel(address, as: "client")
            client.begin()
            client.awaitSettings()
            client.sendRaw([0x17, 3, 3, 0, 40] + Peers.pattern(40))
            _ = client.drain()
        }
        await mesh.until { await mesh.far.statistics()[0].liveTunnels == 1 }
        #expect(await mesh.far.statistics()[0].floods == ["tls_protocol_error": 1])
        await mesh.until { !mesh.problems.isEmpty }
        #expect(mesh.problems.map(\.code) == ["tls_tls_protocol_error"])
        #expect(await healthy.end().beats > 0)
        await mesh.stop()
    }

    @Control
    @Test("a flood of key updates ends its tunnel and does not keep the worker from others", arguments: [true, false])
    func keyUpdates(answered: Bool) async throws {
        let echo = try Peers.server(Peers.echo)
        let mesh = try await Mesh([echo])
        let healthy = try await Healthy(mesh.entry)
        let address = mesh.tunnel
        let directory = Certificates.directory
        let sent = try await blockingWork {
            let fd = try Peers.connect(address)
            defer { close(fd) }
            let context = SSL_CTX_new(TLS_client_method())
            let ssl = SSL_new(context)!
            SSL_CTX_free(context)
            defer { SSL_free(ssl) }
            SSL_set_alpn_protos(ssl, [2] + Array("h2".utf8), 3)
            guard SSL_use_certificate_file(ssl, "\(directory)/client.der", SSL_FILETYPE_ASN1) == 1, SSL_use_PrivateKey_file(ssl, "\(directory)/client.key.der", SSL_FILETYPE_ASN1) == 1,
                SSL_set_fd(ssl, fd) == 1, SSL_connect(ssl) == 1
            else { throw Errno(EPROTO) }
            let end = MonotonicTime.now() + .seconds(10)
            var sent = 0
            while MonotonicTime.now() < end {
                SSL_key_update(ssl, answered ? SSL_KEY_UPDATE_REQUESTED : SSL_KEY_UPDATE_NOT_REQUESTED)
                guard SSL_do_handshake(ssl) == 1 else { break }
                sent += 1
            }
            ERR_clear_error()
            return sent
        }
        await mesh.until { await mesh.far.statistics()[0].liveTunnels == 1 }
        #expect(await mesh.far.statistics()[0].floods == ["tls_message_flood": 1], "\(sent) were sent")
        await mesh.until { !mesh.problems.isEmpty }
        #expect(mesh.problems.map(\.code) == ["tls_tls_message_flood"])
        let (beats, slowest) = await healthy.end()
        #expect(beats > 0 && slowest < .seconds(3))
        await mesh.stop()
    }
}

/// ClientHellos, or what claims to be one (RFC 8446 sections 4.1.2 and 5.1).
enum Hello {
    /// Handshake bytes in records of 16,000 bytes, of a message that says it is `claimed` bytes long.
    static func records(claimed: Int, sent: Int) -> [UInt8] {
        var message: [UInt8] = [1, UInt8(claimed >> 16), UInt8(claimed >> 8 & 255), UInt8(claimed & 255), 3, 3]
        message += [UInt8](repeating: 0, count: max(0, sent - 2))
        return stride(from: 0, to: message.count, by: 16_000).flatMap { start in
            let part = message[start..<min(start + 16_000, message.count)]
            return [0x16, 3, 1, UInt8(part.count >> 8), UInt8(part.count & 255)] + part
        }
    }
    static func record(length: Int) -> [UInt8] { records(claimed: length - 4, sent: length - 4) }

    /// A small client of TLS 1.2 that knows one cipher suite, and speaks h2.
    static let tls12: [UInt8] = {
        let alpn: [UInt8] = [0, 16, 0, 5, 0, 3, 2, 0x68, 0x32]
        let body: [UInt8] = [3, 3] + [UInt8](repeating: 9, count: 32) + [0, 0, 2, 0xc0, 0x2f, 1, 0, 0, UInt8(alpn.count)] + alpn
        let message: [UInt8] = [1, 0, 0, UInt8(body.count)] + body
        return [0x16, 3, 1, 0, UInt8(message.count)] + message
    }()
}
