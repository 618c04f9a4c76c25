import Glibc
import MeshModel
import Netfilter
import Platform
import Reactor
import Testing

@testable import Capture

extension KernelTests {
    @Suite("Without the agent, and around it")
    struct Guarding {
        @Test("virtual addresses without a redirect fail at once, for whoever calls, over both families, TCP and UDP")
        @Control
        func virtual() async throws {
            let lab = try await NetLab()
            lab.cgroup.make("/free")
            let engine = try CaptureEngine.forTest(lab)
            try engine.start()
            defer { engine.stop() }
            #expect(
                try await lab.calls(in: "/free", "tcp,240.240.1.2,80", "tcp,fd77:6566:7400::7,443") == ["ECONNREFUSED", "ECONNREFUSED"])
            // The kernel tells the sender of UDP already when it sends.
            for answer in try await lab.calls(in: "/free", "udp,240.240.1.2,9", "udp,fd77:6566:7400::7,9") {
                #expect(["EPERM", "ECONNREFUSED", "EACCES"].contains(answer))
            }
        }

        @Test("the proxy's own ports take no direct connections, from here and from elsewhere; the inbound port is its own on loopback only")
        @Control
        func ownPorts() async throws {
            let lab = try await NetLab()
            lab.cgroup.make("/a")
            lab.cgroup.make("/free")
            let engine = try CaptureEngine.forTest(lab, "a")
            try engine.start()
            defer { engine.stop() }
            let proxy = try FakeProxy(engine)
            defer { proxy.close() }
            let targets = [
                "tcp,127.0.0.1,16001", "tcp,::1,16001", "tcp,10.77.0.1,16001", "tcp,127.0.0.1,16006", "tcp,127.0.0.1,16053", "tcp,::1,16053",
            ]
            for cgroup in ["/a", "/free"] {
                #expect(try await lab.calls(in: cgroup, targets) == targets.map { _ in "ECONNREFUSED" })
            }
            #expect(try await lab.calls(in: "/free", "udp,127.0.0.1,16053", "udp,::1,16053") == ["ECONNREFUSED", "ECONNREFUSED"])
            #expect(
                try await lab.callsFromFar("tcp,10.77.0.1,16001", "tcp,10.77.0.1,16006", "tcp,fd07::1,16001", "tcp,fd07::1,16006")
                    == ["ECONNREFUSED", "ECONNREFUSED", "ECONNREFUSED", "ECONNREFUSED"])
            try lab.start(
                "/usr/bin/python3", "-IS", "-c",
                "import socket; s = socket.socket(); s.bind((\"10.77.0.1\", 16006)); s.listen()\nwhile True: c = s.accept()[0]; c.sendall(b\"another\"); c.close()")
            for _ in 0..<400 where try await !lab.near("ss -Hltn").contains("10.77.0.1:16006") { await ControlLoop.shared.sleep(.milliseconds(10)) }
            #expect(try await lab.callsFromFar("tcp,10.77.0.1,16006") == ["another"])
            // Going to somebody else's port 16001 is a call like any other.
            #expect(try await lab.calls(in: "/a", "tcp,10.77.0.2,16001") == ["16001 10.77.0.2:16001 a"])
        }

        @Test("the host's resolver may ask the DNS port where that is allowed")
        @Control
        func directDNS() async throws {
            let lab = try await NetLab()
            lab.cgroup.make("/free")
            let engine = try CaptureEngine.forTest(lab) { $0.openDNSAddress = .loopbackV4 }
            try engine.start()
            defer { engine.stop() }
            let proxy = try FakeProxy(engine)
            defer { proxy.close() }
            // Such a caller is nobody's: it gets no identity by default.
            #expect(try await lab.calls(in: "/free", "udp,127.0.0.1,16053") == ["16053 127.0.0.1:16053 unknown(not_captured)"])
        }

        /// A captured process that calls out all the time; the answers come with the clock of `MonotonicTime`.
        private static let loop = """
            import socket, time, sys
            out = open(sys.argv[1], "w", buffering=1)
            while True:
                start = time.monotonic_ns()
                try:
                    s = socket.create_connection(("10.77.0.2", 8080), 2); text = s.recv(99).decode() or "closed"; s.close()
                except OSError as e: text = type(e).__name__
                out.write(f"{start} {text}\\n")
                time.sleep(0.002)
            """

        @Test(
            "after a crash a captured process goes direct within 100 ms, or is refused as soon",
            arguments: [CaptureSettings.OnAgentExit.bypass, .block])
        @Control
        func crash(mode: CaptureSettings.OnAgentExit) async throws {
            let lab = try await NetLab()
            lab.cgroup.make("/a")
            lab.cgroup.make("/free")
            let engine = try CaptureEngine.forTest(lab, "a") { $0.outboundOnAgentExit = mode }
            try engine.start()
            let proxy = try FakeProxy(engine)
            let log = "/tmp/weft-test-crash-\(getpid())"
            defer { unlink(log) }
            try lab.start(in: "/a", "/usr/bin/python3", "-IS", "-c", Self.loop, log)
            func lines() -> [(UInt64, String)] {
                (TextFile.read(log) ?? "").split(separator: "\n").compactMap { line in
                    let parts = line.split(separator: " ", maxSplits: 1)
                    return parts.count == 2 ? UInt64(parts[0]).map { ($0, String(parts[1])) } : nil
                }
            }
            for _ in 0..<1000 where !lines().contains(where: { $0.1 == "16001 10.77.0.2:8080 a" }) {
                await ControlLoop.shared.sleep(.milliseconds(5))
            }
            proxy.close()
            let killed = engine.crash()
            let wanted = mode == .bypass ? "direct 10.77.0.1" : "ConnectionRefusedError"
            func after() -> [(UInt64, String)] { lines().filter { $0.0 > killed.nanoseconds + 1_000_000 } }
            for _ in 0..<400 where after().count < 20 { await ControlLoop.shared.sleep(.milliseconds(5)) }
            let first = try #require(after().first { $0.1 == wanted })
            let milliseconds = (MonotonicTime(nanoseconds: first.0) - killed).milliseconds
            #expect(milliseconds < 100)
            #expect(after().allSatisfy { $0.0 < first.0 || $0.1 == wanted })
            print("after the owner's socket closed, \(mode.rawValue) held after \(milliseconds) ms")

            // No redirect is left, and names of the mesh alone fail at once.
            let tables = try await lab.near("nft list tables")
            #expect(tables == "table inet weft-guard\n")
            #expect(try await lab.calls(in: "/a", "tcp,240.240.1.2,80", "tcp,fd77:6566:7400::7,80") == ["ECONNREFUSED", "ECONNREFUSED"])
            #expect(try await lab.calls(in: "/free", "tcp,10.77.0.2,8080") == ["direct 10.77.0.1"])
            let fallback = mode == .bypass ? "direct fd07::1" : "ECONNREFUSED"
            #expect(try await lab.calls(in: "/a", "tcp,fd07::2,8080", "tcp,10.77.0.2,22") == [fallback, "direct 10.77.0.1"])

            // A restart repairs both.
            try engine.start()
            let again = try FakeProxy(engine)
            #expect(try await lab.calls(in: "/a", "tcp,10.77.0.2,8080") == ["16001 10.77.0.2:8080 a"])
            again.close()
            engine.stop()
            let left = "nft list tables; ip rule | grep 16001 || true; ip route show table 16001; ip route show 240.240.0.0/16"
            #expect(try await lab.near(left) == "")
            #expect(try await lab.calls(in: "/a", "tcp,10.77.0.2,8080") == ["direct 10.77.0.1"])
        }

        @Test("a stranger who listens on the proxy's port after a crash gets nothing")
        @Control
        func stranger() async throws {
            let lab = try await NetLab()
            lab.cgroup.make("/a")
            let engine = try CaptureEngine.forTest(lab, "a")
            try engine.start()
            _ = engine.crash()
            let listener = """
                import socket, threading
                for f in (socket.AF_INET, socket.AF_INET6):
                    s = socket.socket(f)
                    if f == socket.AF_INET6: s.setsockopt(41, 26, 1)
                    s.bind(("", 16001)); s.listen()
                    def serve(s=s):
                        while True:
                            c, _ = s.accept(); c.sendall(b"stolen"); c.close()
                    threading.Thread(target=serve).start()
                """
            try lab.start("/usr/bin/python3", "-IS", "-c", listener)
            for _ in 0..<400 {
                if try await lab.near("ss -Hltn | grep -c :16001 || true") == "2\n" { break }
                await ControlLoop.shared.sleep(.milliseconds(10))
            }
            #expect(
                try await lab.calls(in: "/a", "tcp,10.77.0.2,8080", "tcp,240.240.1.2,80", "tcp,127.0.0.1,16001", "tcp,10.77.0.1,16001")
                    == ["direct 10.77.0.1", "ECONNREFUSED", "ECONNREFUSED", "ECONNREFUSED"])
            #expect(try await lab.callsFromFar("tcp,10.77.0.1,16001", "tcp,fd07::1,16001") == ["ECONNREFUSED", "ECONNREFUSED"])
            try Leftovers.remove(.purge)
        }

        @Test("what a crash leaves is removed as the mode says, whatever the settings were")
        @Control
        func leftovers() async throws {
            let lab = try await NetLab()
            lab.cgroup.make("/a")
            func crashed() throws {
                let engine = try CaptureEngine.forTest(lab, "a") {
                    $0.outboundOnAgentExit = .block
                    $0.routingTable = 777
                    $0.rulePriority = 778
                }
                engine.setInboundEndpoints([], strictPorts: [9080])
                try engine.start()
                _ = engine.crash()
            }
            let routing = "ip rule; ip -6 rule; ip route show table all; ip -6 route show table all"
            func isClean(_ text: String) -> Bool { !text.contains("777") && !text.contains("240.240") && !text.contains("fd77:6566:7400") }

            try crashed()
            #expect(!isClean(try await lab.near(routing)))
            try Leftovers.remove(.crash(keepBlock: true))
            #expect(isClean(try await lab.near(routing)))
            #expect(try await lab.calls(in: "/a", "tcp,10.77.0.2,8080", "tcp,240.240.1.2,80") == ["ECONNREFUSED", "ECONNREFUSED"])

            try Leftovers.remove(.crash(keepBlock: false))
            #expect(try await lab.calls(in: "/a", "tcp,10.77.0.2,8080", "tcp,240.240.1.2,80") == ["direct 10.77.0.1", "ECONNREFUSED"])
            let sets = try await lab.near("nft list set inet weft-guard blocked; nft list set inet weft-guard strict-ports")
            #expect(!sets.contains("elements"))

            try crashed()
            try Leftovers.remove(.purge)
            #expect(try await lab.near("nft list tables") == "")
            #expect(isClean(try await lab.near(routing)))
            // With nothing there it is no error, and nftables is not touched.
            let monitor = try NFMonitor()
            try Leftovers.remove(.purge)
            try Leftovers.remove(.crash(keepBlock: false))
            #expect(try monitor.drain().isEmpty)
        }

        @Test("an agent that was killed while it drained leaves nothing", arguments: [true, false])
        @Control
        func killedWhileDraining(keepBlock: Bool) async throws {
            let lab = try await NetLab(servers: false)
            let state = "nft list ruleset; ip rule; ip -6 rule; ip route show table all; ip -6 route show table all"
            let before = try await lab.near(state)
            let engine = try CaptureEngine.forTest(lab) { $0.outboundOnAgentExit = .block }
            try engine.start()
            engine.stop(connectionsGoOn: true)
            #expect(try await lab.near("nft list tables") == "table inet weft-guard\n")
            try Leftovers.remove(.crash(keepBlock: keepBlock))
            #expect(try await lab.near(state) == before)
        }

        @Test("while the agent drains, flows to virtual addresses go on though there is no default route, and new ones are refused at once")
        @Control
        func draining() async throws {
            let lab = try await NetLab(servers: false)
            try await lab.near("ip route del default; ip -6 route del default")
            for name in ["/a", "/free"] { lab.cgroup.make(name) }
            let engine = try CaptureEngine.forTest(lab, "a")
            try engine.start()
            defer { engine.stop() }
            let echo = """
                import socket, threading
                s = socket.create_server(("", 16001), family=socket.AF_INET6, dualstack_ipv6=True)
                def serve(c):
                    while d := c.recv(9): c.sendall(d)
                while True: threading.Thread(target=serve, args=(s.accept()[0],)).start()
                """
            try lab.start("/usr/bin/python3", "-IS", "-c", echo)
            for _ in 0..<400 where try await !lab.near("ss -Hltn").contains(":16001") { await ControlLoop.shared.sleep(.milliseconds(10)) }
            let client = """
                import socket, sys, time
                cs = [socket.create_connection(a, 5) for a in (("240.240.1.2", 80), ("fd77:6566:7400::7", 443))]
                out = open(sys.argv[1], "w", buffering=1)
                while True:
                    for c in cs: c.sendall(b"x"); assert c.recv(1) == b"x"
                    out.write("x\\n"); time.sleep(0.01)
                """
            let log = "/tmp/weft-test-draining-\(getpid())"
            defer { unlink(log) }
            try lab.start(in: "/a", "/usr/bin/python3", "-IS", "-c", client, log)
            func echoes() -> Int { (TextFile.read(log) ?? "").utf8.count / 2 }
            func reach(_ count: Int) async { for _ in 0..<400 where echoes() < count { await ControlLoop.shared.sleep(.milliseconds(5)) } }
            await reach(5)
            engine.stop(connectionsGoOn: true)
            let stopped = echoes()
            #expect(stopped >= 5)
            await reach(stopped + 20)
            #expect(echoes() >= stopped + 20)
            for cgroup in ["/a", "/free"] {
                #expect(try await lab.calls(in: cgroup, "tcp,240.240.1.2,80", "tcp,fd77:6566:7400::7,443") == ["ECONNREFUSED", "ECONNREFUSED"])
            }
            engine.forget()
            #expect(try await lab.near("nft list tables; ip route show 240.240.0.0/16; ip -6 route show fd77:6566:7400::/48") == "")
        }

        @Test("a second agent in one network namespace is refused, and the first keeps working")
        @Control
        func second() async throws {
            let lab = try await NetLab()
            lab.cgroup.make("/a")
            let first = try CaptureEngine.forTest(lab, "a")
            try first.start()
            defer { first.stop() }
            let proxy = try FakeProxy(first)
            defer { proxy.close() }
            let second = try CaptureEngine.forTest(lab, "a")
            let error = #expect(throws: MeshError.self) { try second.start() }
            #expect(error?.code == "capture_not_permitted")
            #expect(error?.description.contains("second agent") == true)
            #expect(!second.isRunning)
            #expect(try await lab.calls(in: "/a", "tcp,10.77.0.2,8080", "tcp,240.240.1.1,1") == ["16001 10.77.0.2:8080 a", "16001 240.240.1.1:1 a"])
            #expect(try await lab.near("nft list tables") == "table inet weft-guard\ntable inet weft\n")
        }
    }
}
