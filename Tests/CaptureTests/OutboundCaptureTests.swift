import Glibc
import MeshModel
import Platform
import Reactor
import Testing

@testable import Capture

extension KernelTests {
    @Suite("Outbound capture")
    struct Outbound {
        @Test("a process in a captured cgroup is led to the proxy, which knows where it wanted to go and who it is; its siblings are not")
        @Control
        func captured() async throws {
            let lab = try await NetLab()
            for name in ["/a", "/a/deep", "/a/deep/er", "/b", "/free"] { lab.cgroup.make(name) }
            let engine = try CaptureEngine.forTest(lab, "a", "b")
            try engine.start()
            defer { engine.stop() }
            let proxy = try FakeProxy(engine)
            defer { proxy.close() }

            #expect(
                try await lab.calls(in: "/a", "tcp,10.77.0.2,8080", "tcp,fd07::2,8080", "tcp,240.240.1.2,80", "tcp,fd77:6566:7400::7,443") == [
                    "16001 10.77.0.2:8080 a", "16001 [fd07::2]:8080 a", "16001 240.240.1.2:80 a", "16001 [fd77:6566:7400::7]:443 a",
                ])
            #expect(try await lab.calls(in: "/b", "tcp,10.77.0.2,8080") == ["16001 10.77.0.2:8080 b"])
            #expect(try await lab.calls(in: "/a/deep", "tcp,10.77.0.2,8080") == ["16001 10.77.0.2:8080 a"])
            #expect(try await lab.calls(in: "/a/deep/er", "tcp,10.77.0.2,8080") == ["16001 10.77.0.2:8080 a"])
            #expect(try await lab.calls(in: "/free", "tcp,10.77.0.2,8080", "tcp,fd07::2,8080") == ["direct 10.77.0.1", "direct fd07::1"])
        }

        @Test("excluded ports and networks, this host and the agent's own packets are not captured; virtual addresses are in spite of exclusions")
        @Control
        func exclusions() async throws {
            let lab = try await NetLab()
            lab.cgroup.make("/a")
            let engine = try CaptureEngine.forTest(lab, "a") {
                $0.excludedPorts = [22, 8081, 80]
                $0.excludedNetworks = [IPNetwork("fd07::/64")!, IPNetwork("240.240.0.0/16")!]
            }
            try engine.start()
            defer { engine.stop() }
            let proxy = try FakeProxy(engine)
            defer { proxy.close() }
            #expect(
                try await lab.calls(
                    in: "/a", "tcp,10.77.0.2,22", "tcp,10.77.0.2,8081", "tcp,fd07::2,8080", "tcp,10.77.0.2,8080", "tcp,240.240.9.9,80",
                    "tcp,127.0.0.1,9", "tcp,10.77.0.1,9") == [
                        "direct 10.77.0.1", "direct 10.77.0.1", "direct fd07::1", "16001 10.77.0.2:8080 a", "16001 240.240.9.9:80 a", "ECONNREFUSED",
                        "ECONNREFUSED",
                    ])
            #expect(try await lab.markedCall(in: "/a", engine.settings.excludedMark, "10.77.0.2", 8080) == "direct 10.77.0.1\n")
        }

        @Test("calls to this host are captured where that is asked for, but not those to the proxy itself")
        @Control
        func loopback() async throws {
            let lab = try await NetLab()
            lab.cgroup.make("/a")
            let engine = try CaptureEngine.forTest(lab, "a") { $0.captureLoopback = true }
            try engine.start()
            defer { engine.stop() }
            let proxy = try FakeProxy(engine)
            defer { proxy.close() }
            #expect(
                try await lab.calls(in: "/a", "tcp,127.0.0.1,9", "tcp,::1,9", "tcp,10.77.0.1,9", "tcp,127.0.0.1,16001", "tcp,::1,16006") == [
                    "16001 127.0.0.1:9 a", "16001 [::1]:9 a", "16001 10.77.0.1:9 a", "ECONNREFUSED", "ECONNREFUSED",
                ])
        }

        @Test("DNS of captured processes is redirected wherever it was going, UDP and TCP, and the caller is known")
        @Control
        func dns() async throws {
            let lab = try await NetLab()
            lab.cgroup.make("/a")
            lab.cgroup.make("/free")
            let engine = try CaptureEngine.forTest(lab, "a")
            try engine.start()
            defer { engine.stop() }
            let proxy = try FakeProxy(engine)
            defer { proxy.close() }
            #expect(
                try await lab.calls(in: "/a", "udp,10.77.0.2,53", "udp,fd07::2,53", "udp,127.0.0.53,53", "udp,::1,53", "tcp,10.77.0.2,53") == [
                    "16053 10.77.0.2:53 a", "16053 [fd07::2]:53 a", "16053 127.0.0.53:53 a", "16053 [::1]:53 a", "16053 10.77.0.2:53 a",
                ])
            #expect(try await lab.calls(in: "/free", "udp,10.77.0.2,53", "udp,fd07::2,53") == ["direct dns", "direct dns"])
        }

        @Test("DNS is left alone where it is switched off")
        @Control
        func noDNS() async throws {
            let lab = try await NetLab()
            lab.cgroup.make("/a")
            let engine = try CaptureEngine.forTest(lab, "a") { $0.captureDNS = false }
            try engine.start()
            defer { engine.stop() }
            #expect(try await lab.calls(in: "/a", "udp,10.77.0.2,53", "udp,fd07::2,53") == ["direct dns", "direct dns"])
        }

        @Test("a cgroup that is made anew is captured anew")
        @Control
        func recreated() async throws {
            let lab = try await NetLab()
            lab.cgroup.make("/a")
            let engine = try CaptureEngine.forTest(lab, "a")
            try engine.start()
            defer { engine.stop() }
            let proxy = try FakeProxy(engine)
            defer { proxy.close() }
            for _ in 0..<3 {
                lab.cgroup.remove("/a")
                lab.cgroup.make("/a")
                let id = lab.cgroup.id("/a")
                for _ in 0..<200 where engine.index.roots[id] == nil { await ControlLoop.shared.sleep(.milliseconds(2)) }
                #expect(try await lab.calls(in: "/a", "tcp,10.77.0.2,8080") == ["16001 10.77.0.2:8080 a"])
            }
        }

        @Test("a connection that exists when capture starts is left alone, though conntrack meets it only now")
        @Control
        func existing() async throws {
            let lab = try await NetLab()
            lab.cgroup.make("/a")
            // The client connects, waits for a second line, then sends.
            let far = """
                import socket
                s = socket.socket(); s.bind(("", 9000)); s.listen(); c, _ = s.accept(); c.sendall(b"one"); print(c.recv(9)); c.sendall(b"two")
                """
            async let server = lab.far("timeout 20 /usr/bin/python3 -IS -c '\(far)'")
            let client = """
                import socket, time, sys
                for i in range(200):
                    try: s = socket.create_connection(("10.77.0.2", 9000)); break
                    except OSError: time.sleep(0.02)
                s.settimeout(5); print(s.recv(9)); open(sys.argv[1], "w").close()
                while True:
                    try: open(sys.argv[1] + ".go"); break
                    except OSError: time.sleep(0.01)
                s.sendall(b"more"); print(s.recv(9))
                """
            let flag = "/tmp/weft-test-existing-\(getpid())"
            defer {
                unlink(flag)
                unlink(flag + ".go")
            }
            let enter = "echo $$ > \(lab.cgroup.full("/a"))/cgroup.procs"
            async let output = lab.near("\(enter); exec timeout 20 /usr/bin/python3 -IS -c '\(client)' \(flag)")
            for _ in 0..<2000 where access(flag, F_OK) != 0 { await ControlLoop.shared.sleep(.milliseconds(5)) }
            let engine = try CaptureEngine.forTest(lab, "a") { $0.outboundOnAgentExit = .block }
            try engine.start()
            defer { engine.stop() }
            try await lab.near("touch \(flag).go")
            #expect(try await output == "b'one'\nb'two'\n")
            #expect(try await server == "b'more'\n")
            #expect(try await lab.calls(in: "/a", "tcp,10.77.0.2,8080") == ["ECONNREFUSED"])
        }

        @Test("without an IPv6 address of its own the node still reaches virtual addresses, and so it does without any address")
        @Control
        func noAddresses() async throws {
            let lab = try await NetLab()
            try await lab.near("ip addr flush dev near; ip link set near down")
            lab.cgroup.make("/a")
            let engine = try CaptureEngine.forTest(lab, "a") {
                $0.nodeAddressV4 = IPAddress("10.77.0.1")
                $0.nodeAddressV6 = nil
            }
            try engine.start()
            defer { engine.stop() }
            let proxy = try FakeProxy(engine)
            defer { proxy.close() }
            #expect(
                try await lab.calls(in: "/a", "tcp,240.240.1.2,80", "tcp,fd77:6566:7400::7,443") == [
                    "16001 240.240.1.2:80 a", "16001 [fd77:6566:7400::7]:443 a",
                ])
            try await lab.near("ip link set near up; ip addr add 10.77.0.1/24 dev near")
            for _ in 0..<200 where engine.counters.repairs == 0 { await ControlLoop.shared.sleep(.milliseconds(5)) }
            #expect(try await lab.near("ip route show 240.240.0.0/16").contains("src 10.77.0.1"))
        }
    }
}
