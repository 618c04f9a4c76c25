import Glibc
import Platform
import Reactor
import Testing
import Traffic

@testable import Proxy

@Suite("Fairness", .serialized)
struct FairnessTests {
    @Control
    @Test("1,000 flows that never read cost one window each, stay inside their namespace's bound, and do not slow a flow in the same tunnel", .timeLimit(.minutes(1)))
    func stuckNeighbours() async throws {
        Peers.raiseDescriptorLimit()
        let application = try Peers.server { fd in
            var order: UInt8 = 0
            guard read(fd, &order, 1) == 1 else { return }
            if order == UInt8(ascii: "e") { return Peers.echo(fd) }
            // A thousand senders that are stuck would fill the kernel's memory for TCP (tcp_mem), and then it slows every connection of the host.
            try? Socket.set(fd, SOL_SOCKET, SO_SNDBUF, 65_536)
            while Peers.sendAll(fd, [UInt8](repeating: 1, count: 65_536)) {}
        }
        let mesh = try await Mesh([application]) {
            $0.limits.streamsPerTunnel = 2000
            $0.limits.unsentBytes = 64 << 10
        }
        // So little that each flow gets the smallest window; the fast one starts with it, too.
        let (bound, window) = (20 << 20, StreamWindow.smallest)
        mesh.near.tenants.setLimits(NamespaceLimits(memory: bound))
        let entry = mesh.entry
        let alone = try await Self.fast(entry)
        let stuck = try await blockingWork {
            try (0..<1000).map { _ in
                let fd = try Peers.connect(entry, receiveBuffer: 4096)
                Peers.sendAll(fd, Array("s".utf8))
                return fd
            }
        }
        // Credit returns in halves of a window, so each that is stuck holds more than a half.
        await mesh.until(seconds: 20) { await mesh.near.statistics()[0].bufferedBytes > 500 * window }
        // Nothing moves any more.
        await ControlLoop.shared.sleep(.milliseconds(200))
        let near = await mesh.near.statistics()[0]
        #expect(near.liveFlows == 1000 && near.tunnelsOpened == 1)
        #expect(near.bufferedBytes > 500 * window && near.bufferedBytes <= 1000 * window, "\(near.bufferedBytes) bytes are held")
        let figures = Tenants.Figures(namespace: "shop", flows: 1000, memory: 1000 * window, refused: [.flows: 0, .rate: 0, .memory: 0])
        #expect(mesh.near.figures("shop") == figures)
        let beside = try await Self.fast(entry)
        #expect(beside < alone * 5 + .milliseconds(500), "alone \(alone), beside 1,000 stuck flows \(beside)")
        await mesh.until { mesh.near.figures("shop").flows == 1000 }
        #expect(mesh.near.figures("shop") == figures, "none of them was ended, and the fast one has left nothing")
        for fd in stuck { close(fd) }
        await mesh.until { await mesh.sum(\.liveFlows) == 0 }
        #expect(await mesh.sum(\.liveFlows) == 0)
        #expect(await mesh.sum(\.bufferedBytes) == 0)
        await mesh.allGone()
        await mesh.stop()
    }

    /// The time of the fastest of three transfers: other tests use the processors meanwhile.
    private static func fast(_ entry: SocketAddress) async throws -> Duration {
        try await blockingWork {
            let bytes = Peers.pattern(8 << 20)
            return try (0..<3).map { _ in
                let started = MonotonicTime.now()
                let fd = try Peers.connect(entry)
                defer { close(fd) }
                Peers.sendAside(fd, Array("e".utf8) + bytes, thenEnd: true)
                guard Peers.receiveAll(fd) == bytes else { throw Errno(EIO) }
                return MonotonicTime.now() - started
            }.min()!
        }
    }
}
