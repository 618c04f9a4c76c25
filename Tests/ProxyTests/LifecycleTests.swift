import Glibc
import Platform
import Reactor
import Testing

@testable import Proxy

@Suite("Life of a worker", .serialized)
struct LifecycleTests {
    private static func exchange(_ entry: SocketAddress) async throws -> [UInt8]? {
        try await blockingWork {
            let fd = try Peers.connect(entry)
            defer { close(fd) }
            Peers.sendAll(fd, [1, 2, 3])
            shutdown(fd, CInt(SHUT_WR))
            return Peers.receiveAll(fd)
        }
    }

    @Control
    @Test("a worker has its share of the processor in short pieces, where the kernel can do that")
    func timeSlice() async throws {
        let mesh = try await Mesh([try Peers.server(Peers.echo)])
        _ = await (mesh.near.statistics(), mesh.far.statistics())
        for slice in WorkerThreads.slices { #expect(slice == "500000") }
        await mesh.stop()
    }

    @Control
    @Test("connections wait for the first snapshot, and are served then")
    func held() async throws {
        let mesh = try await Mesh([try Peers.server(Peers.echo)], start: false)
        let entry = mesh.entry
        async let answers = withThrowingTaskGroup(of: [UInt8]?.self) { group in
            for _ in 0..<20 { group.addTask { try await Self.exchange(entry) } }
            return try await group.reduce(into: []) { $0.append($1) }
        }
        await ControlLoop.shared.sleep(.milliseconds(200))
        #expect(mesh.ended.isEmpty)
        mesh.far.apply(mesh.snapshots!.far)
        mesh.near.apply(mesh.snapshots!.near)
        #expect(try await answers == Array(repeating: [1, 2, 3], count: 20))
        await mesh.stop()
    }

    @Control
    @Test("connections that waited too long for the first snapshot are refused, captured and tunnels alike, and later ones served")
    func refusedAfterHold() async throws {
        let mesh = try await Mesh([try Peers.server(Peers.echo)], start: false) { $0.timeouts.hold = .milliseconds(200) }
        let tunnel = mesh.tunnel
        #expect(try await Self.exchange(mesh.entry) == nil)
        let refused = try await blockingWork {
            let fd = try Peers.connect(tunnel)
            defer { close(fd) }
            var byte: UInt8 = 0
            return read(fd, &byte, 1) <= 0
        }
        #expect(refused)
        for pool in [mesh.near, mesh.far] { #expect(await pool.statistics()[0].ends[Int(FlowEnd.notReady.rawValue)] == 1) }
        mesh.far.apply(mesh.snapshots!.far)
        mesh.near.apply(mesh.snapshots!.near)
        #expect(try await Self.exchange(mesh.entry) == [1, 2, 3])
        await mesh.stop()
    }

    @Control
    @Test("flows beyond what the tunnels to an endpoint take are refused as such; nothing else suffers")
    func atCapacity() async throws {
        let mesh = try await Mesh([try Peers.server(Peers.echo)]) {
            $0.limits.tunnelsPerPeer = 2
            $0.limits.streamsPerTunnel = 3
        }
        let fds = try (0..<8).map { _ in try Peers.connect(mesh.entry) }
        #expect(await mesh.ends(2).map(\.end) == [.tunnelLimit, .tunnelLimit])
        await mesh.until { await mesh.sum(\.liveFlows) == 12 }
        #expect(await mesh.near.statistics()[0].tunnelsOpened == 2)
        for fd in fds { close(fd) }
        await mesh.until { await mesh.sum(\.liveFlows) == 0 }
        #expect(try await Self.exchange(mesh.entry) == [1, 2, 3])
        await mesh.stop()
    }

    @Control
    @Test("flows beyond the worker's bound are reset and counted")
    func flowLimit() async throws {
        let mesh = try await Mesh([try Peers.server(Peers.echo)], direct: true) { $0.limits.flows = 4 }
        let fds = try (0..<6).map { _ in try Peers.connect(mesh.entry) }
        await mesh.until { await mesh.near.statistics()[0].ends[Int(FlowEnd.flowLimit.rawValue)] == 2 }
        #expect(await mesh.near.statistics()[0].ends[Int(FlowEnd.flowLimit.rawValue)] == 2)
        #expect(await mesh.near.statistics()[0].liveFlows == 4)
        for fd in fds { close(fd) }
        await mesh.stop()
    }

    @Control
    @Test("a draining node lets flows finish, takes no new ones, and then stops at once", arguments: [true, false])
    func drains(direct: Bool) async throws {
        let mesh = try await Mesh([try Peers.server(Peers.echo)], direct: direct) { $0.timeouts.idle = .zero }
        let fd = try Peers.connect(mesh.entry)
        Peers.sendAll(fd, [1])
        _ = try await blockingWork { var byte: UInt8 = 0; return read(fd, &byte, 1) }
        let started = MonotonicTime.now()
        async let drained: Void = mesh.near.drain(grace: .seconds(20))
        async let drainedFar: Void = mesh.far.drain(grace: .seconds(20))
        await ControlLoop.shared.sleep(.milliseconds(200))
        #expect(throws: Errno.self) { _ = try Peers.connect(mesh.entry) }
        let rest = try await blockingWork {
            Peers.sendAll(fd, [2, 3])
            shutdown(fd, CInt(SHUT_WR))
            return Peers.receiveAll(fd)
        }
        #expect(rest == [2, 3])
        _ = await (drained, drainedFar)
        #expect(MonotonicTime.now() - started < .seconds(3))
        #expect(mesh.ended.allSatisfy { $0.end == .completed }, "\(mesh.ended.map(\.end)) \(mesh.problems.map(\.message))")
        close(fd)
    }

    @Control
    @Test("the grace ends on time also when nothing happens and no timer runs")
    func graceEnds() async throws {
        let mesh = try await Mesh([try Peers.server(Peers.echo)], direct: true) { $0.timeouts.idle = .zero }
        let fd = try Peers.connect(mesh.entry)
        Peers.sendAll(fd, [1])
        _ = try await blockingWork { var byte: UInt8 = 0; return read(fd, &byte, 1) }
        // Longer than a connect's timer may still be in the wheel in a test of seconds: no timer is what the worker must not depend on.
        let started = MonotonicTime.now()
        await mesh.near.drain(grace: .milliseconds(300))
        #expect(MonotonicTime.now() - started < .seconds(1))
        #expect(mesh.ended.map(\.end) == [.agentStopping])
        close(fd)
        await mesh.far.drain(grace: .zero)
    }

    @Control
    @Test("a connection straight to a proxy port is refused once, and goes round in no loop", arguments: ["127.0.0.1", "::1"], [true, false])
    func straightToTheProxy(address: String, anyAddress: Bool) async throws {
        let ip = IPAddress(address)!
        let port = try Peers.freePort().port
        let listener = SocketAddress(anyAddress ? (ip.isV4 ? .anyV4 : IPAddress("::")!) : ip, port: port)
        let mesh = try await Mesh([try Peers.server(Peers.echo)]) { $0.outbound = [listener] }
        let count = try await blockingWork {
            let fd = try Peers.connect(SocketAddress(ip, port: port))
            defer { close(fd) }
            Peers.sendAll(fd, [1])
            var byte: UInt8 = 0
            return read(fd, &byte, 1)
        }
        #expect(count <= 0)
        await ControlLoop.shared.sleep(.milliseconds(100))
        // Which of the two depends on whether the kernel tracks connections here.
        let ends = await mesh.ends(1).map(\.end)
        #expect(ends == [.loop] || ends == [.noOriginalDestination])
        await mesh.stop()
    }

    @Control
    @Test("a snapshot is not lost to a full mailbox, and the last one counts")
    func snapshotSurvives() async throws {
        let reports = try Mailbox<WorkerReport>(bound: 16)
        let mesh = try await Mesh([try Peers.server(Peers.echo)], start: false)
        let worker = try Worker(index: 0, settings: ProxySettings(), reports: reports)
        for number in 0..<10_000 { worker.mailbox.post(.beat(UInt64(number))) }
        #expect(worker.mailbox.dropped > 0)
        worker.offer(mesh.snapshots!.far)
        worker.offer(mesh.snapshots!.near)
        worker.stop(at: .now())
        await withCheckedContinuation { continuation in
            Peers.thread {
                worker.run()
                continuation.resume()
            }
        }
        #expect(worker.snapshot === mesh.snapshots!.near)
        await mesh.stop()
    }

    @Test("label sets beyond the bound are counted together, and nothing is counted twice")
    func tallyBound() {
        var tally = FlowTally(bound: 10)
        for id in 1...50 as ClosedRange<NameID> {
            let labels = FlowLabels(direction: .tunnel, security: .mutualTLS, sourceIdentity: id, destinationIdentity: 1, service: 1)
            let index = tally.index(of: labels)
            tally.count(index, opened: 1)
            tally.count(index, closed: 1, sent: 10, received: 20)
        }
        #expect(tally.counters.count == 11)
        let sums = tally.counters.values.reduce(into: [0, 0, 0, 0] as [UInt64]) { sum, one in
            sum = [sum[0] + one.opened, sum[1] + one.closed, sum[2] + one.bytesSent, sum[3] + one.bytesReceived]
        }
        #expect(sums == [50, 50, 500, 1000])
        let rest = FlowLabels(direction: .tunnel, security: .mutualTLS, sourceIdentity: 0, destinationIdentity: 0, service: 0)
        #expect(tally.counters[rest]?.opened == 40)
    }
}
