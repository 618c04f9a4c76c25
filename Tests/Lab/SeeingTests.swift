import FoundationEssentials
import Glibc
import ManagementAPI
import Testing

extension Lab {
    @Suite("What operators see")
    struct SeeingTests {
        @Test("a death is told as it happens, with who suspected; gossip, a service's failed check and the catalogs' difference can be looked at")
        func seeing() throws {
            try LabNetwork.with { network in
                let a = try network.host("a")
                let b = try network.host("b", workloads: ["reviews"])
                let c = try network.host("c")
                try b.declare("reviews")
                let server = try b.serve("reviews", "echo.py", "9080")
                try LabMesh.form([a, b, c])
                try Clock.until("reviews is usable from a") { try a.usable("reviews") == 1 }

                // Every catalog knows the same; a name that is none is told apart.
                try Clock.until("a and b know the same") { try a.ask(CatalogDiff.self, "catalog", "diff", "b").differences.isEmpty }
                let equal = try a.ask(CatalogDiff.self, "catalog", "diff", "b")
                #expect(equal.node == "a" && equal.peer == "b" && equal.equal == 3)
                let unknown = try a.weft("catalog", "diff", "bb")
                #expect(unknown.status == 1 && unknown.errors.contains("no node \"bb\" is known here") && unknown.errors.contains("did you mean"), "\(unknown)")

                // The node that checks says why it failed.
                server.end()
                try Clock.until("the check fails") { try b.usable("reviews") == 0 }
                let own = try #require(try b.ask(ServiceDetail.self, "services", "reviews").endpoints.first)
                #expect(own.failure.contains("Connection refused") && own.reason == "unhealthy" && own.node == "b", "\(own)")
                try Clock.until("a has heard of it") { try a.usable("reviews") == 0 }
                #expect(try a.ask(ServiceDetail.self, "services", "reviews").endpoints.map(\.reason) == ["unhealthy"])

                // A watcher of each form, and a host that loses power.
                let weft = try LabEnvironment.program("weft")
                let lines = try network.start([weft, "members", "--watch", "--output", "json", "--socket", a.socket])
                let text = try network.start([weft, "members", "--watch", "--socket", a.socket])
                // What both tell of b shows that both watch: they cannot miss what comes later.
                try b.stopAgent()
                try Clock.until("both tell b's leave", seconds: 20) { lines.out.contains("\"left\"") && text.out.contains(" left: ") }
                try network.unplug(c)
                try Clock.until("both tell c's death", seconds: 30) { lines.out.contains("\"died\"") && text.out.contains("c (10.96.0.3:7946) died: ") }
                let changes = try lines.out.split(separator: "\n").map { try JSONDecoder().decode(MemberChange.self, from: Data($0.utf8)) }
                #expect(changes.filter { $0.name == "b" }.map(\.kind) == [.left])
                let died = try #require(changes.last { $0.kind == .died })
                #expect(died.name == "c" && died.state == .dead && died.cause == .notRefuted && died.suspectedBy == ["a"], "\(died)")
                let suspected = try #require(changes.last { $0.kind == .suspected && $0.name == "c" })
                #expect(suspected.cause == .unanswered && suspected.helpers == 0 && suspected.by == "a" && suspected.number < died.number, "\(suspected)")
                #expect(a.agentLog.contains("c (10.96.0.3:7946) died: suspected by a and not refuted"), "the journal says the same")

                let gossip = try a.ask(GossipReport.self, "gossip")
                #expect(gossip.node == "a" && gossip.address == "10.96.0.1:7946" && gossip.keys.count == 1 && gossip.keys[0].count == 16)
                #expect(gossip.members == .init(alive: 1, suspect: 0, dead: 1, left: 1), "\(gossip)")
                #expect(gossip.counters.probesFailed > 0 && gossip.counters.deaths == 1 && gossip.counters.probes > gossip.counters.probesFailed, "\(gossip)")
                #expect(try a.weft("gossip").out.contains("members     1 alive, 0 suspect, 1 dead, 1 left"))
                let apart = try a.weft("catalog", "diff", "c")
                #expect(apart.status == 1 && apart.errors.contains("there is no stream to node c"), "\(apart)")

                // ^C ends one, the agent's stop the other.
                text.signal(SIGINT)
                #expect(try text.wait().status == 128 + SIGINT)
                #expect(text.errors.isEmpty, "\(text.errors)")
                try a.stopAgent()
                let end = try lines.wait()
                #expect(end.status == 69 && end.errors.contains("agent_stopped"), "\(end.errors)")
            }
        }
    }
}
