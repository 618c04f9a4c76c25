import FoundationEssentials
import ManagementAPI
import Testing

extension Lab {
    @Suite("End to end")
    struct EndToEndTests {
        @Test("unmodified programs on A call reviews by name, B answers, and both sides know who is who")
        func calls() throws {
            try LabNetwork.with { network in
                let (a, b) = try LabMesh.pair(network)
                let sniffer = try network.sniff()
                let curl = try a.run("web", "curl", "-4", "-sS", "--max-time", "10", "-H", "x-secret: plaintext-question", "http://reviews:9080/")
                #expect(curl.out == "plaintext-answer from echo to \(a.address)\n", "the application sees the caller: \(curl.errors)")
                for (name, flag) in [("reviews.default", "-4"), ("reviews.default.svc.mesh", "-6"), ("reviews.default.weft", "-6")] {
                    let answer = try a.run("web", "curl", "-sS", flag, "--max-time", "10", "http://\(name):9080/")
                    #expect(answer.out.hasPrefix("plaintext-answer from echo"), "\(name) \(flag): \(answer.errors)")
                }
                let url = "import urllib.request; print(urllib.request.urlopen('http://reviews:9080/plaintext-path', timeout=10).read().decode())"
                #expect(try a.run("web", network.python, "-IBSc", url).out.contains("plaintext-answer"))
                let packets = try sniffer.stop()

                #expect(packets.tcpPorts[15008] ?? 0 > 20)
                #expect(Set(packets.tcpPorts.keys).isSubset(of: [15008, 7946]), "nothing else between the hosts: \(packets.tcpPorts)")
                for text in ["plaintext-", "HTTP/1.1", "User-Agent", "Host:"] { #expect(!packets.contains(text), "\(text) is on the wire") }

                let out = try a.connections().filter { $0.direction == "outbound" }
                #expect(out.count == 5)
                for flow in out {
                    #expect(flow.sourceIdentity == LabHost.identity("web") && flow.destinationIdentity == LabHost.identity("reviews"), "\(flow)")
                    #expect(flow.workload == "web" && flow.service == "reviews.default" && flow.node == "b" && flow.security == "mutual_tls")
                    #expect(flow.endpoint == "\(b.address):9080" && flow.end == "completed" && flow.attempts == 1)
                }
                #expect(Set(out.map { $0.destination.hasPrefix("[fd77:6566:7400:") }) == [true, false], "over both families")
                let arrived = try b.connections().filter { $0.direction == "tunnel" }
                #expect(arrived.count == 5)
                for flow in arrived {
                    #expect(flow.sourceIdentity == LabHost.identity("web") && flow.destinationIdentity == LabHost.identity("reviews"))
                    #expect(flow.node == "a" && flow.service == "reviews.default")
                }
                #expect(Set(arrived.map(\.source)) == Set(out.map(\.source)), "B has the callers' own addresses")
            }
        }

        @Test("names of the mesh are for captured processes only, and other names are the host's resolver's business")
        func names() throws {
            try LabNetwork.with { network in
                let (a, _) = try LabMesh.pair(network)
                func resolve(_ workload: String?, _ name: String) throws -> [String] {
                    let result = try a.run(workload, "getent", "ahosts", name)
                    return Array(Set(result.out.split(separator: "\n").compactMap { $0.split(separator: " ").first.map(String.init) })).sorted()
                }
                let inside = try resolve("web", "reviews")
                #expect(inside.count == 2 && inside[0].hasPrefix("240.240.") && inside[1].hasPrefix("fd77:6566:7400:"), "\(inside)")
                #expect(try resolve(nil, "reviews").isEmpty)
                #expect(try resolve("web", "outside.example") == ["192.0.2.80"])
                #expect(try resolve("web", "nowhere.example").isEmpty)
            }
        }

        struct Calls: Decodable {
            let calls: Int
            let bytes: Int
            let seconds: Double
            let failed: Int
            let first: String
        }

        @Test("every byte of 1,000 calls in a row and of 200 at once arrives, 1 B to 64 MiB, half-closed uploads included")
        func bytes() throws {
            try LabNetwork.with { network in
                let (a, b) = try LabMesh.pair(network)
                for (count, clients) in [(1000, 1), (200, 200)] {
                    let text = try a.python("web", "calls.py", "reviews", "9080", "\(count)", "\(clients)", "3", "\(count)", seconds: 120)
                    let result = try JSONDecoder().decode(Calls.self, from: Data(text.utf8))
                    #expect(result.calls == count && result.failed == 0, "\(result.first)")
                    print("\(count) calls, \(clients) at once: \(result.bytes >> 20) MiB in \(Int(result.seconds * 1000)) ms")
                }
                try Clock.until("no flow is open") { try a.connections().allSatisfy { $0.end != nil } }
                let ends = try b.flows().filter { $0.direction == "tunnel" }
                #expect(ends.count == 1200 && ends.allSatisfy { $0.reason == "completed" })
            }
        }
    }
}
