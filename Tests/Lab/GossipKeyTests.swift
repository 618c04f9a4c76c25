import FoundationEssentials
import Glibc
import ManagementAPI
import Testing

extension Lab {
    @Suite("Gossip keys")
    struct GossipKeyTests {
        /// Base64 of 32 bytes, and what it is called.
        private static let new = (text: "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=", print: "630dcd2966c43366")

        private func keys(_ host: LabHost) throws -> [String] { try host.ask(GossipReport.self, "gossip").keys }
        private func stored(_ host: LabHost) -> String { Files.read("\(host.directory)/state/gossip.keys") }

        @Test("the key of a whole mesh is changed: nobody is suspected, a node that was down meanwhile and a new one come in with the new key, and the old one opens nothing")
        func rotation() throws {
            try LabNetwork.with { network in
                let hosts = try ["a", "b", "c", "d"].map { try network.host($0) }
                let (a, b, c, d) = (hosts[0], hosts[1], hosts[2], hosts[3])
                try LabMesh.form([a, b, c])
                let old = try #require(try keys(a).first)
                let oldText = try #require(stored(a).split(separator: "\"").map(String.init).first { $0.hasSuffix("=") && $0.count == 44 })
                let weft = try LabEnvironment.program("weft")
                let watchers = try [a, b].map { try network.start([weft, "members", "--watch", "--output", "json", "--socket", $0.socket]) }

                // What is wrong says why.
                for (arguments, cause, remedy) in [
                    (["add", "-"], "the gossip key is not base64", "head -c 32"), (["use", "ffff"], "no node has a gossip key \"ffff\"", old),
                    (["remove", old], "the primary gossip key cannot be removed", "use another key first"),
                ] {
                    let result = try b.weft(["gossip", "key"] + arguments, input: "no!\n")
                    #expect(result.status == 1 && result.errors.contains(cause) && result.errors.contains(remedy), "\(result)")
                }
                #expect(try a.weft(["gossip", "key", "add", "-"], input: "AAAA").errors.contains("a gossip key has 3 bytes"))

                // Installed everywhere by one node.
                let added = try a.weft(["gossip", "key", "add", "-"], input: Self.new.text)
                #expect(added.succeeded && added.out == "\(Self.new.print)\n" && added.errors.contains("all 3 nodes added it"), "\(added)")
                for host in [a, b, c] { #expect(try keys(host) == [old, Self.new.print]) }
                #expect(stored(c).contains(Self.new.text), "on disk before it is used")

                // One goes down, the others go on.
                try c.stopAgent()
                try Clock.until("c has left") { try [a, b].allSatisfy { try $0.members()["c"]?.state == .left } }
                let used = try b.weft("gossip", "key", "use", String(Self.new.print.prefix(8)))
                #expect(used.succeeded && used.out == "all 2 nodes seal with key \(Self.new.print)\n", "\(used)")
                let removed = try a.ask(GossipKeyReport.self, "gossip", "key", "remove", old)
                #expect(removed.done == 2 && removed.nodes == 2 && removed.failures.isEmpty && removed.revision == 3)
                let listed = try b.ask(GossipKeyList.self, "gossip", "key", "list")
                #expect(listed.keys == [.init(fingerprint: Self.new.print, installed: 2, primary: 2)] && listed.failures.isEmpty, "\(listed)")
                let line = "gossip keys, revision 3: key \(old) was removed; ordered on node a"
                #expect(a.agentLog.contains(line) && b.agentLog.contains(line))
                #expect(a.agentLog.contains("management: removeGossipKey \(old) by uid"))
                for host in [a, b] { #expect(!stored(host).contains(oldText)) }

                // It comes back with the old key alone, and learns the new one over the plane; so does one that joins only now.
                #expect(stored(c).contains(oldText))
                try c.startAgent()
                _ = try { try d.startAgent(); return try d.ask(JoinReport.self, "join", "--token-file", "-", input: try LabMesh.token(a, for: "d")) }()
                try LabMesh.settled(hosts, seconds: 60)
                for host in hosts {
                    #expect(try keys(host) == [Self.new.print], "\(host.name)")
                    #expect(stored(host).contains(Self.new.text) && !stored(host).contains(oldText), "\(host.name)")
                    var status = stat()
                    #expect(stat("\(host.directory)/state/gossip.keys", &status) == 0 && status.st_mode & 0o777 == 0o600)
                }
                #expect(c.agentLog.contains("was removed; ordered on node a"), "\(c.agentLog)")

                // Nobody was ever suspected by those that stayed.
                for watcher in watchers {
                    let changes = try watcher.out.split(separator: "\n").map { try JSONDecoder().decode(MemberChange.self, from: Data($0.utf8)) }
                    #expect(changes.contains { $0.name == "c" && $0.kind == .left } && changes.contains { $0.name == "d" && $0.kind == .joined }, "\(watcher.out)")
                    #expect(!changes.contains { $0.kind == .suspected || $0.kind == .died }, "\(watcher.out)")
                    watcher.signal(SIGINT)
                }

                // The old key opens nothing any more, the new one does; a member that is no node of the mesh is not forgotten by orders.
                let refused = try a.metric("weft_gossip_refused_total", ["reason": "undecryptable"]) ?? 0
                let stranger = try d.start(nil, serf(d, "old", oldText, port: 7950))
                try Clock.until("a refuses the old key", seconds: 30) { try (a.metric("weft_gossip_refused_total", ["reason": "undecryptable"]) ?? 0) > refused }
                #expect(try a.members()["old"] == nil)
                stranger.end()
                let known = try d.start(nil, serf(d, "foreign", Self.new.text, port: 7951))
                try Clock.until("a has the foreign member", seconds: 30) { try a.members()["foreign"]?.state == .alive }
                let third = try a.weft("gossip", "key", "add")
                #expect(third.status == 1 && third.errors.contains("foreign has not got the key: it is in the gossip, but proved to be no node of this mesh"), "\(third)")
                let name = third.out.split(separator: "\n").first.map(String.init) ?? ""
                let kept = try a.weft("gossip", "key", "use", name)
                #expect(kept.status == 1 && kept.errors.contains("foreign (it is in the gossip") && kept.errors.contains("--force"), "\(kept)")
                #expect(try keys(a) == [Self.new.print, name], "refused, so nothing changed")
                known.end()
            }
        }

        private func serf(_ host: LabHost, _ name: String, _ key: String, port: Int) -> [String] {
            [
                "serf", "agent", "-node", name, "-bind", "\(host.address):\(port)", "-encrypt", key, "-retry-join", "10.96.0.1:7946", "-retry-interval", "1s",
                "-rpc-addr", "127.0.0.1:\(port + 100)",
            ]
        }

        @Test("a host that was cut off while the others changed the key comes back by itself")
        func split() throws {
            try LabNetwork.with { network in
                let hosts = try ["a", "b", "c"].map { try network.host($0) }
                let (a, b, c) = (hosts[0], hosts[1], hosts[2])
                try LabMesh.form(hosts)
                let old = try #require(try keys(a).first)
                let new = try a.ask(GossipKeyReport.self, "gossip", "key", "add").fingerprint
                try network.unplug(c)
                // Still alive for a: it is not left behind unasked.
                let refused = try a.weft("gossip", "key", "use", new)
                #expect(refused.status == 1 && refused.errors.contains("not every live member has said which keys it has: c ("), "\(refused)")
                #expect(try keys(a) == [old, new])
                try Clock.until("each side holds the other dead", seconds: 60) {
                    func lives(_ name: String, for host: LabHost) throws -> Bool { [.alive, .suspect].contains(try host.members()[name]?.state) }
                    return try !lives("c", for: a) && !lives("c", for: b) && !lives("a", for: c) && !lives("b", for: c)
                }
                for order in [["use", new], ["remove", old]] { #expect(try a.weft(["gossip", "key"] + order, input: nil).succeeded) }
                // Once more, so that neither side has a key of the other's packets.
                let newer = try a.ask(GossipKeyReport.self, "gossip", "key", "add").fingerprint
                for order in [["use", newer], ["remove", new]] { #expect(try a.weft(["gossip", "key"] + order, input: nil).succeeded) }
                #expect(try keys(c) == [old, new])
                try network.plug(c)
                try LabMesh.settled(hosts, seconds: 150)
                for host in hosts { #expect(try keys(host) == [newer], "\(host.name)") }
            }
        }
    }
}
