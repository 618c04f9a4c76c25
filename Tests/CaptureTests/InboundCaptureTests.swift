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

        @Test("plaintext from outside to a registered endpoint is led to the inbound port; other ports are not, and the caller is unknown here")
        @Control
        func registered() async throws {
            let lab = try await NetLab()
            try await serve(lab)
            let engine = try CaptureEngine.forTest(lab)
            engine.setInboundEndpoints([SocketAddress("10.77.0.1:9080")!, SocketAddress("[fd07::1]:9080")!])
            try engine.start()
            defer { engine.stop() }
            let proxy = try FakeProxy(engine)
            defer { proxy.close() }
            #expect(
                try await lab.callsFromFar("tcp,10.77.0.1,9080", "tcp,fd07::1,9080")
                    == ["16006 10.77.0.1:9080 unknown(no_socket)", "16006 [fd07::1]:9080 unknown(no_socket)"])
            engine.setInboundEndpoints([SocketAddress("10.77.0.1:9080")!])
            #expect(
                try await lab.callsFromFar("tcp,10.77.0.1,9080", "tcp,fd07::1,9080") == ["16006 10.77.0.1:9080 unknown(no_socket)", "app fd07::2"])
            engine.setInboundEndpoints([])
            #expect(try await lab.callsFromFar("tcp,10.77.0.1,9080", "tcp,fd07::1,9080") == ["app 10.77.0.2", "app fd07::2"])
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
                        == ["16006 10.77.0.1:9080 unknown(no_socket)", direct("app fd07::2")])
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
