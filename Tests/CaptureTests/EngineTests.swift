import Glibc
import MeshModel
import Netfilter
import Platform
import Reactor
import Testing

@testable import Capture

extension KernelTests {
    @Suite("The engine")
    struct Engine {
        @Test("rules are as recorded; loading them twice changes nothing, stopping leaves nothing")
        @Control
        func golden() async throws {
            let lab = try await NetLab(servers: false)
            lab.cgroup.make("/a")
            let before = try await lab.near("ip rule; ip -6 rule; ip route show table all; ip -6 route show table all")
            let engine = try CaptureEngine.forTest(lab, "a") {
                $0.excludedNetworks = [IPNetwork("10.0.0.0/8")!, IPNetwork("10.1.0.0/16")!, IPNetwork("2001:db8::/32")!]
                $0.outboundOnAgentExit = .block
            }
            engine.setInboundEndpoints([SocketAddress("10.77.0.1:9080")!, SocketAddress("[fd07::1]:9080")!], strictPorts: [9080])
            try engine.start()
            func rules() async throws -> String {
                // The cgroup's name is another one each time.
                let text = try await lab.ruleset()
                return text.split(separator: "\n").map { line in
                    let holdsCgroups = line.contains("\"name\": \"cgroups\"") || line.contains("\"name\": \"blocked\"")
                    return holdsCgroups ? Self.withoutElements(String(line)) : String(line)
                }.joined(separator: "\n") + "\n"
            }
            let first = try await rules()
            try Golden.compare(first, "rules.jsonl")
            try engine.commit(engine.program.install(engine.wantedState()), "again", try #require(engine.running))
            #expect(try await rules() == first)
            engine.checkForDrift()
            #expect(engine.counters.repairs == 0)
            engine.stop()
            #expect(try await lab.ruleset() == "")
            #expect(try await lab.near("ip rule; ip -6 rule; ip route show table all; ip -6 route show table all") == before)
            try engine.start()
            #expect(try await rules() == first)
            engine.stop()
        }

        @Test("a cgroup whose processes are elsewhere is listed as refused and stays in the kernel's set, so that its next process is captured")
        @Control
        func elsewhere() async throws {
            let lab = try await NetLab(servers: false)
            lab.cgroup.make("/a")
            let engine = try CaptureEngine.forTest(lab, "a")
            try engine.start()
            defer { engine.stop() }
            let child = try Command.start(["sh", "-c", "echo $$ > \(lab.cgroup.full("/a"))/cgroup.procs; exec unshare -n sleep 60"])
            for _ in 0..<100 where engine.list().first?.state != .refused { await ControlLoop.shared.sleep(.milliseconds(50)) }
            #expect(engine.list().first?.state == .refused)
            let id = try #require(engine.list().first?.cgroups.first?.id)
            #expect(engine.index.roots[id] != nil)
            #expect(engine.running?.applied?.cgroups.contains(id) == true)
            kill(child, SIGKILL)
            Command.reap(child)
        }

        private static func withoutElements(_ line: String) -> String {
            guard let start = line.firstRange(of: "\"elem\": ["), let end = line[start.upperBound...].firstIndex(of: "]") else { return line }
            let elements = line[start.upperBound..<end].split(separator: ",").count
            return line[..<start.upperBound] + "\(elements)" + line[end...]
        }

        @Test("the number of rules does not depend on how much is captured, and one change touches one element")
        @Control
        func growth() async throws {
            let lab = try await NetLab(servers: false)
            for index in 0..<20 { lab.cgroup.make("/w\(index)") }
            let engine = try CaptureEngine.forTest(lab)
            try engine.start()
            defer { engine.stop() }
            let empty = try await lab.ruleset().split(separator: "\n").filter { $0.hasPrefix("{\"rule\"") }
            try engine.setWorkloads([Workload(name: "w", namespace: "default", account: "w", selector: .cgroup("\(lab.cgroup.path)/w*"))])
            #expect(try await lab.ruleset().split(separator: "\n").filter { $0.hasPrefix("{\"rule\"") } == empty)
            let monitor = try NFMonitor()
            lab.cgroup.remove("/w7")
            for _ in 0..<200 where engine.running?.applied?.cgroups.count != 19 { await ControlLoop.shared.sleep(.milliseconds(2)) }
            let changes = try monitor.drain().compactMap { event in if case .change(let change) = event { change } else { nil } }
            #expect(changes.filter { !$0.isAddition }.map(\.name) == ["cgroups"])
            #expect(changes.allSatisfy { $0.kind == .element })
        }

        @Test("the workers' index names a cgroup before the kernel captures it, and remembers it when it has ended")
        @Control
        func order() async throws {
            let lab = try await NetLab(servers: false)
            lab.cgroup.make("/a")
            let engine = try CaptureEngine.forTest(lab, "a")
            let tables = try NFTables()
            var late = 0
            var known: Set<NFElement> = []
            engine.onIndex = { index in
                let inKernel = (try? tables.elements(NFTable(name: "weft").set("cgroups", key: .cgroup))) ?? []
                if !known.isSuperset(of: inKernel) { late += 1 }
                known = Set(index.roots.keys.map { NFElement(cgroup: $0) })
            }
            try engine.start()
            defer { engine.stop() }
            let former = lab.cgroup.id("/a")
            #expect(engine.index.roots == [former: 0])
            #expect(engine.index.paths == [lab.cgroup.path + "/a"])
            lab.cgroup.remove("/a")
            for _ in 0..<200 where !engine.index.paths.isEmpty { await ControlLoop.shared.sleep(.milliseconds(2)) }
            lab.cgroup.make("/a")
            let id = lab.cgroup.id("/a")
            for _ in 0..<200 where engine.index.roots[id] == nil { await ControlLoop.shared.sleep(.milliseconds(2)) }
            #expect(engine.index.roots == [former: 0, id: 0])
            #expect(late == 0)
            #expect(try tables.elements(NFTable(name: "weft").set("cgroups", key: .cgroup)) == [NFElement(cgroup: id)])
        }

        @Test("units are ready when their present cgroup is in the kernel, and not before")
        @Control
        func ready() async throws {
            let lab = try await NetLab(servers: false)
            let unit = "weft-\(getpid())-r.service"
            lab.cgroup.make("/s.slice")
            lab.cgroup.make("/s.slice/\(unit)")
            let engine = try CaptureEngine.forTest(lab)
            try engine.start()
            defer { engine.stop() }
            await #expect(throws: MeshError.self) { try await engine.waitUntilCaptured(unit: unit, timeout: .seconds(5)) }
            try engine.addSelector(Workload(name: "r", namespace: "default", account: "r", selector: .unit(unit)))
            let tables = try NFTables()
            for _ in 0..<50 {
                lab.cgroup.remove("/s.slice/\(unit)")
                lab.cgroup.make("/s.slice/\(unit)")
                try await engine.waitUntilCaptured(unit: unit, timeout: .seconds(5))
                let elements = try tables.elements(NFTable(name: "weft").set("cgroups", key: .cgroup))
                #expect(elements == [NFElement(cgroup: lab.cgroup.id("/s.slice/\(unit)"))])
            }
            #expect(engine.list().map(\.state) == [.captured])

            lab.cgroup.remove("/s.slice/\(unit)")
            async let later: Void = engine.waitUntilCaptured(unit: unit, timeout: .seconds(5))
            await ControlLoop.shared.sleep(.milliseconds(30))
            #expect(engine.list().map(\.state) == [.waiting])
            lab.cgroup.make("/s.slice/\(unit)")
            try await later

            #expect(chown(lab.cgroup.full("/s.slice"), 1000, 0) == 0)
            let refusal = await #expect(throws: MeshError.self) { try await engine.waitUntilCaptured(unit: unit, timeout: .seconds(5)) }
            #expect(refusal?.code == "capture_refused")
            #expect(engine.list().map(\.state) == [.refused])
            let added = try #require(engine.list().first { $0.isAdded }).workload.name
            #expect(!engine.removeSelector(named: "other"))
            #expect(engine.removeSelector(named: added))
            #expect(try tables.elements(NFTable(name: "weft").set("cgroups", key: .cgroup)).isEmpty)
        }

        @Test("a unit of a captured slice is ready, and one that never comes is told so in time")
        @Control
        func slices() async throws {
            let lab = try await NetLab(servers: false)
            lab.cgroup.make("/s.slice")
            lab.cgroup.make("/s.slice/x.service")
            let engine = try CaptureEngine.forTest(lab, "s.slice")
            try engine.start()
            defer { engine.stop() }
            try await engine.waitUntilCaptured(unit: "x.service", timeout: .seconds(5))
            let error = await #expect(throws: MeshError.self) { try await engine.waitUntilCaptured(unit: "y.service", timeout: .milliseconds(50)) }
            #expect(error?.code == "capture_timeout")
        }

        @Test("what an agent with other settings left is replaced at the start")
        @Control
        func replaces() async throws {
            let lab = try await NetLab(servers: false)
            let old = try CaptureEngine.forTest(lab) {
                $0.routingTable = 777
                $0.rulePriority = 778
                $0.nodeAddressV4 = nil
                $0.outboundPort = 17001
            }
            try old.start()
            _ = old.crash()
            let new = try CaptureEngine.forTest(lab)
            try new.start()
            defer { new.stop() }
            let text = try await lab.near("ip rule; ip -6 rule; ip route show table all; nft list ruleset")
            #expect(!text.contains("777") && !text.contains("778:") && !text.contains("17001"))
            #expect(text.contains("240.240.0.0/16 dev lo proto 87 scope link src 10.77.0.1"))
            new.checkForDrift()
            #expect(new.counters.repairs == 0)
        }

        @Test("a host without IPv6 gets no IPv6 routes, and no complaint")
        @Control
        func noV6() async throws {
            let lab = try await NetLab(servers: false)
            lab.cgroup.make("/a")
            try await lab.near("for i in all default lo near; do sysctl -qw net.ipv6.conf.$i.disable_ipv6=1; done")
            let engine = try CaptureEngine.forTest(lab, "a")
            var problems = 0
            engine.onEvent = { if case .problem = $0 { problems += 1 } }
            try engine.start()
            defer { engine.stop() }
            let proxy = try FakeProxy(engine)
            defer { proxy.close() }
            #expect(try await lab.calls(in: "/a", "tcp,240.240.1.2,80") == ["16001 240.240.1.2:80 a"])
            await ControlLoop.shared.sleep(.milliseconds(60))
            #expect(problems == 0)
            #expect(engine.counters.repairs == 0)
        }

        @Test("a kernel that can't be told how long it remembers connections is made do with, and the agent says what that means")
        @Control
        func forgetful() async throws {
            let lab = try await NetLab()
            lab.cgroup.make("/a")
            let engine = try CaptureEngine.forTest(lab, "a")
            try engine.start()
            defer { engine.stop() }
            #expect(engine.warnings == [])
            #expect(try await lab.near("nft list ruleset").contains("ct timeout set \"hold6\""))
            engine.adapt(to: [FeatureProbe.Missing(feature: .conntrackTimeouts, errno: Errno(EOPNOTSUPP))])
            #expect(engine.warnings.count == 1 && engine.warnings[0].contains("CONFIG_NF_CONNTRACK_TIMEOUT"))
            engine.checkForDrift()
            #expect(engine.counters.repairs == 1)
            #expect(try await !lab.near("nft list ruleset").contains("ct timeout"))
            let proxy = try FakeProxy(engine)
            defer { proxy.close() }
            #expect(try await lab.calls(in: "/a", "tcp,10.77.0.2,8080", "tcp,fd07::2,8080") == ["16001 10.77.0.2:8080 a", "16001 [fd07::2]:8080 a"])
        }

        @Test("cgroups of every level down to the eighth are captured, deeper ones are refused by name")
        @Control
        func levels() async throws {
            let lab = try await NetLab(servers: false)
            // The lab's own directory is level 1.
            var path = ""
            for level in 2...9 {
                path += "/l\(level)"
                lab.cgroup.make(path)
            }
            let engine = try CaptureEngine.forTest(lab)
            try engine.start()
            defer { engine.stop() }
            let proxy = try FakeProxy(engine)
            defer { proxy.close() }
            for level in 1...9 {
                let selected = lab.cgroup.path + (level > 1 ? (2...level).map { "/l\($0)" }.joined() : "")
                try engine.setWorkloads([Workload(name: "w\(level)", namespace: "default", account: "w", selector: .cgroup(selected))])
                if level <= 8 {
                    #expect(try await lab.calls(in: path, "tcp,240.240.1.2,80") == ["16001 240.240.1.2:80 w\(level)"])
                } else {
                    #expect(engine.list().first?.cgroups.map(\.refusal) == [.tooDeep])
                }
            }
        }

        @Test("two workloads of one name are refused, and the running ones stay")
        @Control
        func duplicates() async throws {
            let lab = try await NetLab(servers: false)
            let engine = try CaptureEngine.forTest(lab, "a")
            let twin = Workload(name: "a", namespace: "default", account: "x", selector: .unit("x.service"))
            #expect(throws: MeshError.self) { try engine.addSelector(twin) }
            #expect(engine.list().map(\.workload.name) == ["a"])
        }
    }

    @Suite("Drift")
    struct Drift {
        private static let changes = [
            "nft delete table inet weft-guard",
            "nft flush ruleset",
            "nft flush chain inet weft-guard output",
            "nft insert rule inet weft-guard output accept",
            "nft delete element inet weft-guard strict-ports { 9080 }",
            "nft add element inet weft-guard strict-ports { 9081 }",
            "ip route del 240.240.0.0/16",
            "ip -6 route del fd77:6566:7400::/48",
            "ip route replace 240.240.0.0/16 dev lo src 127.0.0.1",
            "ip rule del pref 16001",
            "ip -6 rule del pref 16001",
            "ip route flush table 16001",
            "ip -6 route flush table 16001",
            "sysctl -qw net.ipv6.conf.lo.disable_ipv6=1",
            "ip link set lo down; ip link set lo up",
        ]

        @Test("what others change is put back and told")
        @Control
        func repaired() async throws {
            let lab = try await NetLab(servers: false)
            lab.cgroup.make("/a")
            let engine = try CaptureEngine.forTest(lab, "a") { $0.outboundOnAgentExit = .block }
            engine.setInboundEndpoints([], strictPorts: [9080])
            try engine.start()
            defer { engine.stop() }
            let state = "nft list ruleset; ip rule; ip -6 rule; ip route show table all; ip -6 route show table all"
            let before = sorted(try await lab.near(state))
            var told: [String] = []
            engine.onEvent = { if case .repaired(let lines) = $0 { told += lines } }
            for change in Self.changes {
                engine.running?.budget = RepairBudget()
                told = []
                try await lab.near(change)
                for _ in 0..<300 where told.isEmpty { await ControlLoop.shared.sleep(.milliseconds(5)) }
                #expect(!told.isEmpty, "\(change)")
                // Some changes arrive in two parts.
                await ControlLoop.shared.sleep(.milliseconds(50))
                let now = sorted(try await lab.near(state))
let gone = before.filter { !now.contains($0) }
                let come = now.filter { !before.contains($0) }
                #expect(gone.isEmpty && come.isEmpty, "\(change): \(gone) became \(come)")
                let repairs = engine.counters.repairs
                await ControlLoop.shared.sleep(.milliseconds(50))
                #expect(engine.counters.repairs == repairs, "it fights with itself after \(change)")
            }
        }

        /// Without the kernel's own link-local routes, which come when it likes.
        private func sorted(_ text: String) -> [String] {
            text.split(separator: "\n").filter { !$0.contains("fe80:") && !$0.contains("ff00:") }
                .map { $0.split(separator: " ").joined(separator: " ") }.sorted()
        }

        @Test("the table of redirects can't be taken away by others")
        @Control
        func owned() async throws {
            let lab = try await NetLab(servers: false)
            let engine = try CaptureEngine.forTest(lab)
            try engine.start()
            defer { engine.stop() }
            await #expect(throws: Command.Failure.self) { try await lab.near("nft delete table inet weft") }
            await #expect(throws: Command.Failure.self) { try await lab.near("nft flush chain inet weft output") }
        }

        @Test("own changes are not drift, nor is what systemd puts into the guard")
        @Control
        func own() async throws {
            let lab = try await NetLab()
            lab.cgroup.make("/a")
            lab.cgroup.make("/unit")
            let engine = try CaptureEngine.forTest(lab, "a") { $0.outboundOnAgentExit = .block }
            try engine.start()
            defer { engine.stop() }
            try engine.addSelector(Workload(name: "more", namespace: "default", account: "m", selector: .cgroup(lab.cgroup.path + "/none")))
            lab.cgroup.remove("/a")
            lab.cgroup.make("/a")
            // nft takes a path below /sys/fs/cgroup and no number.
            try await lab.near("nft add element inet weft-guard blocked '{ \"\(lab.cgroup.full("/unit").dropFirst("/sys/fs/cgroup/".count))\" }'")
            await ControlLoop.shared.sleep(.milliseconds(100))
            #expect(engine.counters.repairs == 0)
            #expect(try await lab.calls(in: "/unit", "tcp,10.77.0.2,8080") == ["ECONNREFUSED"])

            // And what systemd has taken out already is no error when it goes.
            var problems = 0
            engine.onEvent = { if case .problem = $0 { problems += 1 } }
            lab.cgroup.remove("/a")
            for _ in 0..<200 where engine.running?.applied?.cgroups.isEmpty == false { await ControlLoop.shared.sleep(.milliseconds(2)) }
            #expect(problems == 0)
        }

        @Test("a change that finds the guard gone makes it anew, and not the redirects: live flows would lose their timeouts with them")
        @Control
        func keepsRedirects() async throws {
            let lab = try await NetLab(servers: false)
            for name in ["/a", "/b"] { lab.cgroup.make(name) }
            let engine = try CaptureEngine.forTest(lab, "a") { $0.outboundOnAgentExit = .block }
            try engine.start()
            defer { engine.stop() }
            let handle = "nft -a list table inet weft | head -1"
            let before = try await lab.near(handle)
            #expect(before.contains("handle"))
            let tables = try NFTables()
            var deletion = NFTransaction()
            deletion.delete(NFTableID(name: KernelNames.guardTable))
            try tables.commit(deletion)
            // Before the deletion is noticed.
            try engine.addSelector(Workload(name: "b", namespace: "default", account: "b", selector: .cgroup(lab.cgroup.path + "/b")))
            let both = Set(["/a", "/b"].map { NFElement(cgroup: lab.cgroup.id($0)) })
            #expect(Set(try tables.elements(NFTable(name: KernelNames.table).set(KernelNames.cgroupSet, key: .cgroup))) == both)
            #expect(Set(try tables.elements(NFTable(name: KernelNames.guardTable).set(KernelNames.blockedSet, key: .cgroup))) == both)
            #expect(try await lab.near(handle) == before)
            engine.checkForDrift()
            #expect(engine.counters.repairs == 0)
        }

        @Test("two programs that disagree do not fight at full speed")
        @Control
        func bounded() async throws {
            let lab = try await NetLab(servers: false)
            let engine = try CaptureEngine.forTest(lab)
            try engine.start()
            defer { engine.stop() }
            for _ in 0..<30 {
                try await lab.near("nft delete table inet weft-guard 2>/dev/null || true")
                await ControlLoop.shared.sleep(.milliseconds(30))
            }
            #expect(engine.counters.repairs >= 10)
            #expect(engine.counters.repairs <= 15)
            #expect(engine.counters.repairsDelayed > 0)
            for _ in 0..<400 {
                if try await lab.near("nft list tables").contains("weft-guard") { return }
                await ControlLoop.shared.sleep(.milliseconds(10))
            }
            Issue.record("it was not put back in the end")
        }
    }
}

@Suite("The repair budget")
struct RepairBudgetTests {
    @Test("gives a burst at once, then one a second")
    func burst() {
        var budget = RepairBudget()
        let start = MonotonicTime(nanoseconds: 1_000_000_000_000)
        for _ in 0..<10 { #expect(budget.take(at: start) == nil) }
        #expect(budget.take(at: start + .milliseconds(400)) == .milliseconds(600))
        #expect(budget.take(at: start + .seconds(1)) == nil)
        #expect(budget.take(at: start + .seconds(1)) == .seconds(1))
        for _ in 0..<10 { #expect(budget.take(at: start + .seconds(60)) == nil) }
        #expect(budget.take(at: start + .seconds(60)) != nil)
    }
}
