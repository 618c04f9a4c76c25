import Glibc
import Platform
import Reactor
import Testing

@testable import Proxy

/// What attacks cost the worker. In a process of its own, so that time and memory are this test's alone.
@Suite("What attacks cost", .serialized)
struct AttackCostTests {
    @Test("attacks cost little of the worker's time until they are stopped, and no memory after", .timeLimit(.minutes(2)))
    func cost() async {
        await #expect(processExitsWith: .success) {
            Peers.raiseDescriptorLimit()
            try await Costs.run()
            Certificates.remove()
        }
    }
}

@Control
private enum Costs {
    /// Seconds of one attack in the worker's thread; an optimised build takes a tenth of what it takes here.
    private static let most = 1.5
    /// What malloc may have given out more after the second pass than after the first.
    private static let growth = 300 << 10

    static func run() async throws {
        let deaf = try Socket.tcpListener(SocketAddress(.loopbackV4, port: 0), backlog: 4096)
        let endpoint = Socket.localAddress(deaf.raw)!
        let mesh = try await Mesh([endpoint]) { $0.timeouts.handshake = .milliseconds(400) }
        let address = mesh.tunnel
        var (first, last) = (0, 0)
        for pass in 0..<2 {
            for attack in Attack.floods {
                let before = WorkerThreads.seconds
                let outcome = try await blockingWork { try attack.run(address, endpoint) }
                let spent = WorkerThreads.seconds - before
                must(spent < most, "\(attack.testDescription): \(spent) s for \(outcome.rounds) rounds")
                let held = await mesh.far.statistics()[0].bufferedBytes
                must(held == 0, "\(attack.testDescription): \(held) bytes held")
            }
            try await helloes(mesh, claimed: pass == 0 ? 8 : 60)
            await mesh.until { await mesh.sum { $0.liveTunnels + $0.liveFlows } == 0 }
            mesh.forgetEnded()
            // Threads of the attackers may still be on their way out.
            await mesh.until {
                last = Peers.allocatedBytes()
                return pass == 0 || last - first < growth
            }
            if pass == 0 { first = last }
        }
        must(last - first < growth, "\(last - first) bytes more in use than after the first pass")
        await mesh.stop()
    }

    /// ClientHellos that claim the most that is taken and never end.
    private static func helloes(_ mesh: Mesh, claimed count: Int) async throws {
        let address = mesh.tunnel
        let before = Peers.allocatedBytes()
        let fds = try await blockingWork {
            try (0..<count).map { _ in
                let fd = try Peers.connect(address)
                Peers.sendAll(fd, Hello.records(claimed: 131_000, sent: 60_000))
                return fd
            }
        }
        var most = 0
        await mesh.until {
            most = max(most, Peers.allocatedBytes() - before)
            return await mesh.far.statistics()[0].liveTunnels == 0
        }
        must(most < count * (300 << 10) + (1 << 20), "\(most) bytes for \(count) handshakes that do not end")
        for fd in fds { close(fd) }
    }

    private static func must(_ condition: Bool, _ what: @autoclosure () -> String) {
        if !condition { Issue.record("\(what())") }
    }
}
