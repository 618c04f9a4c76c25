import FoundationEssentials
import Glibc
import ManagementAPI
import Testing

extension Lab {
    @Suite("Plaintext from a host without Weft")
    struct InboundTests {
        /// b serves `reviews` in a mesh of its own; c is no member of any.
        private func stranger(_ network: LabNetwork, server: String = "echo.py") throws -> (b: LabHost, c: LabHost) {
            let b = try network.host("b", workloads: ["reviews"])
            let c = try network.host("c")
            try b.declare("reviews")
            if server == "quiet.py" { _ = try b.serve("reviews", server, "serve", "9080") } else { _ = try b.serve("reviews", server, "9080") }
            return (b, c)
        }

        private func captures(_ b: LabHost) throws {
            try LabMesh.form([b])
            try Clock.until("its endpoint is led to the agent") { try b.shell("nft list set inet weft endpoints-v4").contains("9080") }
        }

        private func get(_ host: LabHost, _ address: String, seconds: Int = 5) throws -> Program.Output {
            try host.run(nil, "curl", "-sS", "--max-time", "\(seconds)", "http://\(address):9080/")
        }

        @Test("passes through the agent to the application, which sees the client's own address")
        func served() throws {
            try LabNetwork.with { network in
                let (b, c) = try stranger(network)
                try captures(b)
                #expect(try get(c, b.address).out == "plaintext-answer from echo to \(c.address)\n")
                let flows = try b.connections().filter { $0.direction == "inbound" }
                #expect(flows.count == 1 && flows[0].destination == "\(b.address):9080" && flows[0].source.hasPrefix("\(c.address):"), "\(flows)")
                #expect(flows.first?.end == "completed" && flows.first?.destinationIdentity == LabHost.identity("reviews") && flows.first?.security == "none")
                // What is on this host goes straight.
                #expect(try get(b, b.address).out == "plaintext-answer from echo to \(b.address)\n")
                #expect(try b.connections().count { $0.direction == "inbound" } == 1)
            }
        }

        @Test("is let in by the host's own firewall as its rules say: by the application's port and the client's address")
        func firewall() throws {
            try LabNetwork.with { network in
                let (b, c) = try stranger(network)
                let other = try network.host("d")
                try b.shell(
                    """
                    nft 'table inet firewall { chain input { type filter hook input priority filter; policy drop; ct state established,related accept;
                        iifname lo accept; ip saddr \(c.address) tcp dport 9080 accept; meta l4proto ipv6-icmp accept; }; }'
                    """)
                try captures(b)
                #expect(try get(c, b.address).out == "plaintext-answer from echo to \(c.address)\n")
                #expect(try get(other, b.address, seconds: 2).status == 28, "curl's time has run out")
                for port in [16001, 16006] {
                    #expect(try !c.run(nil, "curl", "-sS", "--max-time", "2", "http://\(b.address):\(port)/").succeeded)
                }
                #expect(try b.connections().filter { $0.direction == "inbound" }.map { $0.end } == ["completed"])
            }
        }

        @Test("goes on when it is older than the agent, and while an agent that stops drains; then nothing of the agent is left")
        func older() throws {
            try LabNetwork.with { network in
                let (b, c) = try stranger(network)
                let script = """
                    import socket, time
                    c = socket.create_connection(("\(b.address)", 9080), timeout=5); c.sendall(b"echo\\n"); print("ready", flush=True)
                    while True: c.sendall(b"x"); assert c.recv(1) == b"x"; print(time.monotonic(), flush=True); time.sleep(0.05)
                    """
                func echoes(_ program: Program, since time: Double) -> Int { program.out.split(separator: "\n").compactMap { Double($0) }.count { $0 > time } }
                let early = try c.start(nil, network.python, "-IBSc", script)
                try early.says("ready")
                try captures(b)
                let captured = Clock.now
                try Clock.until("the older one goes on") { echoes(early, since: captured) > 10 }
                let late = try c.start(nil, network.python, "-IBSc", script)
                try late.says("ready")
                try Clock.until("the new one passes through the agent") { try b.connections().count { $0.direction == "inbound" && $0.end == nil } == 1 }

                let time = Clock.now
                #expect(try b.stopAgent() == 0)
                let end = Clock.now
                try Clock.until("the older one still goes on") { echoes(early, since: end) > 5 }
                #expect(early.status == nil)
                let drained = late.out.split(separator: "\n").compactMap { Double($0) }.count { $0 > time + 0.5 && $0 < end }
                #expect(drained > 10, "\(drained) answers while it drained; \(late.errors)")
                #expect(try b.shell("nft list ruleset").isEmpty)
                let routing = try b.shell("ip rule; ip -6 rule; ip route show table all; ip -6 route show table all")
                for word in ["fwmark", "1650", "240.240."] { #expect(!routing.contains(word), "\(word) in \(routing)") }
                #expect(try get(c, b.address).out == "plaintext-answer from echo to \(c.address)\n")
            }
        }

        @Test("2,500 live connections of one client to one endpoint do not meet those in which the agent shows the client's address")
        func ports() throws {
            try LabNetwork.with { network in
                let (b, c) = try stranger(network, server: "many.py")
                try captures(b)
                let storm = try c.serve(nil, "storm.py", b.address, "9080", "2500", "2500", "1", seconds: 20)
                let result = try storm.wait(seconds: 60)
                let counts = try JSONDecoder().decode(Counts.self, from: Data((result.out.split(separator: "\n").last ?? "").utf8))
                #expect(counts.answered == 2500 && counts.peak == 2500, "\(result.out)")
                try Clock.until("all are in the access log") { try b.flows().count { $0.direction == "inbound" } == 2500 }

                // More than there are ports above the range that kernels give away.
                let many = try c.serve(nil, "storm.py", b.address, "9080", "6000", "100", "1").wait(seconds: 60)
                #expect(try JSONDecoder().decode(Counts.self, from: Data((many.out.split(separator: "\n").last ?? "").utf8)).answered == 6000)
                #expect(!b.agentLog.contains("client_ports"), "\(b.agentLog.suffix(2000))")
            }
        }

        @Test("comes from the node's own address when the client's has no port left, which is logged, and from the client's once there is one")
        func noPort() throws {
            try LabNetwork.with { network in
                let (b, c) = try stranger(network)
                // Nothing below, one port above.
                try b.shell("sysctl -qw net.ipv4.ip_local_port_range='1024 65534'")
                try captures(b)
                func hello() throws -> Program {
                    let script = "import socket, time; c = socket.create_connection((\"\(b.address)\", 9080), 5); c.sendall(b\"hello\\n\"); print(c.recv(100).decode(), flush=True); time.sleep(60)"
                    return try c.start(nil, network.python, "-IBSc", script)
                }
                let first = try hello()
                try first.says("echo \(c.address)")
                let second = try hello()
                try second.says("echo \(b.address)")
                #expect(b.agentLog.contains("client_ports"))
                for program in [first, second] { program.end() }
                try Clock.until("both have ended") { try b.connections().allSatisfy { $0.end != nil } }
                try hello().says("echo \(c.address)")
            }
        }
        struct Counts: Decodable {
            let answered: Int
            let peak: Int
        }

        @Test("arrives although it was quiet for longer than the host remembers connections, half-closed or not")
        func quiet() throws {
            try LabNetwork.with { network in
                let (b, c) = try stranger(network, server: "quiet.py")
                try b.declare("reviews6", workload: "reviews", address: b.addressV6)
                try b.forgetConnections(after: 2)
                try captures(b)
                for address in [b.address, b.addressV6] {
                    #expect(try c.quietCalls(nil, address, 9080, seconds: 4.5) == LabHost.allCameThrough, "\(address)")
                }
                // A fifth connection asks what had arrived.
                try Clock.until("all have passed through the agent") { try b.flows().count { $0.direction == "inbound" && $0.reason == "completed" } == 10 }
            }
        }
    }

    @Suite("Flows that are quiet")
    struct QuietTests {
        @Test("what a captured process sent and gets arrives although all was quiet for longer than the hosts remember connections, half-closed or not")
        func outbound() throws {
            try LabNetwork.with { network in
                let a = try network.host("a", workloads: ["web"])
                let b = try network.host("b", workloads: ["reviews"])
                try b.declare("reviews")
                _ = try b.serve("reviews", "quiet.py", "serve", "9080")
                _ = try b.serve(nil, "quiet.py", "serve", "7000")
                for host in [a, b] { try host.forgetConnections(after: 2) }
                try LabMesh.form([a, b])
                try Clock.until("reviews is usable from a") { try a.usable("reviews") == 1 }
                try LabMesh.certified([a, b])
                #expect(try a.quietCalls("web", "reviews", 9080, seconds: 4.5) == LabHost.allCameThrough, "through a tunnel")
                for address in [b.address, b.addressV6] {
                    #expect(try a.quietCalls("web", address, 7000, seconds: 4.5) == LabHost.allCameThrough, "passed through to \(address)")
                }
            }
        }
    }
}

extension LabHost {
    /// How long this host's conntrack remembers quiet TCP connections, in seconds.
    fileprivate func forgetConnections(after seconds: Int) throws {
        try shell("for s in established fin_wait close_wait; do sysctl -qw net.netfilter.nf_conntrack_tcp_timeout_$s=\(seconds); done")
    }

    fileprivate static let allCameThrough = ["client": true, "server": true, "ended": true, "answered": true]

    /// `quiet.py`: which kinds of quiet connections came through.
    fileprivate func quietCalls(_ workload: String?, _ host: String, _ port: Int, seconds: Double) throws -> [String: Bool] {
        try JSONDecoder().decode([String: Bool].self, from: Data(try python(workload, "quiet.py", "call", host, "\(port)", "\(seconds)").utf8))
    }
}
