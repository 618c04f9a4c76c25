import Glibc
import Management
import ManagementAPI
import ManagementTestSupport
import Testing

/// The program as a real process against a real server.
@Suite("weft")
struct CommandTests {
    private func withAgent<R>(_ agent: TestAgent = TestAgent(), _ body: (WeftProgram, String) async throws -> R) async throws -> R {
        let scratch = Scratch()
        let socket = "\(scratch.path)/s"
        return try await withServer(agent, socket: socket) { _ in try await body(WeftProgram(socket: socket), scratch.path) }
    }

    // MARK: What people see

    @Test(arguments: [
        ["status"], ["members"], ["gossip"], ["gossip", "key", "list"], ["gossip", "key", "add"], ["gossip", "key", "use", "0123"], ["gossip", "key", "remove", "0123"], ["services"],
        ["services", "reviews"], ["catalog", "diff", "b"], ["workloads"], ["capture", "list"],
        ["connections"], ["certs"], ["reload"], ["version"], ["metrics"], ["init", "shop.example"], ["leave", "--force"], ["service", "register", "ratings", "--port", "9080"],
        ["service", "deregister", "reviews"], ["service", "heartbeat", "reviews"], ["token", "create", "--node", "b", "--allow", "shop/*"], ["capture", "ready", "reviews"],
        ["capture", "remove", "reviews", "--systemd-directory", "/nonexistent"], ["join", "--token-file", "-"],
        ["get"], ["get", "dr", "reviews", "-n", "shop"], ["apply", "-f", "-"], ["delete", "dr", "reviews", "-n", "shop"], ["rollout", "status"], ["node", "list"],
        ["node", "grant", "b", "namespace-admin:shop"], ["node", "revoke", "b", "admin"],
    ])
    func `shows tables for people`(_ arguments: [String]) async throws {
        let result = try await withAgent { weft, _ in await weft.run(arguments, input: "weft-join-1.secret\n") }
        #expect(result.status == 0, "\(result.error)")
        let name = arguments.filter { !$0.hasPrefix("-") && !$0.hasPrefix("/") }.prefix(3).joined(separator: "-")
        let version = WeftVersion.current
        let text = result.output.split(separator: version, omittingEmptySubsequences: false).joined(separator: "VERSION")
        expectSnapshot("\(text)--- standard error\n\(result.error)", "\(name).txt")
        #expect(!result.output.contains("\u{1b}"), "colours are for terminals")
    }

    @Test(arguments: [
        ["members"], ["services"], ["workloads"], ["capture", "list"], ["connections"], ["certs"], ["token", "list"], ["status"],
    ])
    func `says what to do next where there is nothing`(_ arguments: [String]) async throws {
        var state = TestAgent.State()
        (state.members, state.services, state.workloads, state.captures) = ([], [], [], [])
        (state.connections, state.certificates, state.status) = ([], [], Samples.uninitialised)
        let result = try await withAgent(TestAgent(state)) { weft, _ in await weft.run(arguments) }
        #expect(result.status == 0)
        #expect(result.output.contains("`weft ") || result.output.contains("captured processes"), "\(result.output)")
        expectSnapshot(result.output, "empty-\(arguments.joined(separator: "-")).txt")
    }

    @Test func `says how to add a node while it is alone`() async throws {
        var state = TestAgent.State()
        state.members = [Samples.members[0]]
        let result = try await withAgent(TestAgent(state)) { weft, _ in await weft("members") }
        #expect(result.error.contains("`weft token create --node NAME`"), "\(result.error)")
    }

    // MARK: What programs see

    @Test func `gives programs the API's own JSON`() async throws {
        try await withAgent { weft, _ in
            func check<A: Decodable & Equatable>(_ arguments: [String], _ wanted: A) async throws {
                let result = await weft.run(arguments)
                #expect(result.error == "")
                let answer = try APIJSON.decodeAnswer(A.self, from: Array(result.output.utf8))
                #expect(answer == wanted)
            }
            try await check(["status", "--output", "json"], Samples.status)
            try await check(["--output", "json", "members"], MemberList(members: Samples.members))
            try await check(["-o", "json", "services", "reviews.default"], Samples.reviews)
            try await check(["gossip", "-o", "json"], Samples.gossip)
            try await check(["gossip", "key", "list", "-o", "json"], Samples.keys)
            try await check(["gossip", "key", "use", "0123", "-o", "json"], Samples.keyReport)
            try await check(["catalog", "diff", "b", "-o", "json"], Samples.diff)
            try await check(["connections", "-o", "json", "--limit", "1"], ConnectionList(connections: [Samples.connections[0]], open: 1))
            try await check(["certs", "--output=json"], CertificateList(certificates: Samples.certificates))
            try await check(["workloads", "-o", "json"], WorkloadList(workloads: [Samples.workload]))
            try await check(["capture", "list", "-o", "json"], CaptureList(captures: [Samples.capture]))
        }
    }

    @Test func `gives errors as JSON too`() async throws {
        let result = try await withAgent { weft, _ in await weft("services", "nothing", "--output", "json") }
        #expect(result.status == 1)
        #expect(result.output == "")
        let error = try APIJSON.decodeAnswer(ErrorBody.self, from: Array(result.error.utf8)).error
        #expect(error.code == "unknown_service")
    }

    // MARK: Resources

    @Test func `applies the files of a directory in their order, and shows every error with its place`() async throws {
        let agent = TestAgent()
        try await withAgent(agent) { weft, scratch in
            let made = await Program.run(["sh", "-c", "cd \(scratch) && echo 'kind: b' > b.yaml && echo 'kind: a' > a.yml && echo none > c.txt"])
            #expect(made.status == 0)
            let done = await weft("apply", "-f", scratch, "-n", "shop")
            #expect(done.output == "DestinationRule shop/reviews created\nDestinationRule shop/reviews created\n", "\(done.error)")
            #expect(agent.read(\.lastApply) == ApplyRequest(text: "kind: b\n", path: "\(scratch)/b.yaml", namespace: "shop"))
            agent.change { $0.applyErrors = ["x.yaml:3:1: unknown key `subset`, did you mean `subsets`?"] }
            let wrong = await weft("apply", "-f", "\(scratch)/b.yaml", "--dry-run")
            #expect(wrong.status == 1)
            #expect(wrong.error.hasPrefix("x.yaml:3:1: unknown key `subset`, did you mean `subsets`?\nerror: there is 1 error"), "\(wrong.error)")
        }
    }

    @Test func `waits for a rollout, and names the nodes that hold it up`() async throws {
        var state = TestAgent.State()
        state.rollout.resources[0].applied = 1
        state.rollout.resources[0].pending = [
            RolloutPending(node: "b", state: .refused, version: nil, reason: "node a has no right to write resources of namespace shop"),
            RolloutPending(node: "c", state: .invalid, version: "1764224000000-0-a", reason: "unknown key"),
        ]
        let result = try await withAgent(TestAgent(state)) { weft, _ in await weft("rollout", "status", "--timeout", "1s") }
        #expect(result.status == 75)
        expectSnapshot("\(result.output)--- standard error\n\(result.error)", "rollout-status-incomplete.txt")
    }

    @Test func `asks for new certificates`() async throws {
        let result = try await withAgent { weft, _ in await weft("certs", "--renew") }
        #expect(result.output == "asked for 2 certificates; `weft certs` shows them\n", "\(result.error)")
    }

    // MARK: Failures

    @Test(
        arguments: [
            (["services", "nothing"], 1, "there is no service nothing.default", "`weft services` lists them"),
            (["services", "No_Good"], 1, "is no service name", "write name or name.namespace"),
            (["join", "--token-file", "-"], 1, "expired 2 hours ago", "make a new one"),
            (["capture", "remove", "nothing"], 1, "unit nothing.service is not captured", "weft capture list"),
            (["token", "delete", "t9"], 1, "there is no token t9", "weft token list"),
            (["catalog", "diff", "x"], 1, "no node \"x\" is known here", "`weft members` lists the nodes"),
            (["delete", "dr", "nothing"], 1, "there is no such resource", "`weft get` lists"),
            (["delete", "dr", "reviews", "-n", "shop", "--resource-version", "1-0-a"], 1, "changed meanwhile", "look at it again with `weft get`"),
            (["get", "dr", "nothing"], 1, "there is no dr nothing in namespace default", "`weft get` lists"),
            (["apply", "-f", "/nonexistent"], 1, "cannot read /nonexistent: No such file", ""),
            (["apply"], 64, "Missing expected argument '--filename <path> ...'", ""),
            (["gossip", "key", "use", "dead"], 1, "not every live member has said which keys it has: c (no stream)", "use --force"),
            (["gossip", "key", "remove", "dead"], 1, "c (no stream)", "use --force"),
            (["gossip", "kye", "list"], 64, "no command `weft gossip kye`", "did you mean `weft gossip key`?"),
            (["statsu"], 64, "no command `weft statsu`", "did you mean `weft status`?"),
            (["status", "--soket", "x"], 64, "Unknown option '--soket'", "Did you mean '--socket'"),
            (["connections", "--limit", "0"], 64, "--limit must be 1 to 10000", ""),
            (["service", "register", "reviews"], 64, "Missing expected argument '--port <port>'", ""),
            (["service", "register", "Reviews", "--port", "80"], 64, "is no service name", ""),
            (["token", "create", "--node", "b", "--expires", "soon"], 64, "'soon' is invalid for '--expires", ""),
            (["join", "token", "--token-file", "x"], 64, "not both", ""),
            (["join", "--token-file", "/nonexistent"], 1, "cannot read the token from /nonexistent: No such file", ""),
            (["capture", "ready", "a", "--timeout", "1h"], 64, "300 seconds at most", ""),
        ] as [([String], Int32, String, String)])
    func `tells cause and remedy on standard error, and the kind by exit status`(
        _ arguments: [String], _ status: Int32, _ cause: String, _ remedy: String
    ) async throws {
        let result = try await withAgent { weft, _ in await weft.run(arguments, input: "expired") }
        #expect(result.status == status, "\(result)")
        #expect(result.output == "")
        #expect(result.error.contains(cause), "\(result.error)")
        #expect(result.error.contains(remedy), "\(result.error)")
    }

    @Test func `says on a terminal how far an order about keys is`() async throws {
        var state = TestAgent.State()
        state.keyDelay = .seconds(3)
        let result = try await withAgent(TestAgent(state)) { _, directory in
            await Program.run(["script", "-qec", "\(WeftProgram.path) gossip key add --socket \(directory)/s", "/dev/null"], input: "")
        }
        #expect(result.status == 0 && result.output.contains("\r1 of 3 nodes") && result.output.contains("\u{1b}[K"), "\(result)")
        #expect(result.output.contains("0123456789abcdef\r\n"), "\(result)")
    }

    @Test func `names the nodes that failed an order about keys, and fails itself`() async throws {
        var state = TestAgent.State()
        state.keyReport.done = 2
        state.keyReport.failures = [Samples.keyFailure]
        (state.keys.failures, state.keys.nodes) = ([Samples.keyFailure], 4)
        let agent = TestAgent(state)
        try await withAgent(agent) { weft, _ in
            let key = "AAECAwQFBgcICQoLDA0ODw=="
            let added = await weft("gossip", "key", "add", "-", input: "\(key)\n")
            #expect(added.status == 1 && added.output == "0123456789abcdef\n" && added.error.contains("2 of 3 nodes added it"), "\(added)")
            #expect(added.error.contains("c? has not got the key: there is no stream to node c\nhint: `weft members`") && !added.error.contains("\u{1b}"), "\(added)")
            #expect(agent.read(\.lastKey)?.key == key && !added.error.contains(key) && !added.error.contains("`ps`"))
            let shown = await weft("gossip", "key", "add", key)
            #expect(shown.error.contains("every user of this host could see the key in `ps`"))
            let listed = await weft("gossip", "key", "list")
            #expect(listed.status == 1 && listed.output.contains("3 of 4") && listed.error.contains("c? did not say which keys it has"), "\(listed)")
            let json = await weft("gossip", "key", "use", "0123", "--output", "json")
            #expect(json.status == 1 && json.error.hasPrefix("{\"error\"") && json.error.contains("nodes_failed"), "\(json)")
            let report = try APIJSON.decodeAnswer(GossipKeyReport.self, from: Array(json.output.utf8))
            #expect(report.failures.count == 1)
            #expect(await weft("gossip", "key", "add", "-", input: "two words").status == 64)
        }
    }

    @Test func `says where it looked when no agent runs`() async {
        let scratch = Scratch()
        let path = "\(scratch.path)/none"
        let result = await WeftProgram()("status", "--socket", path)
        #expect(result.status == 69)
        #expect(result.error.contains("weftd is not running at \(path)"))
        #expect(result.error.contains("is weft.service started (`systemctl status weft`)? choose another agent with --socket or WEFT_SOCKET"))
        let ready = await WeftProgram()("capture", "ready", "web", "--allow-without-agent", "--socket", path)
        #expect(ready.status == 0)
        #expect(ready.error.contains("web starts without the mesh"))
        #expect(await WeftProgram()("capture", "ready", "web", "--socket", path).status == 69)
        let version = await WeftProgram()("version", "--socket", path)
        #expect(version.status == 69)
        #expect(version.output == "weft   \(WeftVersion.current)\n")
    }

    @Test(arguments: [("capture_off", true), ("not_member", true), ("capture_stopped", true), ("capture_refused", false)])
    func `lets a unit start that would not be captured anyway, and no unit that is refused`(code: String, starts: Bool) async throws {
        var state = TestAgent.State()
        state.captureRefusal = APIError(.conflict, code: code, "the reason", remedy: "")
        try await withAgent(TestAgent(state)) { weft, _ in
            let allowed = await weft("capture", "ready", "web", "--allow-without-agent")
            #expect(allowed.status == (starts ? 0 : 1) && allowed.error.contains("the reason: web starts without the mesh") == starts, "\(allowed)")
            #expect(await weft("capture", "ready", "web").status == 1)
        }
    }

    @Test(.enabled(if: geteuid() == 0, "needs root to run the program as another user"))
    func `names the group when the socket may not be opened`() async throws {
        let scratch = Scratch()
        let socket = "\(scratch.path)/s"
        for (group, hint) in [("users", "join group users for reading, and weft-admin too for changes"), ("weft-no-such-group", "hint: use sudo\n")] {
            let result = try await withServer(socket: socket, policy: AccessPolicy(readers: group)) { _ in
                await WeftProgram(socket: socket).run(["status"], prefix: ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"])
            }
            #expect(result.status == 77, "\(result)")
            #expect(result.error.contains(hint), "\(result.error)")
        }
    }

    @Test(.enabled(if: geteuid() == 0, "needs root to run the program as another user"))
    func `passes the agent's refusal on`() async throws {
        try await withAgent { weft, scratch in
            chmod("\(scratch)/s", 0o666)
            let result = await weft.run(["reload"], prefix: ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"])
            #expect(result.status == 77)
            #expect(result.error.contains("needs root or group weft-admin"), "\(result.error)")
        }
    }

    @Test func `gives up on an agent that closes without an answer`() async throws {
        let scratch = Scratch()
        let socket = "\(scratch.path)/s"
        let listener = try await Self.closeEveryConnection(socket)
        defer { shutdown(listener, CInt(SHUT_RDWR)) }
        let result = await WeftProgram(socket: socket)("status")
        #expect(result.status == 69)
        #expect(result.error.contains("closed the connection without an answer"), "\(result.error)")
    }

    // MARK: Commands

    @Test func `fails a check of the status unless the agent is ready`() async throws {
        #expect(try await withAgent { weft, _ in await weft("status", "--check").status } == 0)
        var state = TestAgent.State()
        state.status = Samples.uninitialised
        let result = try await withAgent(TestAgent(state)) { weft, _ in await weft("status", "--check") }
        #expect(result.status == 1)
        #expect(result.output.contains("uninitialised"))
    }

    @Test func `shows every error of a reload and fails`() async throws {
        var state = TestAgent.State()
        state.reload = ReloadReport(
            changed: [], needsRestart: [], errors: ["/etc/weft/weft.yaml:3:1: unknown key \"nod\"; did you mean \"node\"?", "b:1:2: c"])
        let result = try await withAgent(TestAgent(state)) { weft, _ in await weft("reload") }
        #expect(result.status == 1)
        #expect(result.output == "")
        #expect(result.error.contains("/etc/weft/weft.yaml:3:1: unknown key"))
        #expect(result.error.contains("the configuration has 2 errors; the running one stays"))
    }

    @Test func `reads a token from wherever it is not seen`() async throws {
        let agent = TestAgent()
        try await withAgent(agent) { weft, scratch in
            func joined(_ arguments: [String], _ environment: [String: String] = [:], _ input: String? = nil) async -> (String?, String) {
                agent.change { $0.lastJoin = nil }
                let result = await weft.run(["join"] + arguments, environment: environment, input: input)
                return (agent.read(\.lastJoin)?.token, result.error)
            }
            let file = "\(scratch)/token"
            let fd = open(file, O_WRONLY | O_CREAT, 0o600)
            #expect(write(fd, "from-file\n", 10) == 10)
            close(fd)
            #expect(await joined(["--token-file", file]) == ("from-file", ""))
            #expect(await joined(["--token-file", "-"], [:], "from-input\n") == ("from-input", ""))
            #expect(await joined(["-"], [:], " from-dash ") == ("from-dash", ""))
            #expect(await joined([], ["WEFT_TOKEN": "from-environment"]) == ("from-environment", ""))
            #expect(await joined([], [:], "from-pipe") == ("from-pipe", ""))
            let (token, warning) = await joined(["from-argument"])
            #expect(token == "from-argument")
            #expect(warning.contains("could be seen in ps"))
            #expect(await joined([], [:], "").1.contains("is empty"))
            #expect(await joined([], [:], "two words").1.contains("is not one word"))
            #expect(await joined(["--token-file", "/dev/zero"]).1.contains("more than"))
        }
    }

    @Test func `prints a token alone, so that it can be piped`() async throws {
        let agent = TestAgent()
        let result = try await withAgent(agent) { weft, _ in
            await weft(
                "token", "create", "--node", "b", "--allow", "shop/web", "--allow", "ns/a/sa/*", "--expires", "2h", "--address", "192.0.2.1:15008")
        }
        #expect(result.output == "weft-join-1.secret\n")
        #expect(
            agent.read(\.lastToken)
                == TokenRequest(node: "b", allow: ["ns/shop/sa/web", "ns/a/sa/*"], expiresSeconds: 7200, addresses: ["192.0.2.1:15008"]))
    }

    @Test func `registers a service with everything that was said`() async throws {
        let agent = TestAgent()
        let result = try await withAgent(agent) { weft, _ in
            await weft(
                "service", "register", "reviews.shop", "--port", "80", "--target-port", "8080", "--address", "::1", "--account", "web",
                "--endpoint-version", "v2", "--weight", "5", "--label", "a=b", "--label", "c=d=e", "--no-health-check", "--check", "none")
        }
        #expect(result.status == 0, "\(result.error)")
        #expect(
            agent.read(\.lastRegistration)
                == ServiceRegistration(
                    name: "reviews", namespace: "shop", port: 80, address: "::1", targetPort: 8080, account: "web", version: "v2", weight: 5,
                    labels: ["a": "b", "c": "d=e"], healthCheck: false, check: "none"))
    }

    @Test func `sends a heartbeat, and shows why an endpoint is unhealthy`() async throws {
        let agent = TestAgent()
        agent.change { state in
            state.services[0].endpoints[0].check = "exec"
            state.services[0].endpoints[0].failure = "/usr/lib/check ended with status 2"
            state.services[0].endpoints[0].output = "one\ntwo\u{1b}[31m\n"
        }
        try await withAgent(agent) { weft, _ in
            let sent = await weft("service", "heartbeat", "reviews", "--status", "failing", "--note", "disk full", "--address", "192.0.2.1:9080")
            #expect(sent.output == "reviews.default at 192.0.2.1:9080 is unhealthy; the next heartbeat is due within 30000 ms\n", "\(sent.error)")
            #expect(await weft("service", "heartbeat", "reviews", "--status", "fine").status == 64)
            let shown = await weft("services", "reviews")
            #expect(shown.output.hasSuffix("\n192.0.2.1:9080 fails its exec check: /usr/lib/check ended with status 2\n    one\n    two?[31m\n"), "\(shown.output)")
        }
        #expect(agent.read(\.lastHeartbeat) == HeartbeatRequest(status: .failing, note: "disk full", address: "192.0.2.1:9080"))
    }

    @Test func `installs a captured unit's drop-in and takes it away again`() async throws {
        try await withAgent { weft, scratch in
            let path = "\(scratch)/systemd/web.service.d/50-weft.conf"
            mkdir("\(scratch)/systemd", 0o755)
            let options = ["--systemd-directory", "\(scratch)/systemd"]
            let tried = await weft.run(["capture", "add", "web", "--dry-run"] + options)
            #expect(tried.output == "would capture unit web.service as default/web: waiting, it is not running\n")
            #expect(tried.error.contains("would write \(path)"))
            #expect(contents(path) == nil)

            let added = await weft.run(["capture", "add", "web"] + options)
            #expect(added.status == 0, "\(added.error)")
            #expect(added.output == "captures unit web.service as default/web: waiting, it is not running\n")
            #expect(added.error.contains("wrote \(path)"))
            #expect(contents(path)?.contains("ExecStartPre=+/usr/bin/weft capture ready %n") == true)

            let removed = await weft.run(["capture", "remove", "web"] + options)
            #expect(removed.status == 0, "\(removed.error)")
            #expect(removed.error.contains("removed \(path)"))
            #expect(access("\(scratch)/systemd/web.service.d", F_OK) != 0)

            #expect(await weft.run(["capture", "add", "shop.slice"] + options).status == 0)
            #expect(await weft.run(["capture", "add", "api", "--no-drop-in"] + options).status == 0)
            #expect(access("\(scratch)/systemd/api.service.d", F_OK) != 0)
            let refused = await weft.run(["capture", "add", "api", "--systemd-directory", "/proc/nowhere"])
            #expect(refused.status == 1)
            #expect(refused.error.contains("api.service is captured, but its drop-in is not installed"), "\(refused.error)")
        }
    }

    @Test func `waits for a capture as long as it was told`() async throws {
        var state = TestAgent.State()
        state.captureDelay = .milliseconds(300)
        let agent = TestAgent(state)
        try await withAgent(agent) { weft, _ in
            #expect(await weft("capture", "ready", "web.service").status == 0)
            agent.change { $0.captureDelay = .seconds(30) }
            let late = await weft("capture", "ready", "web.service", "--timeout", "1s")
            #expect(late.status == 75)
            #expect(late.error.contains("web.service was not captured within 1 s"))
        }
    }

    @Test(arguments: [false, true])
    func `shows changes of members as they come, until the agent stops`(asJSON: Bool) async throws {
        let agent = TestAgent()
        let watching = try await withAgent(agent) { weft, _ in
            let watching = Task { await weft.run(["members", "--watch"] + (asJSON ? ["--output", "json"] : [])) }
            for number in 1...2 {
                while agent.read(\.changesRead) < number { try await Task.sleep(for: .milliseconds(10)) }
                agent.change { state in
                    var change = Samples.change
                    change.number = UInt64(number)
                    state.changes.append(change)
                }
            }
            while agent.read(\.changesRead) < 3 { try await Task.sleep(for: .milliseconds(10)) }
            return watching
        }
        let result = await watching.value
        #expect(result.status == 69)
        #expect(result.error.contains("the agent has stopped, or left its mesh"), "\(result.error)")
        let lines = result.output.split(separator: "\n").map(String.init)
        guard asJSON else {
            let line = "2026-01-01T00:00:00.000Z  b (192.0.2.2:7946) died: suspected by a, c and not refuted"
            return #expect(lines == [line, line])
        }
        let changes = try lines.map { try APIJSON.decodeAnswer(MemberChange.self, from: Array($0.utf8)) }
        #expect(changes.map(\.number) == [1, 2] && changes.allSatisfy { $0.suspectedBy == ["a", "c"] })
    }

    @Test func `says that two nodes know the same`() async throws {
        var state = TestAgent.State()
        state.diff = CatalogDiff(node: "a", peer: "b", equal: 3, differences: [])
        let result = try await withAgent(TestAgent(state)) { weft, _ in await weft("catalog", "diff", "b") }
        #expect(result.output == "a and b know the same of 3 nodes\n")
    }

    @Test func `takes the option before the environment`() async throws {
        try await withAgent { weft, _ in
            let socket = weft.socket ?? ""
            #expect(await WeftProgram()("version", "--socket", socket, environment: ["WEFT_SOCKET": "/nonexistent"]).status == 0)
            #expect(await WeftProgram()("version", environment: ["WEFT_SOCKET": socket]).status == 0)
        }
    }

    /// Listens on `path`, reads what comes and closes; ends when the returned socket is shut down.
    private static func closeEveryConnection(_ path: String) async throws -> CInt {
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path.utf8) }
        let fd = socket(AF_UNIX, CInt(SOCK_STREAM.rawValue), 0)
        let bound = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { bind(fd, $0, socklen_t(MemoryLayout<sockaddr_un>.size)) }
        }
        try #require(bound == 0 && listen(fd, 5) == 0)
        Program.onThread {
            while true {
                let client = accept(fd, nil, nil)
                guard client >= 0 else { break }
                var buffer = [UInt8](repeating: 0, count: 4096)
                _ = read(client, &buffer, buffer.count)
                close(client)
            }
            close(fd)
        }
        return fd
    }
}
