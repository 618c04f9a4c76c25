import Glibc
import ManagementAPI
import Testing

extension Lab {
    @Suite("Who calls")
    struct FlowIdentityTests {
        @Test("5,000 live flows of two workloads to 800 destinations from colliding source ports: each has the right identity on both sides")
        func collidingPorts() throws {
            try LabNetwork.with { network in
                let a = try network.host("a", workloads: ["first", "second"])
                let b = try network.host("b", workloads: ["many"])
                try a.shell("ip route add 10.97.0.0/16 via \(b.address)")
                try b.shell("ip route add local 10.97.0.0/16 dev lo")
                var declarations: [String] = []
                for number in 0..<800 {
                    declarations.append("service: many\nworkload: many\nport: 7100\naddress: 10.97.\(number >> 8).\(number & 255)\ncheck: {tcp: false}\n")
                }
                try Files.write("\(b.directory)/services.d/many.yaml", declarations.joined(separator: "---\n"))
                _ = try b.serve("many", "many.py", "7100")
                try LabMesh.form([a, b])
                try Clock.until("800 endpoints are usable from a") { try a.usable("many") == 800 }
                try LabMesh.certified([a, b])

                let start = Clock.now
                let scripts = [network.program("flows.py"), a.address]
                let first = try a.start("first", network.python, "-IBS", scripts[0], scripts[1], "0", "2500")
                let second = try a.start("second", network.python, "-IBS", scripts[0], scripts[1], "1", "2500")
                for program in [first, second] { try program.says("ready", seconds: 60) }
                print("5,000 flows opened in \(Int((Clock.now - start) * 1000)) ms")

                var expected: [String: String] = [:]
                for (program, account) in [(first, "first"), (second, "second")] {
                    for line in program.out.split(separator: "\n") where line != "ready" {
                        let words = line.split(separator: " ")
                        expected["\(a.address):\(words[0]) \(words[1]):7100"] = LabHost.identity(account)
                    }
                }
                #expect(expected.count == 5000)
                for (host, direction) in [(a, "outbound"), (b, "tunnel")] {
                    let flows = try host.connections(limit: 10_000).filter { $0.end == nil && $0.direction == direction }
                    let found = Dictionary(flows.map { ("\($0.source) \($0.destination)", $0.sourceIdentity) }) { one, other in one == other ? one : "both \(one) and \(other)" }
                    #expect(flows.count == 5000, "\(host.name)")
                    let wrong = expected.filter { found[$0.key] != $0.value }
                    #expect(wrong.isEmpty, "\(host.name): \(wrong.count), as \(wrong.first.map { "\($0), not \(found[$0.key] ?? "nobody")" } ?? "")")
                    #expect(flows.allSatisfy { $0.security == "mutual_tls" && $0.destinationIdentity == LabHost.identity("many") })
                }
                // The kernel had to give many another port towards the proxy: what the test is about.
                // (sport of the caller's direction, and dport of the answer's.)
                let renamed = try a.shell("conntrack -L -p tcp --orig-port-dst 7100 2>/dev/null | awk '{sub(/.*=/, \"\", $7); sub(/.*=/, \"\", $12); n += $7 != $12} END {print n + 0}'")
                let count = Int(renamed.split(separator: "\n").first ?? "") ?? 0
                print("flows whose source port the kernel changed: \(count)")
                #expect(count > 1000)
            }
        }

        @Test("a redirected connection whose caller is in no captured cgroup is refused and counted, never given an identity")
        func unknownCaller() throws {
            try LabNetwork.with { network in
                let (a, b) = try LabMesh.pair(network)
                _ = try b.serve(nil, "echo.py", "7000", "plain")
                // Somebody else's rule leads an uncaptured process to the proxy.
                try a.shell("nft add table inet other; nft 'add chain inet other output { type nat hook output priority -90; }'; nft add rule inet other output tcp dport 7000 redirect to :16001")
                let result = try a.run(nil, "curl", "-sS", "--max-time", "5", "http://\(b.address):7000/")
                #expect(!result.succeeded && result.out.isEmpty)
                try Clock.until("it is counted") { try a.metric("weft_flow_ends_total", ["reason": "unknown_caller"]) ?? 0 >= 1 }
                let flow = try #require(try a.connections().first { $0.end == "unknown_caller" })
                #expect(flow.sourceIdentity.isEmpty && flow.workload.isEmpty && !flow.hint.isEmpty)
            }
        }
    }
}
