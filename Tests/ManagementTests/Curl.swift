import ManagementAPI
import ManagementTestSupport
import Testing

/// A real HTTP client on the server's socket.
struct Curl: Sendable {
    struct Reply: Sendable {
        var status: Int
        var body: String
        /// curl's own exit status; 0 when there was a reply.
        var exit: Int32

        /// The error in the body.
        var error: ErrorBody.Detail? { (try? APIJSON.decodeAnswer(ErrorBody.self, from: Array(body.utf8)))?.error }
    }

    /// As whom a request is made: nil is the test's own user.
    struct User: Sendable {
        var uid: UInt32
        var gid: UInt32
        var groups: [UInt32]
        static let nobody = User(uid: 65_534, gid: 65_534, groups: [])

        var prefix: [String] {
            [
                "setpriv", "--reuid=\(uid)", "--regid=\(gid)",
                groups.isEmpty ? "--clear-groups" : "--groups=\(groups.map(String.init).joined(separator: ","))",
            ]
        }
    }

    let socket: String

    func send(
        _ method: String, _ target: String, body: String? = nil, headers: [String] = [], as user: User? = nil
    ) async -> Reply {
        var arguments = (user?.prefix ?? []) + ["curl", "-sS", "--max-time", "20", "--unix-socket", socket, "-X", method, "-w", "\n%{http_code}"]
        for header in headers { arguments += ["-H", header] }
        if body != nil { arguments += ["--data-binary", "@-"] }
        let result = await Program.run(arguments + ["http://localhost\(target)"], input: body)
        let lines = result.output.split(separator: "\n", omittingEmptySubsequences: false)
        return Reply(
            status: lines.last.flatMap { Int($0) } ?? 0, body: lines.dropLast().joined(separator: "\n"), exit: result.status)
    }
}

/// A request for each operation that the test's agent accepts.
struct SampleCall: Sendable, CustomTestStringConvertible {
    var route: Route
    var target: String
    var body: String?
    var testDescription: String { route.rawValue }

    static let all: [SampleCall] = Route.allCases.map { route in
        switch route {
        case .getService: SampleCall(route: route, target: "/v1/services/reviews.default")
        case .deregisterService: SampleCall(route: route, target: "/v1/services/reviews?address=192.0.2.1%3A9080")
        case .initialise: SampleCall(route: route, target: route.path, body: #"{"trustDomain":"shop.example"}"#)
        case .createToken: SampleCall(route: route, target: route.path, body: #"{"node":"b","allow":["ns/default/sa/*"]}"#)
        case .deleteToken: SampleCall(route: route, target: "/v1/tokens/t0")
        case .join: SampleCall(route: route, target: route.path, body: #"{"token":"weft-join-1.secret"}"#)
        case .leave: SampleCall(route: route, target: route.path, body: #"{"force":true}"#)
        case .registerService: SampleCall(route: route, target: route.path, body: #"{"name":"ratings","port":9080}"#)
        case .heartbeat: SampleCall(route: route, target: "/v1/heartbeats/reviews", body: #"{"status":"failing","note":"disk full"}"#)
        case .addCapture: SampleCall(route: route, target: route.path, body: #"{"kind":"unit","selector":"details.service"}"#)
        case .removeCapture: SampleCall(route: route, target: "/v1/captures?kind=unit&selector=reviews.service")
        case .watchMembers: SampleCall(route: route, target: "/v1/members/changes?after=0&timeoutSeconds=1")
        case .addGossipKey: SampleCall(route: route, target: route.path, body: #"{"key":"AAAAAAAAAAAAAAAAAAAAAA=="}"#)
        case .useGossipKey: SampleCall(route: route, target: route.path, body: #"{"fingerprint":"0123456789abcdef","force":true}"#)
        case .removeGossipKey: SampleCall(route: route, target: "/v1/gossip/keys/0123456789abcdef?force=true")
        case .diffCatalog: SampleCall(route: route, target: "/v1/catalog/diff/b")
        case .captureReady: SampleCall(route: route, target: "/v1/captures/ready?unit=reviews.service")
        case .listResources: SampleCall(route: route, target: "/v1/resources?kind=dr&namespace=shop")
        case .applyResources: SampleCall(route: route, target: route.path, body: #"{"text":"kind: DestinationRule","dryRun":true}"#)
        case .deleteResource: SampleCall(route: route, target: "/v1/resources?kind=dr&namespace=shop&name=reviews")
        case .getRollout: SampleCall(route: route, target: "/v1/rollout?kind=dr")
        case .changeRights: SampleCall(route: route, target: route.path, body: #"{"node":"b","grant":["namespace-admin:shop"]}"#)
        case .getStatus, .getVersion, .getMetrics, .listTokens, .listMembers, .getGossip, .listGossipKeys, .listServices, .listWorkloads, .listCaptures, .listConnections,
            .listCertificates, .renewCertificates, .listNodes, .reload:
            SampleCall(route: route, target: route.path)
        }
    }

    /// An agent that has what the calls above ask for.
    static func agent() -> TestAgent {
        var state = TestAgent.State()
        state.tokens = [
            TokenEntry(
                id: "t0", node: "b", allow: ["ns/default/sa/*"], replace: false, state: .unused, expiresAt: "2026-01-01T00:00:00.000Z",
                expiresInSeconds: 60)
        ]
        state.changes = [Samples.change]
        return TestAgent(state)
    }
}
