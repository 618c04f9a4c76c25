import Glibc
import Logging
import Management
import ManagementAPI
import ManagementTestSupport
import Testing

@Suite("The management socket")
struct SocketFileTests {
    private func failure(_ body: () async throws -> Void) async -> APIError? {
        do {
            try await body()
            return nil
        } catch {
            return error as? APIError
        }
    }

    @Test func `has the readers' group and mode 0660 while the server runs, and is gone afterwards`() async throws {
        let scratch = Scratch()
        let socket = "\(scratch.path)/s"
        try await withServer(socket: socket, policy: AccessPolicy(readers: "users")) { _ in
            var info = stat()
            #expect(stat(socket, &info) == 0)
            #expect(info.st_mode & 0o777 == 0o660)
            #expect(info.st_gid == GroupDatabase.number(of: "users"))
            #expect(scratch.names() == ["s"])
        }
        #expect(scratch.names() == [])
    }

    @Test func `is root's alone when the group does not exist`() async throws {
        let scratch = Scratch()
        let socket = "\(scratch.path)/s"
        try await withServer(socket: socket, policy: AccessPolicy(readers: "weft-no-such-group")) { _ in
            var info = stat()
            #expect(stat(socket, &info) == 0)
            #expect(info.st_mode & 0o777 == 0o600)
        }
    }

    @Test func `replaces one that nobody listens on`() async throws {
        let scratch = Scratch()
        let socket = "\(scratch.path)/s"
        Self.leaveStale(socket)
        #expect(access(socket, F_OK) == 0)
        try await withServer(socket: socket) { _ in
            #expect(await Curl(socket: socket).send("GET", "/v1/version").status == 200)
        }
    }

    @Test func `is left to the agent that answers on it`() async throws {
        let scratch = Scratch()
        let socket = "\(scratch.path)/s"
        try await withServer(socket: socket) { _ in
            let error = await failure { try await withServer(socket: socket) { _ in } }
            #expect(error?.code == "socket_in_use")
            #expect(error?.kind == .conflict)
            #expect(await Curl(socket: socket).send("GET", "/v1/version").status == 200)
        }
    }

    @Test func `does not replace a file`() async throws {
        let scratch = Scratch()
        let socket = "\(scratch.path)/s"
        close(open(socket, O_CREAT | O_WRONLY, 0o600))
        let error = await failure { try await withServer(socket: socket) { _ in } }
        #expect(error?.message == "\(socket) exists and is not a socket")
        #expect(scratch.names() == ["s"])
    }

    @Test func `is not taken away from an agent that has replaced this one`() async throws {
        let scratch = Scratch()
        let socket = "\(scratch.path)/s"
        try await withServer(socket: socket) { _ in
            unlink(socket)
            Self.leaveStale(socket)
        }
        #expect(scratch.names() == ["s"])
    }

    @Test func `with a path too long, or without a directory, is refused with the reason`() async throws {
        let long = "/tmp/" + String(repeating: "a", count: 120)
        #expect(await failure { try await withServer(socket: long) { _ in } }?.message.contains("more than") == true)
        let missing = await failure { try await withServer(socket: "/tmp/weft-no-such-directory/s") { _ in } }
        #expect(missing?.message.contains("weft-no-such-directory") == true, "\(String(describing: missing))")
        #expect(missing?.remedy.isEmpty == false)
    }

    /// A socket file whose owner has gone.
    private static func leaveStale(_ path: String) {
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path.utf8) }
        let fd = socket(AF_UNIX, CInt(SOCK_STREAM.rawValue), 0)
        _ = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { bind(fd, $0, socklen_t(MemoryLayout<sockaddr_un>.size)) }
        }
        close(fd)
    }
}

@Suite("A stop of the server")
struct StopTests {
    @Test func `lets the request in progress finish`() async throws {
        let scratch = Scratch()
        let socket = "\(scratch.path)/s"
        var state = TestAgent.State()
        state.captureDelay = .milliseconds(700)
        let agent = TestAgent(state)
        let reply = try await withServer(agent, socket: socket) { server in
            async let reply = Curl(socket: socket).send("GET", "/v1/captures/ready?unit=a.service&timeoutSeconds=5")
            try await agent.waitForReady()
            server.shutdown()
            return await reply
        }
        #expect(reply.status == 200, "\(reply)")
    }

    @Test func `waits no longer than two seconds`() async throws {
        let scratch = Scratch()
        let socket = "\(scratch.path)/s"
        var state = TestAgent.State()
        state.captureDelay = .seconds(60)
        let agent = TestAgent(state)
        var start = ContinuousClock.now
        let waiting = try await withServer(agent, socket: socket) { _ in
            let task = Task { await Curl(socket: socket).send("GET", "/v1/captures/ready?unit=a.service&timeoutSeconds=100") }
            try await agent.waitForReady()
            start = .now
            return task
        }
        #expect(ContinuousClock.now - start < .seconds(10))
        #expect(await waiting.value.status != 200)
    }

    @Test func `can be asked for before and again`() async throws {
        let scratch = Scratch()
        let server = ManagementServer(agent: TestAgent(), socketPath: "\(scratch.path)/s", metricsAddress: nil, logger: Logger(label: "test"))
        server.shutdown()
        server.shutdown()
        try await server.run()
        #expect(scratch.names() == [])
    }
}

@Suite("The metrics port")
struct MetricsPortTests {
    @Test func `serves metrics and nothing else`() async throws {
        let scratch = Scratch()
        let port = Self.freePort()
        try await withServer(socket: "\(scratch.path)/s", metricsPort: port) { _ in
            func get(_ path: String, _ more: [String] = []) async -> String {
                await Program.run(["curl", "-sS", "-w", " %{http_code} %{content_type}", "http://127.0.0.1:\(port)\(path)"] + more).output
            }
            #expect(await get("/metrics").hasSuffix("weft_up 1\n 200 text/plain; version=0.0.4; charset=utf-8"))
            #expect(await get("/v1/status").contains(#""code":"unknown_path""#))
            #expect(await get("/v1/status").contains(" 404 "))
            #expect(await get("/metrics", ["-X", "POST"]).contains(" 405 "))
        }
    }

    @Test func `that is in use is an error that names it`() async throws {
        let scratch = Scratch()
        let port = Self.freePort()
        try await withServer(socket: "\(scratch.path)/s", metricsPort: port) { _ in
            do {
                try await withServer(socket: "\(scratch.path)/t", metricsPort: port) { _ in }
                Issue.record("two servers have one port")
            } catch let error as APIError {
                #expect(error.code == "port_in_use")
                #expect(error.message.contains("127.0.0.1:\(port)"))
                #expect(error.remedy.contains("ports.metrics"))
            }
        }
        #expect(scratch.names() == [])
    }

    private static func freePort() -> UInt16 {
        let fd = socket(AF_INET, CInt(SOCK_STREAM.rawValue), 0)
        defer { close(fd) }
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        withUnsafeMutablePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(fd, $0, length)
                getsockname(fd, $0, &length)
            }
        }
        return UInt16(bigEndian: address.sin_port)
    }
}
