import Glibc
import ManagementAPI
import ManagementTestSupport
import Testing

@Suite("The API's documentation")
struct OpenAPITests {
    private static var root: String {
        var path = #filePath
        for _ in 0..<3 { path = String(path[..<path.lastIndex(of: "/")!]) }
        return path
    }

    @Test func `has the server's operations, and its requests and answers`() async throws {
        let scratch = Scratch()
        let socket = "\(scratch.path)/s"
        var exchanges: [String] = []
        let calls = SampleCall.all
        try await withServer(SampleCall.agent(), socket: socket) { _ in
            let curl = Curl(socket: socket)
            for call in calls {
                let reply = await curl.send(call.route.method.rawValue, call.target, body: call.body)
                let isText = call.route == .getMetrics
                let type = isText ? "text/plain" : "application/json"
                let answer = isText ? "\"\"" : reply.body
                let request = call.body.map { ",\"request\":\($0)" } ?? ""
                exchanges.append(
                    #"{"id":"\#(call.route.rawValue)","status":\#(reply.status),"type":"\#(type)","answer":\#(answer)\#(request)}"#
                )
            }
            for (route, target) in [(Route.getService, "/v1/services/nothing"), (.listConnections, "/v1/connections?limit=x")] {
                let reply = await curl.send(route.method.rawValue, target)
                exchanges.append(#"{"id":"\#(route.rawValue)","status":\#(reply.status),"type":"application/json","answer":\#(reply.body)}"#)
            }
        }
        func list(_ words: [String]) -> String { "[" + words.map { "\"\($0)\"" }.joined(separator: ",") + "]" }
        let operations = Route.allCases.map {
            #"{"id":"\#($0.rawValue)","method":"\#($0.method.rawValue)","path":"\#($0.path)","access":"\#($0.access)","query":\#(list($0.query))}"#
        }
        func fields<R: APIRequest>(_ type: R.Type) -> String { "\"\(type)\":\(list(R.CodingKeys.allCases.map(\.stringValue)))" }
        let requests = [
            fields(InitRequest.self), fields(TokenRequest.self), fields(JoinRequest.self), fields(LeaveRequest.self),
            fields(ServiceRegistration.self), fields(HeartbeatRequest.self),
            fields(ApplyRequest.self), fields(RightsRequest.self),
            fields(CaptureRequest.self), fields(GossipKeyAddition.self), fields(GossipKeyUse.self),
        ]
        let input =
            "{\"operations\":[\(operations.joined(separator: ","))],\"exchanges\":[\(exchanges.joined(separator: ","))],"
            + "\"requests\":{\(requests.joined(separator: ","))}}"
        let modules = await Program.run(["python3", "-c", "import yaml, jsonschema"])
        try #require(modules.status == 0, "needs python3-yaml and python3-jsonschema: \(modules.error)")
        let result = await Program.run(
            ["python3", "-W", "ignore", "\(Self.root)/Tests/ManagementTests/check-openapi.py", "\(Self.root)/Documentation/openapi.yaml"],
            input: input)
        #expect(result.status == 0, "\(result.error)")
    }
}
