import Glibc
import Platform
import Reactor
import Testing

@testable import Proxy

@Suite("Fairness", .serialized)
struct FairnessTests {
    @Control
    @Test("1,000 flows that never read cost one window each and do not slow a flow in the same tunnel", .timeLimit(.minutes(1)))
    func stuckNeighbours() async throws {
        Peers.raiseDescriptorLimit()
        let application = try Peers.server { fd in
            var order: UInt8 = 0
            guard read(fd, &order, 1) == 1 else { return }
            if order == UInt8(ascii: "e") { return Peers.echo(fd) }
            while Peers.sendAll(fd, [UInt8](repeating: 1, count: 65_536)) {}
        }
        let window = 64 << 10
        let mesh = try await Mesh([application]) {
            $0.limits.streamsPerTunnel = 2000
            $0.limits.streamWindow = window
            $0.limits.unsentBytes = 64 << 10
        }
        let entry = mesh.entry
        let alone = try await Self.fast(entry)
        let stuck = try await blockingWork {
            try (0..<1000).map { _ in
                let fd = try Peers.connect(entry, receiveBuffer: 4096)
                Peers.sendAll(fd, Array("s".utf8))
                return fd
            }
        }
        await mesh.until { await mesh.near.statistics()[0].bufferedBytes > 990 * window }
        // Nothing moves any more.
        await ControlLoop.shared.sleep(.milliseconds(200))
        let beside = try await Self.fast(entry)
        let near = await mesh.near.statistics()[0]
        #expect(near.liveFlows == 1000 && near.tunnelsOpened == 1)
        #expect(near.bufferedBytes > 0 && near.bufferedBytes <= 1000 * window, "\(near.bufferedBytes) bytes are held")
        #expect(beside < alone * 5 + .milliseconds(500), "alone \(alone), beside 1,000 stuck flows \(beside)")
        for fd in stuck { close(fd) }
        await mesh.until { await mesh.sum(\.liveFlows) == 0 }
        #expect(await mesh.sum(\.liveFlows) == 0)
        #expect(await mesh.sum(\.bufferedBytes) == 0)
        await mesh.stop()
    }

    private static func fast(_ entry: SocketAddress) async throws -> Duration {
        try await blockingWork {
            let started = MonotonicTime.now()
            let fd = try Peers.connect(entry)
            defer { close(fd) }
            let bytes = Peers.pattern(8 << 20)
            Peers.sendAside(fd, Array("e".utf8) + bytes, thenEnd: true)
            guard Peers.receiveAll(fd) == bytes else { throw Errno(EIO) }
            return MonotonicTime.now() - started
        }
    }
}
