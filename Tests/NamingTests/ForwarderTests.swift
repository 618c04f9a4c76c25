import Glibc
import Platform
import Reactor
import Testing

@testable import Naming

@Suite("Forwarding to real resolvers", .serialized)
struct ForwarderTests {
    /// A port of this host where nobody listens.
    private func deadAddress() throws -> SocketAddress {
        let fd = try Socket.udp(SocketAddress(.loopbackV4, port: 0))
        return try #require(Socket.localAddress(fd.raw))
    }

    @Test(
        "Queries go out verbatim but for the id, and answers come back verbatim, over UDP as over UDP and TCP as over TCP", arguments: [false, true])
    func verbatim(_ tcp: Bool) async throws {
        let (resolver, upstream) = try FakeResolver.start()
        let running = try await RunningServer(upstreams: [upstream])
        let client = try Client(to: running.address, tcp: tcp)
        // With flags that we don't use ourselves (AD, CD), an option that we don't know and letters in both cases.
        var query = makeQuery("eChO.Example.org", DNSType(16), id: 0x4321, flags: 0x0130, edns: 1400, dnssecOK: true)
        query.replaceSubrange((query.count - 2)..., with: [0, 6, 0xff, 0x01, 0, 2, 7, 7])
        try client.send(tcp ? StreamFramer.framed(query) : query)
        let received = client.receive()
        let reply = tcp ? Array(received.dropFirst(2)) : received
        let response = try Response(reply)
        #expect(response.id == 0x4321 && response.flags == 0x8190 && response.question == "eChO.Example.org")
        let hex = query.dropFirst(2).flatMap { Array(($0 < 16 ? "0" : "").utf8) + Array(String($0, radix: 16).utf8) }
        #expect(Array(reply.suffix(hex.count)) == hex)
        #expect(await running.counters.forwardAnswered == 1)
        await running.stop()
        resolver.kill()
    }

    @Test("NXDOMAIN from the resolver is passed on")
    func nameError() async throws {
        let (resolver, upstream) = try FakeResolver.start()
        let running = try await RunningServer(upstreams: [upstream])
        #expect(try RunningServer.dig(running.address, "missing.example.org").contains("status: NXDOMAIN"))
        await running.stop()
        resolver.kill()
    }

    @Test("A truncated answer is passed on, and dig's second try over TCP gets all of it")
    func truncated() async throws {
        let (resolver, upstream) = try FakeResolver.start()
        let running = try await RunningServer(upstreams: [upstream])
        #expect(try RunningServer.dig(running.address, "+short big.example.org TXT").split(separator: "\n").count == 100)
        let counters = await running.counters
        #expect(counters.tcpQueries == 1 && counters.forwarded == 2)
        await running.stop()
        resolver.kill()
    }

    @Test("Forged answers (wrong id, wrong question, noise) are dropped and counted until the true one comes")
    func garbage() async throws {
        let (resolver, upstream) = try FakeResolver.start()
        let running = try await RunningServer(upstreams: [upstream])
        #expect(try RunningServer.dig(running.address, "+short noise.example.org TXT") == "\"true\"\n")
        #expect(await running.counters.garbage == 4)
        await running.stop()
        resolver.kill()
    }

    @Test("A resolver that answers rubbish only (cut, without question, with two, with a pointer in a circle, too long, the query itself) is given up for the next one")
    func rubbish() async throws {
        let (one, first) = try FakeResolver.start(name: "one")
        let (two, second) = try FakeResolver.start(name: "two")
        let running = try await RunningServer(upstreams: [first, second])
        let answer = try RunningServer.dig(running.address, "+time=10 +short rubbish.example.org TXT")
        #expect(answer == "\"two\"\n")
        let counters = await running.counters
        #expect(counters.garbage == 10 && counters.forwardTimeouts == 1 && counters.forwardRetries == 1 && counters.forwardAnswered == 1, "\(counters)")
        // Without another one it is SERVFAIL.
        await running.server.reconfigure(upstreams: [first], ttl: .seconds(5))
        #expect(try RunningServer.dig(running.address, "+time=10 rubbish.example.org TXT").contains("status: SERVFAIL"))
        #expect(await running.inFlight.queries == 0)
        await running.stop()
        one.kill()
        two.kill()
    }

    @Test("A dead resolver is passed over at once, remembered, and tried last", arguments: ["", "+tcp"])
    func failover(_ transport: String) async throws {
        let (resolver, upstream) = try FakeResolver.start(name: "two")
        let dead = try deadAddress()
        let running = try await RunningServer(upstreams: [dead, upstream])
        #expect(try RunningServer.dig(running.address, "+short www.example.org TXT \(transport)") == "\"two\"\n")
        #expect(await running.counters.forwardRetries == 1)
        #expect(await running.server.resolvers.map(\.isDead) == [true, false])
        #expect(try RunningServer.dig(running.address, "+short www.example.org TXT \(transport)") == "\"two\"\n")
        #expect(await running.counters.forwardRetries == 1)
        await running.stop()
        resolver.kill()
    }

    @Test("A refusal sends the query on to the next resolver", arguments: ["servfail", "refused"])
    func refusal(_ what: String) async throws {
        let (one, first) = try FakeResolver.start(name: "one")
        let (two, second) = try FakeResolver.start(name: "two")
        let running = try await RunningServer(upstreams: [first, second])
        #expect(try RunningServer.dig(running.address, "+short \(what).example.org TXT") == "\"two\"\n")
        await running.server.reconfigure(upstreams: [first], ttl: .seconds(5))
        #expect(try RunningServer.dig(running.address, "\(what).example.org TXT").contains("status: \(what.uppercased())"))
        await running.stop()
        one.kill()
        two.kill()
    }

    @Test("A silent resolver is given up within the five seconds that the C library waits, with SERVFAIL")
    func silence() async throws {
        let (resolver, upstream) = try FakeResolver.start()
        let running = try await RunningServer(upstreams: [upstream])
        let start = MonotonicTime.now()
        #expect(try RunningServer.dig(running.address, "silent.example.org").contains("status: SERVFAIL"))
        #expect((.seconds(2)...(.seconds(5))).contains(MonotonicTime.now() - start))
        let counters = await running.counters
        #expect(counters.forwardTimeouts == 2 && counters.forwardFailed == 1)
        #expect(await running.inFlight.queries == 0)
        await running.stop()
        resolver.kill()
    }

    @Test("With every resolver dead, SERVFAIL comes at once")
    func allDead() async throws {
        let running = try await RunningServer(upstreams: [try deadAddress(), try deadAddress()])
        let start = MonotonicTime.now()
        #expect(try RunningServer.dig(running.address, "www.example.org").contains("status: SERVFAIL"))
        #expect(MonotonicTime.now() - start < .seconds(2))
        await running.stop()
    }

    @Test("Waiting queries are bounded: the next gets SERVFAIL at once, and is counted")
    func bounded() async throws {
        let (resolver, upstream) = try FakeResolver.start()
        let running = try await RunningServer(upstreams: [upstream]) { $0.maximumQueries = 3 }
        let client = try Client(to: running.address, tcp: false)
        for id in 0..<4 { try client.send(makeQuery("silent.example.org", id: UInt16(id))) }
        let response = try Response(client.receive())
        #expect(response.id == 3 && response.code == 2)
        #expect(await running.counters.forwardFull == 1)
        #expect(await running.inFlight.queries == 3)
        await running.stop()
        #expect(await running.inFlight.queries == 0)
        resolver.kill()
    }

    @Test("Ids and ports differ from query to query")
    func randomness() async throws {
        let upstream = try Socket.udp(SocketAddress(.loopbackV4, port: 0))
        let address = try #require(Socket.localAddress(upstream.raw))
        let running = try await RunningServer(upstreams: [address])
        let client = try Client(to: running.address, tcp: false)
        for id in 0..<20 { try client.send(makeQuery("a.example.org", id: UInt16(id))) }
        #expect(await eventually { running.inFlight.queries == 20 })
        var ids: Set<[UInt8]> = []
        var ports: Set<UInt16> = []
        var buffer = [UInt8](repeating: 0, count: 512)
        for _ in 0..<20 {
            let (_, source) = buffer.withUnsafeMutableBytes { Socket.receive(upstream.raw, into: $0) }
            ids.insert(Array(buffer.prefix(2)))
            ports.insert(try #require(source).port)
        }
        #expect(ids.count >= 19 && ports.count == 20)
        await running.stop()
    }

    @Test("resolv.conf is followed: its servers, its search domains, and its changes")
    func resolvConf() async throws {
        var template = Array("/tmp/weft-resolv-XXXXXX".utf8CString)
        let path = try #require(
            Optional(mkstemp(&template)).map { fd in
                close(fd)
                return String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
            })
        defer { unlink(path) }
        func write(_ text: String) throws {
            let fd = try systemCall { open(path, O_WRONLY | O_TRUNC) }
            _ = Glibc.write(fd, text, text.utf8.count)
            close(fd)
        }
        try write("nameserver 127.0.0.77\nsearch one.example\n")
        let running = try await RunningServer(resolvConf: path)
        #expect(await running.server.resolvers.map(\.address.description) == ["127.0.0.77:53"])
        #expect(try RunningServer.dig(running.address, "+short reviews.one.example") == "240.240.0.1\n")
        #expect(try RunningServer.dig(running.address, "reviews.two.example").contains("status: SERVFAIL"))
        try write("nameserver 127.0.0.78\nsearch two.example\n")
        await ControlLoop.shared.sleep(.milliseconds(1_100))
        // The change is noticed with the first query that is forwarded.
        _ = try RunningServer.dig(running.address, "www.example.org")
        #expect(await running.server.resolvers.map(\.address.description) == ["127.0.0.78:53"])
        #expect(try RunningServer.dig(running.address, "+short reviews.two.example") == "240.240.0.1\n")
        await running.stop()
    }
}
