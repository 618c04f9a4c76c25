import Glibc
import Platform
import Reactor
import Testing

@testable import Proxy

/// Each runs in a process of its own: they count, or take away, what other tests of this process use too.
@Suite("Leaks and limits of the process", .serialized)
struct LeakTests {
    @Test("after 100,000 flows with every kind of end nothing is left behind: descriptors, flows, tunnels, buffers, memory", .timeLimit(.minutes(5)))
    func everyEnd() async {
        await #expect(processExitsWith: .success) {

            Peers.raiseDescriptorLimit()
            try await Endings.runAll(direct: true)
            try await Endings.runAll(direct: false)
            Certificates.remove()
        }
    }

    @Test("when descriptors run out, callers see an end and not silence, and all is well again afterwards", .timeLimit(.minutes(1)))
    func descriptorsExhausted() async {
        await #expect(processExitsWith: .success) {
            try await Exhaustion.run()
            Certificates.remove()
        }
    }
}

/// Says what is wrong, to the parent process too.
private func must(_ condition: Bool, _ what: @autoclosure () -> String) {
    if !condition { Issue.record("\(what())") }
}

/// Flows with all kinds of ends, many times.
@Control
private enum Endings {
    /// What the application does is in the first byte that it gets.
    nonisolated static func application(_ fd: CInt) {
        var order: UInt8 = 0
        guard read(fd, &order, 1) == 1 else { return }
        switch order {
        case UInt8(ascii: "r"): Socket.resetOnClose(fd)
        case UInt8(ascii: "s"):
            Peers.sendAll(fd, [UInt8](repeating: 1, count: 2 << 20))
            _ = Peers.receiveAll(fd)
        case UInt8(ascii: "h"):
            Peers.sendAll(fd, [1])
            _ = Peers.receiveAll(fd)
            // Keeps its side open until the proxy ends it.
            var gone = pollfd(fd: fd, events: 0, revents: 0)
            poll(&gone, 1, 20_000)
        default: Peers.echo(fd)
        }
    }

    /// One flow from the caller's side; returns when it is over.
    nonisolated static func call(_ kind: Character, _ entry: SocketAddress) throws {
        let fd = try Peers.connect(entry)
        defer { close(fd) }
        var byte: UInt8 = 0
        switch kind {
        case "f":
            Peers.sendAll(fd, Array("e".utf8) + Peers.pattern(3000))
            shutdown(fd, CInt(SHUT_WR))
            must(Peers.receiveAll(fd)?.count == 3000, "an echo came back whole")
        case "b":
            // Enough for pipes.
            Peers.sendAside(fd, Array("e".utf8) + Peers.pattern(600_000), thenEnd: false)
            var left = 600_000
            var buffer = [UInt8](repeating: 0, count: 65_536)
            while left > 0, case let count = read(fd, &buffer, buffer.count), count > 0 { left -= count }
            must(left == 0, "all of a bulk transfer came back")
        case "c":
            Peers.sendAll(fd, Array("h".utf8))
            _ = read(fd, &byte, 1)
            Socket.resetOnClose(fd)
        case "r":
            Peers.sendAll(fd, Array("r".utf8))
            _ = read(fd, &byte, 1)
        case "t", "i":
            // Half closed, or open and silent, until the proxy's timeout.
            Peers.sendAll(fd, Array("h".utf8))
            _ = read(fd, &byte, 1)
            if kind == "t" { shutdown(fd, CInt(SHUT_WR)) }
            must(read(fd, &byte, 1) <= 0, "a silent flow was ended")
        case "s":
            // A reader that takes nothing and dies.
            Peers.sendAll(fd, Array("s".utf8))
            usleep(30_000)
            Socket.resetOnClose(fd)
        default:
            // Gone before it was accepted.
            Socket.resetOnClose(fd)
        }
    }

    static func runAll(direct: Bool) async throws {
        // The application's own listener stays.
        let application = try Peers.server(application)
        let before = Peers.openDescriptors()
        var (first, last) = (0, 0)
        do {
            let mesh = try await Mesh([application], direct: direct)
            // Only for flows that are to time out: on a busy machine any other might too.
            let impatient = try await Mesh([application], direct: direct) {
                $0.timeouts.halfClosed = .milliseconds(300)
                $0.timeouts.idle = .milliseconds(500)
            }
            // The first two rounds warm things up: slabs, pools, the timer wheel's buckets.
            for number in 0..<4 {
                async let slow: Void = timeouts(impatient)
                try await round(mesh, direct, quick: number < 2 ? 15 : 790)
                try await slow
                // Threads of the callers may still be on their way out, and an ended flow's timer stays in the wheel until its time.
                for _ in 0..<5 {
                    await mesh.until {
                        last = Peers.allocatedBytes()
                        return number < 3 || last - first < Self.growth
                    }
                }
                if number == 1 { first = last }
            }
            var flows = 0
            for pool in [mesh.near, mesh.far, impatient.near, impatient.far] {
                let worker = await pool.statistics()[0]
                let (opened, closed) = worker.flows.values.reduce(into: (0, 0)) { $0 = ($0.0 + Int($1.opened), $0.1 + Int($1.closed)) }
                if pool === mesh.near || pool === impatient.near { flows += closed }
                must(opened == closed, "\(opened) flows opened, \(closed) closed")
                must(worker.ends.reduce(0, +) == UInt64(closed), "\(closed) flows closed, \(worker.ends) ends")
                let owed = pool.tenants.figures().filter { $0.flows != 0 || $0.memory != 0 }
                must(owed.isEmpty, "charged and not given back: \(owed)")
            }
            must(flows >= 50_000, "\(flows) flows ended")
            await mesh.stop()
            await impatient.stop()
        }
        for _ in 0..<200 where Peers.openDescriptors() > before { await ControlLoop.shared.sleep(.milliseconds(10)) }
        must(Peers.openDescriptors() <= before, "\(Peers.openDescriptors()) descriptors are open, \(before) were before: \(Peers.descriptorNames())")
        must(last - first < growth, "\(last - first) bytes more in use than after the second round")
    }

    /// What malloc may have given out more than two rounds before: less than six bytes for each flow.
    private static let growth = 250 << 10

    private static func timeouts(_ mesh: Mesh) async throws {
        let entry = mesh.entry
        try await withThrowingTaskGroup(of: Void.self) { group in
            for kind in ["t", "i"] as [Character] {
                for _ in 0..<60 { group.addTask { try await blockingWork { try call(kind, entry) } } }
            }
            try await group.waitForAll()
        }
        await mesh.until { await mesh.sum { $0.liveFlows + $0.bufferedBytes } == 0 }
        must(mesh.ended.allSatisfy { [.halfClosedTimeout, .idleTimeout, .clientReset, .serverReset].contains($0.end) }, "\(mesh.ended.map(\.end))")
        mesh.forgetEnded()
    }

    /// - Parameter quick: how many flows of each kind that ends at once each of eight threads makes.
    private static func round(_ mesh: Mesh, _ direct: Bool, quick: Int) async throws {
        let entry = mesh.entry
        let kinds: [(Character, Int, Int)] = [("f", 8, quick), ("b", 8, 2), ("c", 8, quick), ("r", 8, quick), ("x", 8, quick), ("s", 16, 3)]
        try await withThrowingTaskGroup(of: Void.self) { group in
            for (kind, threads, times) in kinds {
                for _ in 0..<threads { group.addTask { try await blockingWork { for _ in 0..<times { try call(kind, entry) } } } }
            }
            try await group.waitForAll()
        }
        if !direct {
            // Every tunnel dies under its flows, and in the middle of being used.
            let fds = try await blockingWork { try (0..<40).map { _ in try Peers.connect(entry) } }
            for fd in fds { Peers.sendAll(fd, Array("h".utf8)) }
            await mesh.until { await mesh.near.statistics()[0].liveFlows == 40 }
            mesh.near.forget(mesh.tunnel)
            for fd in fds { close(fd) }
            // Connections of the tunnel port that other parts of the agent take over.
            let port = mesh.tunnel
            try await blockingWork { for _ in 0..<400 { _ = try RawTunnel(port, as: "client", alpn: ["weft-plane/1"]) } }
        }
        await mesh.until { await mesh.sum { $0.liveFlows + $0.bufferedBytes } == 0 }
        let live = await mesh.sum(\.liveFlows)
        let buffered = await mesh.sum(\.bufferedBytes)
        let tunnels = await mesh.sum(\.liveTunnels)
        must(live == 0 && buffered == 0 && tunnels <= 2, "left: \(live) flows, \(buffered) bytes, \(tunnels) tunnels")
        mesh.forgetEnded()
    }
}

@Control
private enum Exhaustion {
    static func run() async throws {
        let mesh = try await Mesh([try Peers.server(Peers.echo)], direct: true)
        let entry = mesh.entry
        // Pending callers take their descriptors before the limit falls.
        let fds = try await blockingWork {
            try (0..<40).map { _ in
                let fd = try Peers.connect(entry)
                var byte: UInt8 = 0
                Peers.sendAll(fd, [1])
                must(read(fd, &byte, 1) == 1, "served before")
                return fd
            }
        }
        var limit = rlimit()
        getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
        let old = limit.rlim_cur
        // Room for the callers of the test, none for the proxy's side of them.
        limit.rlim_cur = rlim_t(Peers.highestDescriptor() + 8)
        setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
        let caller = try await blockingWork {
            // Fill every hole but one, then call with the last.
            var holes: [CInt] = []
            while case let fd = open("/dev/null", O_RDONLY), fd >= 0 { holes.append(fd) }
            must(!holes.isEmpty, "there was a hole to call with \(Errno.current) \(Peers.highestDescriptor()) \(Peers.openDescriptors())")
            if let last = holes.popLast() { close(last) }
            let fd = try Peers.connect(entry)
            var byte: UInt8 = 0
            let count = read(fd, &byte, 1)
            close(fd)
            for hole in holes { close(hole) }
            return count
        }
        must(caller <= 0, "the caller saw an end")
        let statistics = await mesh.near.statistics()[0]
        must(statistics.acceptsPaused >= 1 && statistics.ends[Int(FlowEnd.descriptorLimit.rawValue)] >= 1, "the pause was counted")
        must(mesh.problems.contains { $0.code == "descriptor_limit" }, "the operator was told")
        limit.rlim_cur = old
        setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
        for fd in fds { close(fd) }
        await mesh.until { await mesh.near.statistics()[0].liveFlows == 0 }
        let answer = try await blockingWork {
            let fd = try Peers.connect(entry)
            defer { close(fd) }
            Peers.sendAll(fd, [9])
            shutdown(fd, CInt(SHUT_WR))
            return Peers.receiveAll(fd)
        }
        must(answer == [9], "served again")
        await mesh.stop()
    }
}
