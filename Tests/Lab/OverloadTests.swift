import FoundationEssentials
import Glibc
import Testing

extension Lab {
    /// The agent has less than is asked of it: it stays up, answers its socket, refuses with a reason, and gives back what it took.
    @Suite("Overload")
    struct OverloadTests {
        struct Storm: Decodable {
            let answered: Int
            let refused: Int
            let silent: Int
            let peak: Int
            let seconds: Double
        }

        /// Starts `storm.py` on a host, against `reviews`.
        private func storm(_ host: LabHost, _ count: Int, open: Int, processes: Int = 4, _ more: String...) throws -> Program {
            let program = host.network.program("storm.py")
            return try host.start("web", ["nice", host.network.python, "-IBS", program, "reviews", "9080", "\(count)", "\(open)", "\(processes)"] + more)
        }

        private func result(_ program: Program, seconds: Double = 60) throws -> Storm {
            let output = try program.wait(seconds: seconds)
            guard let line = output.out.split(separator: "\n").last else { throw LabFailure("storm.py: \(output.errors.suffix(1000))") }
            return try JSONDecoder().decode(Storm.self, from: Data(line.utf8))
        }

        /// Host b with `reviews` for many callers, and a with the workload `web`.
        private func pair(_ network: LabNetwork, extra: String = "", prefix: [String] = []) throws -> (a: LabHost, b: LabHost) {
            // Tunnels are kept for a while when their flows have ended; what is measured is what is left then. Of other work on this machine nothing is: the
            // agent and who asks it go first.
            let short = "timeouts:\n  drain: 2s\n  tunnelIdle: 3s\n"
            let (a, b) = try LabMesh.pair(network, extra: extra + short, server: "many.py", prefix: ["nice", "-n", "-10"] + prefix)
            for host in [a, b] { try host.shell("sysctl -qw net.ipv4.ip_local_port_range='20000 60999'") }
            return (a, b)
        }

        /// Asks the socket again and again while `program` runs; the slowest answer in seconds.
        private func ask(_ hosts: [LabHost], while program: Program, _ look: () throws -> Void = {}) throws -> (slowest: Double, asked: Int) {
            var (slowest, asked) = (0.0, 0)
            let end = Clock.now + 60
            while program.status == nil, Clock.now < end {
                try look()
                for host in hosts {
                    let answer = try host.run(nil, "nice", "-n", "-10", "curl", "-sS", "--max-time", "5", "-o", "/dev/null", "-w", "%{http_code} %{time_total}", "--unix-socket", host.socket, "http://weft/v1/status")
                    let words = answer.out.split(separator: " ")
                    guard words.count == 2, words[0] == "200", let time = Double(words[1]) else { throw LabFailure("\(host.name) did not answer: \(answer.out) \(answer.errors)") }
                    slowest = max(slowest, time)
                    asked += 1
                }
                usleep(100_000)
            }
            return (slowest, asked)
        }

        /// Resident memory in KiB, without what is mapped from files.
        private func resident(_ host: LabHost) -> Int {
            let line = Files.read("/proc/\(host.agent!.pid)/status").split(separator: "\n").first { $0.hasPrefix("RssAnon:") }
            return line.flatMap { Int($0.split(separator: " ").dropLast().last ?? "") } ?? 0
        }

        private func ends(_ host: LabHost, _ reason: String) throws -> Int { Int(try host.metric("weft_flow_ends_total", ["reason": reason]) ?? 0) }

        @Test(
            "a storm of 20,000 connections, 6,000 at once from four processes: the agents answer within a second, serve all or shed with a reason, and recover",
            .timeLimit(.minutes(2)), arguments: [16, 6])
        func connectStorm(tunnels: Int) throws {
            try LabNetwork.with { network in
                // Of 256 streams each, for each of two workers.
                let (a, b) = try pair(network, extra: "limits:\n  tunnelsPerPeer: \(tunnels)\n")
                // What a first use of every part takes is not what a storm takes.
                _ = try result(try storm(a, 400, open: 200))
                try settled([a, b])
                let before = [a, b].map(resident)
                let program = try storm(a, 20_000, open: 6000)
                let (slowest, asked) = try ask([a, b], while: program)
                let storm = try result(program)
                print("storm: \(storm); \(asked) questions, the slowest took \(Int(slowest * 1000)) ms")
                #expect(slowest < 1)
                #expect(storm.answered + storm.refused == 20_000 && storm.silent == 0)
                #expect((storm.refused == 0) == (tunnels == 16), "room for all, or for half of them")
                #expect(storm.peak == 6000 || storm.refused > 0)
                // Each that was refused is counted with its reason, and on record.
                #expect(try ends(a, "tunnel_limit") == storm.refused)
                if storm.refused > 0 { #expect(try a.flows().contains { $0.reason == "tunnel_limit" }) }
                try settled([a, b])
                for (host, former) in zip([a, b], before) { try recovers(host, former) }
                #expect(try result(try self.storm(a, 200, open: 100)).answered == 200)
            }
        }

        @Test("at the descriptor limit connections wait or are shed with a reason, the socket answers within a second, and all is well afterwards", .timeLimit(.minutes(2)))
        func descriptorLimit() throws {
            try LabNetwork.with { network in
                let (a, b) = try pair(network, prefix: ["prlimit", "--nofile=800:800"])
                let program = try storm(a, 3000, open: 1500)
                let (slowest, asked) = try ask([a, b], while: program)
                let storm = try result(program)
                print("descriptors: \(storm); \(asked) questions, the slowest took \(Int(slowest * 1000)) ms")
                #expect(slowest < 1)
                #expect(storm.answered > 500 && storm.silent == 0, "who waits sees an end")
                #expect(try ends(a, "descriptor_limit") > 0)
                #expect(try a.metric("weft_accept_pauses_total") ?? 0 > 0)
                #expect(a.agentLog.contains("raise LimitNOFILE"), "the operator is told")
                try settled([a, b])
                let after = try result(try self.storm(a, 200, open: 100))
                #expect(after.answered == 200)
            }
        }

        @Test(
            "flows that are not read stay inside their namespace's bound for memory: the next ones end with that reason, later ones are served, and the memory is given back",
            .timeLimit(.minutes(2)))
        func memoryBound() throws {
            try LabNetwork.with { network in
                let (a, b) = try pair(network, extra: "limits:\n  namespace:\n    memory: 4MiB\n")
                _ = try result(try storm(a, 400, open: 200))
                try settled([a, b])
                let before = resident(a)
                let done = "\(network.root)/done"
                let program = try storm(a, 300, open: 300, processes: 2, done)
                var (most, charged) = (0, 0.0)
                let (slowest, asked) = try ask([a], while: program) {
                    most = max(most, resident(a))
                    charged = max(charged, try a.metric("weft_namespace_memory_bytes", ["namespace": "default"]) ?? 0)
                    // There are windows of 16 KiB for 256 flows, and of each more than half waits.
                    if try ends(a, "namespace_memory_limit") >= 20, try a.metric("weft_buffered_bytes") ?? 0 > 2.1e6 { try Files.write(done, "") }
                }
                _ = try result(program)
                print("memory: \(before) KiB, \(most) KiB at the most, \(charged) bytes charged; \(asked) questions, the slowest took \(Int(slowest * 1000)) ms")
                #expect(slowest < 1)
                #expect(charged > 4e6 && charged <= 4 * 1_048_576)
                #expect(most < before + (16 << 10))
                try settled([a, b])
                #expect(try a.metric("weft_buffered_bytes") == 0)
                try recovers(a, before)
                #expect(try result(try storm(a, 200, open: 100)).answered == 200)
            }
        }

        /// No flow is open.
        private func settled(_ hosts: [LabHost]) throws {
            for host in hosts { try Clock.until("no flow is open on \(host.name)", seconds: 30) { try host.metric("weft_flows") == 0 } }
        }

        /// Within a fifth and 8 MiB of what it was, after some seconds: what `MemoryReturn` leaves, and the slabs of flows, are kept.
        private func recovers(_ host: LabHost, _ former: Int) throws {
            let start = Clock.now
            var now = resident(host)
            while now > former + former / 5 + (8 << 10), Clock.now - start < 20 {
                usleep(100_000)
                now = resident(host)
            }
            #expect(now <= former + former / 5 + (8 << 10), "\(host.name): \(former) KiB before, \(now) KiB after")
            print("\(host.name): \(former) KiB before, \(now) KiB \(Int(Clock.now - start)) s after")
        }
    }
}
