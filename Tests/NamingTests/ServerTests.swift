import Glibc
import Logging
import MeshModel
import Platform
import Reactor
import Testing

@testable import Naming

@Suite("The server, asked by dig")
struct ServerTests {
    @Test("Names are answered over UDP and TCP, IPv4 and IPv6", arguments: ["", "+tcp"], [IPAddress.loopbackV4, .loopbackV6])
    func answers(_ transport: String, _ listen: IPAddress) async throws {
        let running = try await RunningServer(listen: listen)
        let address = running.address
        #expect(try RunningServer.dig(address, "+short reviews \(transport)") == "240.240.0.1\n")
        #expect(try RunningServer.dig(address, "+short reviews.prod.svc.mesh AAAA \(transport)") == "fd77:6566:7400::2\n")
        #expect(try RunningServer.dig(address, "+short _443._tcp.reviews.prod.weft SRV \(transport)") == "0 1 443 reviews.prod.svc.mesh.\n")
        #expect(try RunningServer.dig(address, "+short -x 240.240.0.2 \(transport)") == "reviews.prod.svc.mesh.\n")
        let missing = try RunningServer.dig(address, "unknown.weft \(transport)")
        #expect(missing.contains("status: NXDOMAIN") && missing.contains("SOA\tns.weft. hostmaster.weft. 1 3600 600 86400 5"), "\(missing)")
        #expect(!missing.contains("WARNING"), "\(missing)")
        let empty = try RunningServer.dig(address, "ratings.prod.weft AAAA \(transport)")
        #expect(empty.contains("status: NOERROR") && empty.contains("ANSWER: 0, AUTHORITY: 1") && empty.contains("flags: qr aa rd ra;"), "\(empty)")
        let counters = await running.counters
        #expect(counters.answered == 4 && counters.nameErrors == 1 && counters.noData == 1)
        #expect((transport.isEmpty ? counters.udpQueries : counters.tcpQueries) == 6)
        await running.stop()
    }

    @Test("One short name is two services to callers of two namespaces, and none to nobody")
    func namespaces() async throws {
        let running = try await RunningServer()
        let address = running.address
        #expect(try RunningServer.dig(address, "+short reviews", from: "127.0.1.1") == "240.240.0.1\n")
        #expect(try RunningServer.dig(address, "+short reviews", from: "127.0.2.1") == "240.240.0.2\n")
        #expect(try RunningServer.dig(address, "+short +tcp reviews", from: "127.0.2.1") == "240.240.0.2\n")
        // There is no resolver to forward to here.
        #expect(try RunningServer.dig(address, "reviews", from: "127.0.9.1").contains("status: SERVFAIL"))
        #expect(try RunningServer.dig(address, "+short reviews.prod.weft", from: "127.0.9.1") == "240.240.0.2\n")
        #expect(await running.counters.unknownCallers == 1)
        await running.stop()
    }

    @Test("The letters' case comes back as it was asked")
    func letterCase() async throws {
        let running = try await RunningServer()
        #expect(try RunningServer.dig(running.address, "+noall +answer rEvIeWs.PROD.weft").hasPrefix("rEvIeWs.PROD.weft.\t5\tIN\tA\t240.240.0.2"))
        await running.stop()
    }

    @Test("A new table counts from the next query on, and dig retries a truncated answer over TCP by itself")
    func update() async throws {
        let running = try await RunningServer()
        let name = ServiceName("many", namespace: "default")!
        await running.server.update(NameTable(services: [name: .init(v4: IPAddress("240.240.9.9"), v6: nil, ports: Array(1...200))]))
        #expect(try RunningServer.dig(running.address, "+short reviews.prod.weft").isEmpty)
        let truncated = try RunningServer.dig(running.address, "+ignore +bufsize=1232 many SRV")
        #expect(truncated.contains("flags: qr aa tc rd ra; QUERY: 1, ANSWER: 0, AUTHORITY: 0, ADDITIONAL: 1"), "\(truncated)")
        #expect(try RunningServer.dig(running.address, "+short many SRV").split(separator: "\n").count == 200)
        let counters = await running.counters
        #expect(counters.truncated == 2 && counters.tcpQueries == 1 && counters.nameErrors == 1)
        await running.stop()
    }

    @Test("Before the first table, names that may be ours wait for it; others go on at once")
    func hold() async throws {
        let running = try await RunningServer(table: nil)
        let client = try Client(to: running.address, tcp: false)
        try client.send(makeQuery("reviews.prod.weft", id: 1))
        try client.send(makeQuery("reviews", id: 2))
        try client.send(makeQuery("www.example.org", id: 3))
        let other = try Response(client.receive())
        #expect(other.id == 3 && other.code == 2)
        await running.server.update(testTable)
        let answers = [try Response(client.receive()), try Response(client.receive())]
        #expect(answers.map(\.id) == [1, 2] && answers.flatMap(\.answers).map(\.data) == ["240.240.0.2", "240.240.0.1"])
        #expect(await running.counters.held == 2)
        await running.stop()
    }

    @Test("Without any table the wait ends by itself")
    func holdEnds() async throws {
        // Started and asked in one turn of the loop, so that the wait cannot end in between.
        let (running, client) = try await Task { @Control in
            let running = try RunningServer(table: nil) { $0.hold = .milliseconds(300) }
            let client = try Client(to: running.address, tcp: false)
            try client.send(makeQuery("x.weft"))
            return (running, client)
        }.value
        #expect(try Response(client.receive()).code == 3)
        #expect(await running.counters.held == 1)
        await running.stop()
    }

    @Test("Too many that wait for the first table get SERVFAIL")
    func holdBound() async throws {
        let running = try await RunningServer(table: nil) { $0.hold = .seconds(60) }
        // One connection has at most 32 queries without an answer, so all of these must be read before the next.
        let clients = try (0..<33).map { _ in try Client(to: running.address, tcp: true) }
        let queries = (0..<32).flatMap { StreamFramer.framed(makeQuery("x.weft", id: UInt16($0))) }
        for client in clients.dropLast() { try client.send(queries) }
        #expect(await eventually { running.counters.held == UInt64(DNSServer.maximumHeld) })
        let last = try #require(clients.last)
        try last.send(StreamFramer.framed(makeQuery("x.weft")))
        #expect(try Response(Array(last.receive().dropFirst(2))).code == 2)
        #expect(await running.counters.heldFull == 1)
        await running.server.update(NameTable())
        #expect(await running.counters.nameErrors == UInt64(DNSServer.maximumHeld))
        await running.stop()
    }

    @Test("A listener that does not forward refuses what is not ours")
    func withoutForwarding() async throws {
        let running = try await RunningServer(forwards: false)
        #expect(try RunningServer.dig(running.address, "+short reviews.prod.weft") == "240.240.0.2\n")
        let refused = try RunningServer.dig(running.address, "www.example.org")
        #expect(refused.contains("status: REFUSED") && refused.contains(";www.example.org."), "\(refused)")
        await running.stop()
    }

    @Test("Garbage gets silence or FORMERR, and the server goes on")
    func garbage() async throws {
        let running = try await RunningServer()
        let client = try Client(to: running.address, tcp: false)
        for bytes in [
            [1], [UInt8](repeating: 255, count: 40), makeQuery("reviews", flags: 0x8000), [UInt8](repeating: 0, count: 12),
            Array(makeQuery("reviews").dropLast(3)),
        ] { try client.send(bytes) }
        #expect(try Response(client.receive()).code == 1)
        #expect(try Response(client.receive()).code == 1)
        try client.send(makeQuery("reviews"))
        #expect(try Response(client.receive()).answers.map(\.data) == ["240.240.0.1"])
        #expect(await running.counters.malformed == 5)
        await running.stop()
    }

    @Test("One connection carries many queries, however they are cut into segments, and answers after the client's half-close")
    func pipelining() async throws {
        let running = try await RunningServer()
        let client = try Client(to: running.address, tcp: true)
        let names = (0..<100).map { $0 % 2 == 0 ? "reviews.default.weft" : "reviews.prod.weft" }
        let stream = names.enumerated().flatMap { StreamFramer.framed(makeQuery($0.element, id: UInt16($0.offset))) }
        try client.send(Array(stream.prefix(1)))
        usleep(20_000)
        try client.send(Array(stream[1..<50]))
        usleep(20_000)
        try client.send(Array(stream[50...]))
        shutdown(client.fd.raw, CInt(SHUT_WR))
        var framer = StreamFramer()
        var answers: [UInt16: String] = [:]
        while true {
            let bytes = client.receive()
            if bytes.isEmpty { break }
            framer.append(bytes)
            while let message = framer.next() {
                let response = try Response(message)
                answers[response.id] = response.answers.first?.data
            }
        }
        #expect(answers.count == 100 && answers[0] == "240.240.0.1" && answers[99] == "240.240.0.2")
        #expect(await eventually { running.inFlight.connections == 0 })
        await running.stop()
    }

    @Test("Connections are bounded")
    func boundedConnections() async throws {
        let running = try await RunningServer { $0.maximumConnections = 2 }
        let first = try Client(to: running.address, tcp: true)
        let second = try Client(to: running.address, tcp: true)
        #expect(await eventually { running.inFlight.connections == 2 })
        let third = try Client(to: running.address, tcp: true)
        #expect(third.receive().isEmpty)
        let counters = await running.counters
        #expect(counters.tcpRefused == 1 && counters.tcpAccepted == 2)
        // The others are not disturbed, and their end makes room.
        try first.send(StreamFramer.framed(makeQuery("reviews")))
        #expect(!first.receive().isEmpty)
        shutdown(second.fd.raw, CInt(SHUT_RDWR))
        #expect(await eventually { running.inFlight.connections == 1 })
        await running.stop()
        #expect(first.receive().isEmpty)
    }

    @Test("Idle connections are closed; bytes of an unfinished query don't keep one open")
    func idleConnections() async throws {
        let running = try await RunningServer { $0.idleTimeout = .milliseconds(500) }
        let silent = try Client(to: running.address, tcp: true)
        let slow = try Client(to: running.address, tcp: true)
        var closed = false
        for byte in StreamFramer.framed(makeQuery("reviews")) where !closed {
            do { try slow.send([byte]) } catch { closed = true }
            usleep(100_000)
        }
        #expect(closed && silent.receive().isEmpty)
        let counters = await running.counters
        #expect(counters.tcpIdleClosed == 2 && counters.answered == 0)
        await running.stop()
    }

    @Test("A port in use is told with its remedy, and nothing stays open")
    func portInUse() async throws {
        let running = try await RunningServer()
        let taken = running.address
        let error = await Self.startError([.init(SocketAddress(IPAddress("127.0.0.3")!, port: taken.port)), .init(taken)])
        #expect(error?.code == "port_in_use" && error?.description.contains("\(taken)") == true && error?.remedy.contains("ports.dns") == true)
        // The first listener was closed again.
        #expect(await Self.startError([.init(SocketAddress(IPAddress("127.0.0.3")!, port: taken.port))]) == nil)
        await running.stop()
    }

    @Test("An optional address that the host has not is done without")
    func optional() async {
        let foreign = SocketAddress(IPAddress("192.0.2.77")!, port: 16053)
        #expect(await Self.startError([.init(foreign, isOptional: true)]) == nil)
        #expect(await Self.startError([.init(foreign)])?.code == "dns_listen")
    }

    @Control
    private static func startError(_ listeners: [DNSServer.Listener]) -> MeshError? {
        let server = DNSServer(.init(listeners: listeners), logger: Logger(label: "test", factory: { _ in SwiftLogNoOpLogHandler() })) { _, _, _ in
            nil
        }
        defer { server.stop() }
        do throws(MeshError) {
            try server.start()
            return nil
        } catch { return error }
    }
}
