import Glibc
import Platform
import Reactor
import Synchronization
import Testing

@testable import Proxy

/// Attacks by a peer that has a certificate, against a worker that has another tunnel to serve.
@Suite("Floods", .serialized)
struct FloodTests {
    @Control
    @Test("a flood ends its tunnel with a reason that the peer is told, and that is counted and reported; others notice nothing", arguments: Attack.floods)
    func flood(attack: Attack) async throws { try await check(attack) }

    @Control
    @Test("a breach of HTTP/2 ends its tunnel with a reason that the peer is told, and that is counted and reported; others notice nothing", arguments: Attack.violations)
    func violation(attack: Attack) async throws { try await check(attack) }

    @Control
    private func check(_ attack: Attack) async throws {
        Peers.raiseDescriptorLimit()
        let echo = try Peers.server(Peers.echo)
        // Takes connections in the kernel's queue only: attacks that reach the application make thousands.
        let deaf = try Socket.tcpListener(SocketAddress(.loopbackV4, port: 0), backlog: 4096)
        let endpoint = Socket.localAddress(deaf.raw)!
        let mesh = try await Mesh([echo], local: [echo, endpoint])
        let healthy = try await Healthy(mesh.entry)
        let address = mesh.tunnel
        let outcome = try await blockingWork { try attack.run(address, endpoint) }
        let (beats, slowest) = await healthy.end()
        #expect(outcome.wasClosed, "after \(outcome.rounds) rounds")
        if let code = attack.code {
            #expect(outcome.goaway == code, "\(outcome)")
            if attack.reason != "protocol_error" { #expect(outcome.text == attack.reason) }
        }
        await mesh.until { await mesh.far.statistics()[0].liveTunnels == 1 }
        let far = await mesh.far.statistics()[0]
        let reason = far.floods.keys.first == attack.other ? attack.other ?? "" : attack.reason
        #expect(far.floods == [reason: 1])
        #expect(far.liveTunnels == 1 && far.handshakeFailures.isEmpty)
        await mesh.until { mesh.problems.contains { $0.code == "http2_\(reason)" } }
        #expect(mesh.problems.count { $0.code == "http2_\(reason)" && $0.message.contains("127.0.0.1") } == 1, "\(mesh.problems)")
        #expect(mesh.problems.count <= 21, "told without an end")
        // The flow through the other tunnel went on all the time, and its tunnel is the same.
        #expect(beats > 0 && slowest < .seconds(3), "\(beats) answers, the slowest after \(slowest)")
        #expect(await mesh.near.statistics()[0].tunnelsOpened == 1)
        await mesh.until { await mesh.sum(\.liveFlows) == 0 }
        #expect(await mesh.sum { $0.liveFlows + $0.bufferedBytes } == 0)
        await mesh.stop()
    }
}

/// A flow with an echo server that sends a byte and waits for it, again and again.
final class Healthy: Sendable {
    private let fd: CInt
    private let stopping = Atomic<Bool>(false)
    private let result = Mutex<(beats: Int, slowest: Duration, done: Bool)>((0, .zero, false))

    /// Returns once the first answer is there.
    @Control
    init(_ entry: SocketAddress) async throws {
        let fd = try await blockingWork {
            let fd = try Peers.connect(entry)
            guard Self.beat(fd) != nil else { throw Errno(EIO) }
            return fd
        }
        self.fd = fd
        Peers.thread { [self] in
            while !stopping.load(ordering: .relaxed), let time = Self.beat(fd) {
                result.withLock { $0 = ($0.beats + 1, max($0.slowest, time), false) }
                usleep(2000)
            }
            result.withLock { $0.done = true }
        }
    }

    private static func beat(_ fd: CInt) -> Duration? {
        let started = MonotonicTime.now()
        var byte: UInt8 = 7
        guard send(fd, &byte, 1, CInt(MSG_NOSIGNAL)) == 1, read(fd, &byte, 1) == 1 else { return nil }
        return MonotonicTime.now() - started
    }

    /// Ends it. The answers so far, zero when the flow broke, and how long the slowest took.
    @Control
    func end() async -> (beats: Int, slowest: Duration) {
        let broke = result.withLock { $0.done }
        stopping.store(true, ordering: .relaxed)
        while !result.withLock({ $0.done }) { await ControlLoop.shared.sleep(.milliseconds(5)) }
        close(fd)
        let (beats, slowest, _) = result.withLock { $0 }
        return (broke ? 0 : beats + 1, slowest)
    }
}
