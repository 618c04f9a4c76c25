import Glibc
import ManagementAPI
import Testing

extension Lab {
    @Suite("An agent that is gone")
    struct AgentExitTests {
        /// What a captured process gets from `attempt.py`: how a name resolves or a connection ends, and the milliseconds that it took.
        private func attempt(_ host: LabHost, _ workload: String?, _ target: String...) throws -> (result: String, milliseconds: Double) {
            let words = try host.python(workload, "attempt.py", target.joined(separator: ",")).split { $0 == " " || $0 == "\n" }
            guard words.count == 2, let milliseconds = Double(words[1]) else { throw LabFailure("attempt.py \(target) said \(words)") }
            return (String(words[0]), milliseconds)
        }

        @Test("kill -9 under load, bypass: real addresses are direct within 100 ms, mesh names fail at once, a restart repairs it")
        func bypass() throws {
            try LabNetwork.with { network in
                let (a, b) = try LabMesh.pair(network)
                _ = try b.serve(nil, "echo.py", "7000", "plain")
                let load = try Stream(a, "web", to: "reviews", 9080, clients: 6, pause: 0)
                let probe = try Stream(a, "web", to: b.address, 7000, clients: 1, pause: 0.001)
                try load.succeeds(50)
                try probe.succeeds(50)
                let virtual = try a.run("web", "getent", "ahostsv4", "reviews").out.split(separator: " ").first.map(String.init) ?? ""

                let killed = try a.killAgent()
                usleep(700_000)
                let after = try probe.calls().filter { $0.ended > killed }
                let lastFailure = after.filter(\.failed).map(\.ended).max() ?? killed
                let firstDirect = after.filter { $0.started > killed && !$0.failed }.map(\.ended).min() ?? .infinity
                print("killed: first direct call done after \(firstDirect - killed) s, last failure after \(lastFailure - killed) s; \(after.count) calls since")
                #expect(firstDirect - killed < 0.1)
                #expect(lastFailure - killed < 0.1)
                #expect(after.filter { $0.started > killed + 0.1 }.count > 50 && after.allSatisfy { $0.started < killed + 0.1 || !$0.failed })

                // The one that was under way ended with the agent; it did not wait for an answer that cannot come.
                let cut = try load.calls().filter { $0.started <= killed && $0.ended > killed }
                #expect(cut.allSatisfy { $0.ended < killed + 0.3 }, "\(cut)")
                let name = try attempt(a, "web", "name", "reviews")
                #expect(name.result == "unknown" && name.milliseconds < 500, "\(name)")
                let address = try attempt(a, "web", "tcp", virtual, "9080")
                #expect(address.result == "ECONNREFUSED" && address.milliseconds < 100, "\(virtual): \(address)")
                #expect(try attempt(a, "web", "name", "outside.example").result == "192.0.2.80")
                let rules = try a.shell("nft list ruleset")
                #expect(!rules.contains("redirect to") && rules.contains("table inet weft-guard") && !rules.contains("table inet weft {"))

                try a.startAgent()
                let back = Clock.now
                try load.succeeds(since: back)
                try probe.succeeds(since: back)
                #expect(try a.shell("nft list ruleset").contains("redirect to"))
            }
        }

        @Test("kill -9, block: captured processes are refused, others are not, a restart repairs it")
        func block() throws {
            try LabNetwork.with { network in
                let (a, b) = try LabMesh.pair(network, capture: "onAgentExit:\n  outbound: block")
                _ = try b.serve(nil, "echo.py", "7000", "plain")
                #expect(try attempt(a, "web", "tcp", b.address, "7000").result == "connected")
                try a.killAgent()
                for target in [b.address, b.addressV6] {
                    let refused = try attempt(a, "web", "tcp", target, "7000")
                    #expect(refused.result == "ECONNREFUSED" && refused.milliseconds < 100, "\(target): \(refused)")
                    #expect(try attempt(a, nil, "tcp", target, "7000").result == "connected")
                }
                try a.startAgent()
                // The agent answers before it captures; until then they stay refused.
                try Clock.until("captured processes connect again") { try attempt(a, "web", "tcp", b.address, "7000").result == "connected" }
                try Clock.until("names work again") { try a.run("web", "curl", "-sS", "--max-time", "5", "http://reviews:9080/").succeeded }
            }
        }

        @Test("nobody who binds the proxy's port while the agent is dead gets a connection")
        func foreignListener() throws {
            try LabNetwork.with { network in
                let (a, b) = try LabMesh.pair(network)
                _ = try b.serve(nil, "echo.py", "7000", "plain")
                let virtual = try a.run("web", "getent", "ahostsv4", "reviews").out.split(separator: " ").first.map(String.init) ?? ""
                try a.killAgent()
                let thief = try a.serve(nil, "echo.py", "16001", "thief")
                for target in [("tcp", virtual, "9080"), ("tcp", b.address, "7000"), ("tcp", "127.0.0.1", "16001"), ("tcp", "::1", "16001")] {
                    let result = try attempt(a, "web", target.0, target.1, target.2)
                    #expect(result.result == (target.1 == b.address ? "connected" : "ECONNREFUSED"), "\(target): \(result)")
                }
                #expect(try attempt(b, nil, "tcp", a.address, "16001").result == "ECONNREFUSED")
                #expect(try a.run("web", "curl", "-sS", "--max-time", "5", "http://\(b.address):7000/").out.contains("from plain"))
                thief.end()
            }
        }

        @Test("flows that run go on while an agent that stops drains")
        func drain() throws {
            try LabNetwork.with { network in
                let (a, b) = try LabMesh.pair(network)
                let script = """
                    import socket, time
                    c = socket.create_connection(("reviews", 9080), timeout=10); c.sendall(b"echo\\n"); print("ready", flush=True)
                    while True: c.sendall(b"x"); assert c.recv(1) == b"x"; print(time.monotonic(), flush=True); time.sleep(0.05)
                    """
                let client = try a.start("web", network.python, "-IBSc", script)
                try client.says("ready")
                try Clock.until("bytes go to and fro") { client.out.split(separator: "\n").count > 5 }
                let time = Clock.now
                let status = try a.stopAgent()
                let echoes = client.out.split(separator: "\n").compactMap { Double($0) }.filter { $0 > time + 0.5 }
                #expect(status == 0 && echoes.count > 10, "\(echoes.count) answers while it drained; \(client.errors)")
                #expect(try a.shell("nft list ruleset").isEmpty)
                #expect(try b.ask(Status.self, "status").state == .ready)
            }
        }

        @Test("a second SIGTERM ends the draining, and leaves no table, rule or route")
        func twice() throws {
            try LabNetwork.with { network in
                let (a, _) = try LabMesh.pair(network, extra: "timeouts:\n  drain: 60s\n")
                let held = try a.start("web", "bash", "-c", "exec 3<>/dev/tcp/reviews/9080 && echo ready && sleep 600")
                try held.says("ready")
                a.agent?.signal(SIGTERM)
                try Clock.until("it drains") { try a.shell("nft list tables") == "table inet weft-guard\n" }
                #expect(try a.stopAgent(seconds: 5) == 0)
                try expectNothing(a)
            }
        }

        /// No table, rule or route of Weft's is in the host's kernel.
        private func expectNothing(_ host: LabHost) throws {
            #expect(try host.shell("nft list ruleset").isEmpty)
            let routing = try host.shell("ip rule; ip -6 rule; ip route show table all; ip -6 route show table all")
            for word in ["240.240.", "fd77:", "fwmark", "1650"] { #expect(!routing.contains(word), "\(host.name): \(word) in \(routing)") }
        }

        @Test("an orderly stop leaves no table, rule, route or socket file, and a restart under load serves again")
        func restart() throws {
            try LabNetwork.with { network in
                let (a, b) = try LabMesh.pair(network)
                let load = try Stream(a, "web", to: "reviews", 9080, clients: 4)
                try load.succeeds(20)
                for host in [b, a] {
                    #expect(try host.stopAgent() == 0, "\(host.agentLog.suffix(500))")
                    try expectNothing(host)
                    #expect(!Files.exists(host.socket))
                    try host.startAgent()
                    try load.succeeds(since: Clock.now)
                }
                #expect(try a.ask(Status.self, "status").state == .ready)
                load.end()
            }
        }
    }
}
