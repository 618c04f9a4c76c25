import Glibc
import MeshModel
import Platform
import Reactor
import Settings
import Testing

@testable import Catalog

/// Checks of every kind against real servers and real programs.
@Suite(.serialized) struct CheckKindTests {
    /// Health checks of one endpoint, as the catalog runs them.
    @Control
    private final class Checked {
        let id: LocalInstance.ID
        var seen: [Health] = []
        var checker: HealthChecker!
        init(_ port: UInt16, _ kind: HealthCheck.Kind, timeout: Duration = .seconds(5), initial: Health = .unknown) {
            id = .init(service: ServiceName("reviews.default")!, address: SocketAddress(.loopbackV4, port: port))
            checker = HealthChecker(mark: 0) { [unowned self] _, health in seen.append(health) }
            checker.start(id, EndpointCheck(kind: kind, interval: .milliseconds(100), timeout: timeout, unhealthyAfter: 1, initial: initial))
        }
        var failure: String { checker.lastFailure(id) }
    }

    // MARK: HTTP

    private static let web = """
        import http.server, sys
        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            def do_GET(self):
                if self.path == "/silent": return self.rfile.read()
                self.send_response(503 if self.path == "/bad" else 200)
                self.send_header("X-Host", self.headers["Host"])
                self.send_header("Transfer-Encoding", "chunked")
                self.end_headers()
                self.wfile.write(b"3\\r\\nall\\r\\n5\\r\\n well\\r\\n0\\r\\n\\r\\n")
            def log_message(self, *words): pass
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        print(server.server_address[1], flush=True)
        server.serve_forever()
        """

    @Test func anHTTPServerIsAskedAndItsAnswerJudged() async throws {
        let server = try Child(["python3", "-c", Self.web])
        let port = try #require(UInt16(server.line()))
        try await http(port)
    }

    @Control
    private func http(_ port: UInt16) async throws {
        var asked = HTTPCheck(path: "/")
        (asked.host, asked.headers, asked.body) = ("shop.example", ["x-host": "shop.example"], "all well")
        let good = Checked(port, .http(asked))
        await until("healthy") { good.seen == [.healthy] }
        asked.body = "all is lost"
        let other = Checked(port, .http(asked))
        await until("unhealthy") { other.seen == [.unhealthy] }
        #expect(other.failure == "GET http://127.0.0.1:\(port)/ (host shop.example): the 8 bytes of the body do not contain \"all is lost\"")
        let bad = Checked(port, .http(HTTPCheck(path: "/bad")))
        await until("unhealthy") { bad.seen == [.unhealthy] }
        #expect(bad.failure == "GET http://127.0.0.1:\(port)/bad: answered 503; wanted 200-299")
        let silent = Checked(port, .http(HTTPCheck(path: "/silent")), timeout: .milliseconds(200))
        await until("unhealthy") { silent.seen == [.unhealthy] }
        #expect(silent.failure == "GET http://127.0.0.1:\(port)/silent: no complete answer within 200 ms")
        let (well, wrong) = (good.checker.counters.kinds["http"], bad.checker.counters.kinds["http"])
        #expect(well?.failed == 0 && well?.passed ?? 0 > 0 && wrong?.passed == 0 && wrong?.failed ?? 0 > 0)
        for checked in [good, other, bad, silent] { checked.checker.stopAll() }
        // Nobody listens: the connection is what fails.
        let listener = try Listener()
        let gone = try #require(listener.address?.port)
        listener.close()
        let refused = Checked(gone, .http(HTTPCheck(path: "/")))
        await until("unhealthy") { refused.seen == [.unhealthy] }
        #expect(refused.failure.contains("refused"))
        refused.checker.stopAll()
    }

    // MARK: gRPC

    /// The health service of the real grpcio, its two messages by hand: b"" is the whole server, "slow.Service" has none.
    private static let grpc = """
        import grpc, sys
        from concurrent import futures
        answers = {b"": b"\\x08\\x01", b"\\x0a\\x04shop": b"\\x08\\x01", b"\\x0a\\x04down": b"\\x08\\x02", b"\\x0a\\x03odd": b"\\x08\\x09"}
        def check(request, context):
            if request not in answers: context.abort(grpc.StatusCode.NOT_FOUND, "unknown service")
            return answers[request]
        server = grpc.server(futures.ThreadPoolExecutor(2))
        if sys.argv[1] == "health":
            handlers = {"Check": grpc.unary_unary_rpc_method_handler(check)}
            server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("grpc.health.v1.Health", handlers),))
        print(server.add_insecure_port("127.0.0.1:0"), flush=True)
        server.start()
        server.wait_for_termination()
        """
    private static let hasGRPC: Bool = {
        let probe = try? Child(["/usr/bin/python3", "-c", "import grpc; print('yes')"])
        return probe?.line() == "yes"
    }()

    @Test(.enabled(if: hasGRPC, "needs python3-grpcio")) func aGRPCServerIsAskedForItsHealth() async throws {
        let server = try Child(["/usr/bin/python3", "-c", Self.grpc, "health"])
        let port = try #require(UInt16(server.line()))
        let plain = try Child(["/usr/bin/python3", "-c", Self.grpc, "none"])
        let none = try #require(UInt16(plain.line()))
        try await grpc(port, none)
    }

    @Control
    private func grpc(_ port: UInt16, _ none: UInt16) async throws {
        for service in ["", "shop"] {
            let good = Checked(port, .grpc(service: service))
            await until("healthy") { good.seen == [.healthy] }
            await until("again") { good.checker.counters.passed > 2 }
            good.checker.stopAll()
        }
        for (service, port, words) in [
            ("down", port, "gRPC health check of down at 127.0.0.1:\(port): answered NOT_SERVING; wanted SERVING"),
            ("odd", port, "answered status 9, which is not known; wanted SERVING"),
            ("nothing", port, "the server knows no service \"nothing\": \"unknown service\""),
            ("", none, "the server has no health service (grpc.health.v1.Health)"),
        ] {
            let bad = Checked(port, .grpc(service: service))
            await until("unhealthy") { bad.seen == [.unhealthy] }
            #expect(bad.failure.contains(words), "\(bad.failure)")
            bad.checker.stopAll()
        }
    }

    @Test func whatIsNoGRPCServerIsTold() async throws {
        let server = try Child(["python3", "-c", Self.web])
        let port = try #require(UInt16(server.line()))
        try await noGRPC(port)
    }

    @Control
    private func noGRPC(_ port: UInt16) async throws {
        let bad = Checked(port, .grpc(service: ""))
        await until("unhealthy") { bad.seen == [.unhealthy] }
        #expect(bad.failure.contains("what came is no HTTP/2") || bad.failure.contains("the connection"), "\(bad.failure)")
        bad.checker.stopAll()
    }

    // MARK: Heartbeats

    @Test @Control func heartbeatsCountAtOnceAndForTheirTime() async throws {
        let checked = Checked(80, .ttl(.milliseconds(400)))
        checked.checker.heartbeat(checked.id, .passed, note: "up since noon")
        #expect(checked.seen == [.healthy] && checked.checker.lastOutput(checked.id) == "up since noon")
        checked.checker.heartbeat(checked.id, .failed, note: "disk full")
        #expect(checked.seen == [.healthy, .unhealthy] && checked.failure == "the application says that it is failing: disk full")
        checked.checker.heartbeat(checked.id, .passed, note: "")
        #expect(checked.seen == [.healthy, .unhealthy, .healthy] && checked.failure.isEmpty)
        await until("expired") { checked.seen.count == 4 }
        #expect(checked.seen.last == .unhealthy && checked.failure == "no heartbeat came within 400 ms")
        checked.checker.heartbeat(checked.id, .passed, note: "")
        #expect(checked.seen.last == .healthy, "it can come back")
        checked.checker.stopAll()
        // One that never says anything.
        let silent = Checked(80, .ttl(.milliseconds(50)), initial: .healthy)
        #expect(silent.checker.health(silent.id) == .healthy)
        await until("expired") { silent.seen == [.unhealthy] }
        silent.checker.stopAll()
        // Another kind takes no heartbeats.
        let listener = try Listener()
        let other = Checked(try #require(listener.address?.port), .tcp)
        other.checker.heartbeat(other.id, .failed, note: "")
        await until("healthy") { other.seen == [.healthy] }
        other.checker.stopAll()
        listener.close()
    }

    @Test @Control func aHeartbeatFindsItsEndpointOrSaysWhyNot() async throws {
        let scratch = ScratchDirectory()
        let agent = try TestAgent("a", try TestMesh(), scratch)
        try await agent.start()
        let ttl = EndpointCheck(kind: .ttl(.seconds(60)), unhealthyAfter: 1)
        try agent.catalog.declare([
            agent.instance("one.default", at: "127.0.0.1:1", check: ttl), agent.instance("two.default", at: "127.0.0.1:2", check: ttl),
            agent.instance("two.default", at: "127.0.0.1:3", check: ttl), agent.instance("tcp.default", at: "127.0.0.1:4"),
        ])
        func beat(_ name: String, _ address: String? = nil, _ isPassing: Bool = true) throws -> LocalStatus {
            let target = try agent.catalog.heartbeatTarget(ServiceName(name)!, address: address.flatMap { SocketAddress($0) })
            return agent.catalog.heartbeat(target, isPassing: isPassing, note: "n")
        }
        #expect(try beat("one.default").health == .healthy)
        #expect(agent.sees("one.default").map(\.endpoint.health) == [.healthy], "routing knows at once")
        #expect(try beat("one.default", nil, false).health == .unhealthy)
        #expect(agent.sees("one.default").map(\.usable) == [false])
        #expect(try beat("two.default", "127.0.0.1:3").instance.address.port == 3)
        #expect(agent.catalog.local.first { $0.instance.address.port == 2 }?.health == .unknown)
        for (name, address, code) in [
            ("two.default", nil, "several_endpoints"), ("tcp.default", nil, "check_kind"), ("nobody.default", nil, "service_not_found"),
            ("two.default", "127.0.0.1:9", "service_not_found"),
        ] as [(String, String?, String)] {
            let error = #expect(throws: MeshError.self) { try beat(name, address) }
            #expect(error?.code == code && error?.remedy.isEmpty == false)
        }
        await agent.stop()
    }

    // MARK: Programs

    @Test func aProgramIsRunAsAUnitWithItsBounds() {
        let check = ExecCheck(command: ["/usr/bin/test", "-e", "/run/ready"], user: "nobody")
        let words = ExecCommand.arguments(check, unit: "weft-check-1-2", timeout: .milliseconds(1500))
        #expect(words.first == "/usr/bin/systemd-run" && Array(words.suffix(4)) == ["--"] + check.command)
        for word in ["--wait", "--collect", "--pipe", "--uid=nobody", "--unit=weft-check-1-2", "--property=RuntimeMaxSec=1500ms", "--property=NoNewPrivileges=yes"] {
            #expect(words.contains(word), "\(word)")
        }
        func failure(_ status: CInt, _ elapsed: Duration = .zero) -> String? {
            ExecCommand.failure(check, status: status, elapsed: elapsed, timeout: .milliseconds(1500))
        }
        #expect(failure(0) == nil && failure(0, .seconds(2)) == nil)
        #expect(failure(2) == "/usr/bin/test ended with status 2" && failure(255)?.contains("by a signal") == true)
        #expect(failure(1, .seconds(2)) == "/usr/bin/test did not end within 1500 ms")
        #expect(failure(217)?.contains("as user nobody") == true && failure(203)?.contains("could not be executed") == true)
    }

    @Test @Control func aProgramsEndAndTheEndOfItsOutputAreKept() async throws {
        func run(_ script: String) async throws -> (CInt, String) {
            var result: (CInt, String)?
            let child = try ChildProcess(["/bin/sh", "-c", script], outputBytes: 10) { result = ($0, $1) }
            await until("ended") { result != nil }
            child.kill()
            return try #require(result)
        }
        #expect(try await run("echo well; echo >&2 hm; exit 3") == (3, "well\nhm\n"))
        #expect(try await run("seq 1000") == (0, "\n999\n1000\n"))
        #expect(try await run("seq 100000; kill -9 $$") == (137, "99\n100000\n"))
        #expect(try await run("cat; env | cut -d= -f1 | sort | head -c 9") == (0, "LC_ALL\nPA"))
        var wasTold = false
        let endless = try ChildProcess(["/bin/sh", "-c", "exec sleep 1000"], outputBytes: 10) { _, _ in wasTold = true }
        endless.kill()
        await ControlLoop.shared.sleep(.milliseconds(100))
        #expect(!wasTold)
        // One that has ended was waited for; nothing is left of it.
        let number = try #require(pid_t(try await run("echo $$").1.split(separator: "\n").joined()))
        #expect(kill(number, 0) == -1 && errno == ESRCH)
        #expect(throws: Errno.self) { try ChildProcess(["/nowhere/at/all"], outputBytes: 10) { _, _ in } }
    }

    @Test @Control func aProgramThatOthersCouldChangeIsNotRun() async throws {
        let checked = Checked(80, .exec(ExecCheck(command: ["/tmp/weft-no-such-program"], user: "nobody")))
        await until("unhealthy") { checked.seen == [.unhealthy] }
        #expect(checked.failure == "/tmp/weft-no-such-program is not run: /tmp/weft-no-such-program: No such file or directory")
        checked.checker.stopAll()
    }

    @Test @Control func aProgramIsNotTakenFromRegistrations() async throws {
        let scratch = ScratchDirectory()
        let agent = try TestAgent("a", try TestMesh(), scratch)
        try await agent.start()
        let check = EndpointCheck(kind: .exec(ExecCheck(command: ["/usr/bin/true"], user: "nobody")))
        let instance = agent.instance("one.default", at: "127.0.0.1:1", check: check)
        let error = await #expect(throws: MeshError.self) { try await agent.catalog.register(instance) }
        #expect(error?.code == "check_exec" && error?.remedy.contains("/etc/weft/services.d") == true)
        await agent.stop()
    }
}
