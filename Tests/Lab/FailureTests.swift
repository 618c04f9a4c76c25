import Glibc
import ManagementAPI
import Testing

extension Lab {
    @Suite("Hosts that fail")
    struct FailureTests {
        /// a calls, b and c serve.
        private func three(_ network: LabNetwork) throws -> (a: LabHost, b: LabHost, c: LabHost) {
            let a = try network.host("a", workloads: ["web"])
            let b = try network.host("b", workloads: ["reviews"])
            let c = try network.host("c", workloads: ["reviews"])
            for host in [b, c] {
                try host.declare("reviews")
                _ = try host.serve("reviews", "echo.py", "9080", host.name)
            }
            try LabMesh.form([a, b, c])
            try Clock.until("both instances are usable") { try a.usable("reviews") == 2 }
            try LabMesh.certified([a, b, c])
            return (a, b, c)
        }

        @Test("when B loses power, gossip notices, running calls go to C, none sent after fails, and B comes back")
        func powerLoss() throws {
            try LabNetwork.with { network in
                let (a, b, c) = try three(network)
                let stream = try Stream(a, "web", to: "reviews", 9080, clients: 4)
                try Clock.until("both answer") { Set(try stream.calls().map(\.answer)).isSuperset(of: ["b", "c"]) }
                try network.unplug(b)
                let cut = Clock.now
                try b.killAgent()
                for host in [a, c] { try Clock.until("\(host.name) calls b dead", seconds: 15) { try host.members()["b"]?.state == .dead } }
                let noticed = Clock.now
                usleep(500_000)
                let results = try stream.calls()
                let after = results.filter { $0.started > cut }
                let failed = results.filter { $0.failed }
                print("b dead after \(Int((noticed - cut) * 1000)) ms; \(after.count) calls since, \(failed.count) of \(results.count) failed; the slowest took \(Int(after.map { $0.ended - $0.started }.max()! * 1000)) ms")
                let ends = try a.connections().filter { $0.end != nil && $0.end != "completed" }
                // What was on its way when the power went may be lost; nothing that was sent later.
                let late = failed.count { $0.started > cut }
                #expect(
                    late == 0,
                    "\(failed.map { ($0.started - cut, $0.ended - cut, $0.answer) }); \(ends.map { ($0.end ?? "", $0.endpoint, $0.attempts) }); \(a.agentLog.suffix(2500))")
                let byC = after.count { $0.answer == "c" }
                #expect(after.count > 10 && byC == after.count)
                #expect(try a.usable("reviews") == 1)

                try network.plug(b)
                try b.startAgent()
                try LabMesh.settled([a, b, c], seconds: 30)
                try Clock.until("b's instance is usable again", seconds: 15) { try a.usable("reviews") == 2 }
                let back = Clock.now
                try Clock.until("b answers again") { try stream.calls().contains { $0.started > back && $0.answer == "b" } }
                stream.end()
            }
        }

        @Test("an agent that is killed is known dead within seconds, because its port refuses, and is back as soon as it runs again")
        func killedAgent() throws {
            try LabNetwork.with { network in
                let hosts = try three(network)
                let killed = try hosts.b.killAgent()
                for host in [hosts.a, hosts.c] { try Clock.until("\(host.name) calls b dead", seconds: 15) { try host.members()["b"]?.state == .dead } }
                let time = Clock.now - killed
                print("b dead after \(Int(time * 1000)) ms")
                // A suspicion alone lasts four seconds at least, after the second and a half that it takes to begin.
                #expect(time < 4)
                #expect(hosts.a.agentLog.contains("its port refuses"), "\(hosts.a.agentLog.suffix(2500))")
                try hosts.b.startAgent()
                try LabMesh.settled([hosts.a, hosts.b, hosts.c], seconds: 30)
            }
        }

        @Test("an application that dies is passed over at once, and leaves routing by its health check")
        func deadApplication() throws {
            try LabNetwork.with { network in
                let a = try network.host("a", workloads: ["web"])
                let b = try network.host("b", workloads: ["reviews", "spare"])
                try b.declare("reviews")
                try Files.write("\(b.directory)/services.d/spare.yaml", "service: reviews\nworkload: spare\nport: 9080\ntargetPort: 9081\ncheck: {interval: 500ms, timeout: 400ms}\n")
                let first = try b.serve("reviews", "echo.py", "9080", "first")
                _ = try b.serve("spare", "echo.py", "9081", "second")
                try LabMesh.form([a, b])
                try Clock.until("both instances are usable") { try a.usable("reviews") == 2 }
                try LabMesh.certified([a, b])
                let stream = try Stream(a, "web", to: "reviews", 9080)
                try Clock.until("both answer") { Set(try stream.calls().map(\.answer)).isSuperset(of: ["first", "second"]) }
                first.end()
                try Clock.until("it is out of routing") { try a.usable("reviews") == 1 }
                usleep(300_000)
                let results = try stream.calls()
                // Flows that its end cut are allowed to fail; there are at most two, one for each client.
                #expect(results.filter { $0.failed }.count <= 2, "\(results.filter { $0.failed }.map(\.answer))")
                #expect(results.last?.answer == "second")
                #expect(try a.flows().contains { $0.reason == "completed" })
                #expect(try b.flows().contains { $0.reason == "connect_refused" }, "the attempts that failed are on record")
                stream.end()
            }
        }
    }
}
