import Glibc
import Logging
import Management
import ManagementAPI
import ManagementTestSupport
import Synchronization
import Testing

@Suite("The management server")
struct ServerTests {
    @Test(arguments: SampleCall.all)
    func `answers every operation with JSON`(_ call: SampleCall) async throws {
        let scratch = Scratch()
        let socket = "\(scratch.path)/s"
        let reply = try await withServer(SampleCall.agent(), socket: socket) { _ in
            await Curl(socket: socket).send(call.route.method.rawValue, call.target, body: call.body)
        }
        #expect(reply.status == 200, "\(reply.body)")
        #expect(call.route == .getMetrics ? reply.body.contains("weft_up 1") : reply.body.hasPrefix("{"), "\(reply.body)")
    }

    @Test func `passes requests on as they were made`() async throws {
        let scratch = Scratch()
        let socket = "\(scratch.path)/s"
        let agent = TestAgent()
        try await withServer(agent, socket: socket) { _ in
            let curl = Curl(socket: socket)
            let body = #"{"name":"ratings","namespace":"shop","port":80,"targetPort":8080,"labels":{"a":"b"},"weight":7,"healthCheck":false}"#
            #expect(await curl.send("POST", "/v1/services", body: body).status == 200)
            #expect(await curl.send("GET", "/v1/captures/ready?unit=a%40b.service&timeoutSeconds=3").status == 200)
            #expect(await curl.send("POST", "/v1/tokens", body: #"{"node":"b","replace":true,"expiresSeconds":60}"#).status == 200)
        }
        #expect(
            agent.read(\.lastRegistration)
                == ServiceRegistration(
                    name: "ratings", namespace: "shop", port: 80, targetPort: 8080, weight: 7, labels: ["a": "b"], healthCheck: false))
        let ready = try #require(agent.read(\.lastReady))
        #expect(ready.unit == "a@b.service")
        #expect(ready.timeoutSeconds == 3)
        #expect(ready.callerPID > 1)
        #expect(agent.read(\.lastToken) == TokenRequest(node: "b", expiresSeconds: 60, replace: true))
    }

    @Test(
        arguments: [
            ("GET", "/v1/statsu", nil, 404, "unknown_path", "did you mean /v1/status?"),
            ("GET", "/", nil, 404, "unknown_path", "openapi.yaml"),
            ("PUT", "/v1/members", nil, 405, "wrong_method", "use GET"),
            ("DELETE", "/v1/services", nil, 405, "wrong_method", "use GET or POST"),
            ("GET", "/v1/connections?limt=5", nil, 400, "unknown_parameter", #"did you mean "limit"?"#),
            ("GET", "/v1/status?verbose=1", nil, 400, "unknown_parameter", "it takes none"),
            ("GET", "/v1/connections?limit=0", nil, 400, "invalid_request", "from 1 to 10000"),
            ("GET", "/v1/connections?limit=99999999999999999999", nil, 400, "invalid_request", "whole number"),
            ("GET", "/v1/connections?limit=1&limit=2", nil, 400, "invalid_request", ""),
            ("GET", "/v1/captures/ready", nil, 400, "invalid_request", "add ?unit="),
            ("DELETE", "/v1/captures?kind=pod&selector=x", nil, 400, "invalid_request", "use unit, slice, cgroup"),
            ("GET", "/v1/services/UPPER", nil, 400, "invalid_request", "name or name.namespace"),
            ("GET", "/v1/services/%zz", nil, 400, "invalid_request", ""),
            ("GET", "/v1/services/nothing", nil, 404, "unknown_service", "weft services"),
            ("POST", "/v1/init", "{", 400, "invalid_body", "openapi.yaml"),
            ("POST", "/v1/init", #"{"trustDomian":"a"}"#, 400, "unknown_field", #"did you mean "trustDomain"?"#),
            ("POST", "/v1/init", nil, 400, "invalid_body", ""),
            ("POST", "/v1/reload", "{}", 400, "invalid_request", "leave the body out"),
            ("DELETE", "/v1/tokens/t9", "{}", 400, "invalid_request", "leave the body out"),
            ("DELETE", "/v1/tokens/t9", nil, 404, "token_unknown", "weft token list"),
            ("POST", "/v1/services", #"{"name":"Reviews","port":80}"#, 400, "invalid_request", "lower case"),
            ("POST", "/v1/services", #"{"name":"a","port":0}"#, 400, "invalid_request", "1 to 65535"),
            ("POST", "/v1/services", #"{"name":"a","port":1,"weight":0}"#, 400, "invalid_request", "1 to 1000000"),
            ("POST", "/v1/captures", #"{"kind":"pod","selector":"x"}"#, 400, "invalid_body", ""),
        ] as [(String, String, String?, Int, String, String)])
    func `refuses what is wrong with its name and the remedy`(
        _ method: String, _ target: String, _ body: String?, _ status: Int, _ code: String, _ remedy: String
    ) async throws {
        let scratch = Scratch()
        let socket = "\(scratch.path)/s"
        let reply = try await withServer(socket: socket) { _ in await Curl(socket: socket).send(method, target, body: body) }
        #expect(reply.status == status, "\(reply.body)")
        let error = try #require(reply.error, "\(reply.body)")
        #expect(error.code == code)
        #expect(remedy.isEmpty || error.remedy.contains(remedy), "\(error)")
        #expect(!error.message.isEmpty)
    }

    @Test func `refuses bodies beyond a mebibyte, announced or not`() async throws {
        let scratch = Scratch()
        let socket = "\(scratch.path)/s"
        let large = #"{"trustDomain":""# + String(repeating: "a", count: 1 << 20) + #""}"#
        try await withServer(socket: socket) { _ in
            let curl = Curl(socket: socket)
            for headers in [[], ["Transfer-Encoding: chunked"]] {
                let reply = await curl.send("POST", "/v1/init", body: large, headers: headers + ["Expect:"])
                #expect(reply.status == 413)
                #expect(reply.error?.code == "body_too_large")
            }
            let fits = #"{"node":"b","allow":[""# + String(repeating: "a", count: 1_000_000) + #""]}"#
            #expect(await curl.send("POST", "/v1/tokens", body: fits, headers: ["Expect:"]).status == 200)
        }
    }

    @Test(arguments: [
        "nonsense\r\n\r\n", "GET /v1/status HTTP/9.9\r\n\r\n", "GET /v1/status HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        "GET /v1/status HTTP/1.1\r\nX: \(String(repeating: "a", count: 20_000))\r\n\r\n", "\u{0}\u{1}\u{2}\r\n\r\n",
    ])
    func `survives what is no HTTP`(_ text: String) async throws {
        let scratch = Scratch()
        let socket = "\(scratch.path)/s"
        try await withServer(socket: socket) { _ in
            let reply = await RawClient.send(socket, text)
            #expect(reply.isEmpty || reply.hasPrefix("HTTP/1.1 4"), "\(reply)")
            #expect(await Curl(socket: socket).send("GET", "/v1/version").status == 200)
        }
    }

    @Test func `serves many at once, and one connection many times`() async throws {
        let scratch = Scratch()
        let socket = "\(scratch.path)/s"
        try await withServer(socket: socket) { _ in
            let urls = Array(repeating: "http://localhost/v1/members", count: 200)
            let result = await Program.run(
                ["curl", "-sS", "--parallel", "--parallel-max", "50", "--unix-socket", socket, "-w", "%{http_code}\n"]
                    + urls.flatMap { ["-o", "/dev/null", $0] })
            #expect(result.output.split(separator: "\n").count { $0 == "200" } == 200, "\(result.error)")
            let pipelined =
                String(repeating: "GET /v1/version HTTP/1.1\r\nHost: a\r\n\r\n", count: 9)
                + "GET /v1/version HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
            let replies = await RawClient.send(socket, pipelined)
            #expect(replies.split(separator: "9.8.7", omittingEmptySubsequences: false).count == 11, "\(replies)")
        }
    }

    @Test func `writes a line for every change, made or refused`() async throws {
        let lines = Lines()
        let scratch = Scratch()
        let socket = "\(scratch.path)/s"
        try await withServer(socket: socket, logger: Logger(label: "test") { _ in lines }) { _ in
            let curl = Curl(socket: socket)
            _ = await curl.send("POST", "/v1/init", body: #"{"trustDomain":"shop.example"}"#)
            _ = await curl.send("POST", "/v1/init", body: #"{"trustDomain":"other.example"}"#)
            _ = await curl.send("GET", "/v1/status")
        }
        let changes = lines.all.filter { $0.contains("initialise") }
        #expect(changes.count == 2)
        #expect(changes.first?.contains("uid \(geteuid())") == true)
        #expect(changes.last?.contains("already") == true)
        #expect(!lines.all.contains { $0.contains("getStatus") })
    }
}

/// A log handler that keeps its lines.
final class Lines: LogHandler {
    private let lines = Mutex<[String]>([])
    var all: [String] { lines.withLock { $0 } }
    // The logger copies its handler to change these; all copies share the lines, and the test changes neither.
    var logLevel: Logger.Level {
        get { .info }
        set {}
    }
    var metadata: Logger.Metadata {
        get { [:] }
        set {}
    }
    subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { nil }
        set {}
    }
    func log(event: LogEvent) { lines.withLock { $0.append("\(event.message)") } }
}
