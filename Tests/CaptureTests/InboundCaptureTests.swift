import Glibc
import MeshModel
import Platform
import Reactor
import Testing

@testable import Capture

extension KernelTests {
    @Suite("Inbound capture")
    struct Inbound {
        private static let server = """
            import socket, threading, time
            for f, h in ((socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "::")):
                s = socket.socket(f)
                if f == socket.AF_INET6: s.setsockopt(41, 26, 1)
                s.bind((h, 9080)); s.listen()
                def serve(s=s):
                    while True:
                        c, a = s.accept()
                        c.sendall(("app " + a[0]).encode()); c.close()
                threading.Thread(target=serve).start()
            """

        @Control
        private func serve(_ lab: NetLab) async throws {
            try lab.start("/usr/bin/python3", "-IS", "-c", Self.server)
            for _ in 0..<400 {
                if try await lab.near("ss -Hltn | grep -c :9080 || true") == "2\n" { return }
                await ControlLoop.shared.sleep(.milliseconds(10))
            }
        }

        private static let both = [SocketAddress("10.77.0.1:9080")!, SocketAddress("[fd07::1]:9080")!]
        private static let led = ["inbound 10.77.0.1:9080 from 10.77.0.2", "inbound [fd07::1]:9080 from fd07::2"]

        @Test("plaintext from outside to a registered endpoint is led to the agent and keeps its addresses; other ports are not, nor are local callers")
        @Control
        func registered() async throws {
            let lab = try await NetLab()
            try await serve(lab)
            let engine = try CaptureEngine.forTest(lab)
            engine.setInboundEndpoints(Self.both)
            try engine.start()
            defer { engine.stop() }
            let proxy = try FakeProxy(engine)
            defer { proxy.close() }
            #expect(try await lab.callsFromFar("tcp,10.77.0.1,9080", "tcp,fd07::1,9080") == Self.led)
            #expect(try await lab.calls("tcp,10.77.0.1,9080", "tcp,fd07::1,9080") == ["app 10.77.0.1", "app fd07::1"])
            engine.setInboundEndpoints([SocketAddress("10.77.0.1:9080")!])
            #expect(try await lab.callsFromFar("tcp,10.77.0.1,9080", "tcp,fd07::1,9080") == [Self.led[0], "app fd07::2"])
            engine.setInboundEndpoints([])
            #expect(try await lab.callsFromFar("tcp,10.77.0.1,9080", "tcp,fd07::1,9080") == ["app 10.77.0.2", "app fd07::2"])
        }

        @Test("it is led there when the host answers with SYN cookies, and when the host itself translated the address", arguments: [1, 2])
        @Control
        func hostSettings(cookies: Int) async throws {
            let lab = try await NetLab()
            try await serve(lab)
            // 2: a cookie for every connection, so that its first packet leaves nothing behind.
            try await lab.near("sysctl -qw net.ipv4.tcp_syncookies=\(cookies)")
            try await lab.near(
                "nft 'table inet host { chain forward { type nat hook prerouting priority dstnat; tcp dport 80 redirect to :9080; }; }'")
            let engine = try CaptureEngine.forTest(lab)
            engine.setInboundEndpoints(Self.both)
            try engine.start()
            defer { engine.stop() }
            let proxy = try FakeProxy(engine)
            defer { proxy.close() }
            for port in [9080, 80] {
                #expect(try await lab.callsFromFar("tcp,10.77.0.1,\(port)", "tcp,fd07::1,\(port)") == Self.led)
            }
        }

        @Test("excluded ports are not led to the agent")
        @Control
        func excluded() async throws {
            let lab = try await NetLab()
            try await serve(lab)
            let engine = try CaptureEngine.forTest(lab) { $0.excludedPorts = [9080] }
            engine.setInboundEndpoints(Self.both)
            try engine.start()
            defer { engine.stop() }
            let proxy = try FakeProxy(engine)
            defer { proxy.close() }
            #expect(try await lab.callsFromFar("tcp,10.77.0.1,9080", "tcp,fd07::1,9080") == ["app 10.77.0.2", "app fd07::2"])
        }

        @Test("what is forwarded to an endpoint behind this host passes, and is led to the agent once the endpoint's address is this host's")
        @Control
        func forwarded() async throws {
            let lab = try await NetLab()
            let behind = try lab.start("unshare", "-n", "/usr/bin/python3", "-IS", "-c", Self.server)
            let enter = "nsenter --net=/proc/\(behind)/ns/net"
            // Before its server is there the process may still be in near's namespace.
            try await lab.near("for i in $(seq 500); do \(enter) ss -Hltn | grep -q :9080 && break; sleep 0.01; done")
            try await lab.near(
                """
                sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1 net.ipv6.conf.default.accept_dad=0
                ip link add inner type veth peer name eth0 netns \(behind)
                ip addr add 10.78.0.1/24 dev inner; ip -6 addr add fd08::1/64 dev inner nodad; ip link set inner up
                \(enter) sh -ec 'sysctl -qw net.ipv6.conf.eth0.accept_dad=0; ip addr add 10.78.0.2/24 dev eth0; ip -6 addr add fd08::2/64 dev eth0 nodad; ip link set eth0 up
                    ip route add default via 10.78.0.1; ip -6 route add default via fd08::1'
                """)
            try await lab.far("ip route add 10.78.0.0/24 via 10.77.0.1; ip -6 route add fd08::/64 via fd07::1")
            let engine = try CaptureEngine.forTest(lab)
            engine.setInboundEndpoints([SocketAddress("10.78.0.2:9080")!, SocketAddress("[fd08::2]:9080")!])
            try engine.start()
            defer { engine.stop() }
            let proxy = try FakeProxy(engine)
            defer { proxy.close() }
            #expect(try await lab.callsFromFar("tcp,10.78.0.2,9080", "tcp,fd08::2,9080") == ["app 10.77.0.2", "app fd07::2"])
            try await lab.near("ip addr add 10.78.0.2/32 dev lo; ip -6 addr add fd08::2/128 dev lo nodad")
            #expect(
                try await lab.callsFromFar("tcp,10.78.0.2,9080", "tcp,fd08::2,9080")
                    == ["inbound 10.78.0.2:9080 from 10.77.0.2", "inbound [fd08::2]:9080 from fd07::2"])
        }

        @Test("connections that are older than the rules go on, and those of the agent go on without the rules", .timeLimit(.minutes(1)))
        @Control
        func existing() async throws {
            let lab = try await NetLab()
            let echo = """
                import socket, threading
                s = socket.socket(socket.AF_INET6); s.setsockopt(1, 2, 1); s.bind(("::", 9080)); s.listen()
                def serve(c):
                    while d := c.recv(100): c.sendall(b"app " + d)
                while True: threading.Thread(target=serve, args=(s.accept()[0],)).start()
                """
            try lab.start("/usr/bin/python3", "-IS", "-c", echo)
            let ready = "/tmp/weft-test-existing-\(getpid())"
            defer { for step in 0...2 { unlink("\(ready)\(step)") } }
            for _ in 0..<400 where try await lab.near("ss -Hltn | grep -c :9080 || true") != "1\n" { await ControlLoop.shared.sleep(.milliseconds(10)) }
            // Each line is sent once the file of its number is there.
            let client = """
                import os, socket, time
                cs = [socket.create_connection((h, 9080), 2) for h in ("10.77.0.1", "fd07::1")]
                for step in range(3):
                    print(*[c.sendall(b"%d" % step) or c.recv(100).decode() for c in cs], sep=",", flush=True)
                    open("\(ready)%d" % step, "w").close()
                    while step < 2 and not os.path.exists("\(ready)go%d" % step): time.sleep(0.005)
                """
            async let said = lab.far("timeout 20 /usr/bin/python3 -IS -c '\(client)'")
            func reached(_ step: Int) async { for _ in 0..<400 where access("\(ready)\(step)", F_OK) != 0 { await ControlLoop.shared.sleep(.milliseconds(5)) } }
            func go(_ step: Int) { close(creat("\(ready)go\(step)", 0o600)) }
            defer { for step in 0...2 { unlink("\(ready)go\(step)") } }
            let engine = try CaptureEngine.forTest(lab)
            engine.setInboundEndpoints(Self.both, strictPorts: [9080])
            await reached(0)
            try engine.start()
            defer { engine.stop() }
            let proxy = try FakeProxy(engine)
            defer { proxy.close() }
            #expect(try await lab.callsFromFar("tcp,10.77.0.1,9080") == [Self.led[0]])
            go(0)
            await reached(1)
            engine.stop()
            go(1)
            #expect(try await said == "app 0,app 0\napp 1,app 1\napp 2,app 2\n")
        }

        @Test("a table that redirects, as an older version made it, is replaced")
        @Control
        func older() async throws {
            let lab = try await NetLab()
            try await serve(lab)
            try await lab.near(
                "nft 'table inet weft { chain prerouting { type nat hook prerouting priority -100; tcp dport 9080 redirect to :16006; }; }'")
            let engine = try CaptureEngine.forTest(lab)
            engine.setInboundEndpoints(Self.both)
            try engine.start()
            defer { engine.stop() }
            let proxy = try FakeProxy(engine)
            defer { proxy.close() }
            #expect(try await lab.callsFromFar("tcp,10.77.0.1,9080", "tcp,fd07::1,9080") == Self.led)
            #expect(try await !lab.near("nft list ruleset").contains("redirect to :16006"))
        }

        @Test("a port under STRICT takes no plaintext that was not led to the agent, and is closed after a crash where inbound blocks")
        @Control
        func strict() async throws {
            let lab = try await NetLab()
            try await serve(lab)
            for mode in [CaptureSettings.OnAgentExit.block, .bypass] {
                let engine = try CaptureEngine.forTest(lab) { $0.inboundOnAgentExit = mode }
                engine.setInboundEndpoints([SocketAddress("10.77.0.1:9080")!], strictPorts: [9080])
                try engine.start()
                let proxy = try FakeProxy(engine)
                let direct = { (text: String) in mode == .block ? "ECONNREFUSED" : text }
                #expect(
                    try await lab.callsFromFar("tcp,10.77.0.1,9080", "tcp,fd07::1,9080")
                        == [Self.led[0], direct("app fd07::2")])
                // From this host: over loopback always, over its own address not.
                #expect(
                    try await lab.calls("tcp,127.0.0.1,9080", "tcp,::1,9080", "tcp,10.77.0.1,9080") == [
                        "app 127.0.0.1", "app ::1", direct("app 10.77.0.1"),
                    ])
                // The agent itself reaches it.
                #expect(try await lab.markedCall(engine.settings.excludedMark, "10.77.0.1", 9080) == "app 10.77.0.1\n")
                proxy.close()
                _ = engine.crash()
                #expect(try await lab.callsFromFar("tcp,10.77.0.1,9080") == [direct("app 10.77.0.2")])
                try Leftovers.remove(.purge)
            }
        }

        @Test("the application sees a client's own address, and its answers come back to the agent", arguments: [0, 1])
        @Control
        func spoofed(reversePathFilter: Int) async throws {
            let lab = try await NetLab()
            try await lab.near("for i in all lo near; do sysctl -qw net.ipv4.conf.$i.rp_filter=\(reversePathFilter); done")
            try await serve(lab)
            let engine = try CaptureEngine.forTest(lab)
            engine.setInboundEndpoints([SocketAddress("10.77.0.1:9080")!], strictPorts: [9080])
            try engine.start()
            defer { engine.stop() }
            let spoof = """
                import socket
                for f, to, by, level, option in ((socket.AF_INET, "10.77.0.1", "10.77.0.2", 0, 19), (socket.AF_INET6, "fd07::1", "fd07::2", 41, 75)):
                    s = socket.socket(f); s.settimeout(2); s.setsockopt(1, 36, \(engine.settings.spoofedMark)); s.setsockopt(level, option, 1)
                    s.bind((by, 0)); s.connect((to, 9080)); print(s.recv(99).decode())
                """
            #expect(try await lab.near("/usr/bin/python3 -IS -c '\(spoof)'") == "app 10.77.0.2\napp fd07::2\n")
        }
    }
}
