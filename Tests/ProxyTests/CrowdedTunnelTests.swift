import Glibc
import Platform
import Reactor
import Testing

@testable import Proxy

@Suite("Crowded tunnels", .serialized)
struct CrowdedTunnelTests {
    /// Two workers at the far node, one at the near: all flows would be in one tunnel, and one of the far workers would do all the work.
    @Control
    private static func mesh(_ application: @escaping @Sendable (CInt) -> Void, tunnelsPerPeer: Int = 2) async throws -> Mesh {
        try await Mesh([try Peers.server(application)]) {
            $0.limits.crowdedTunnel = 4 << 20
            $0.limits.tunnelsPerPeer = tunnelsPerPeer
        } adjustFar: {
            $0.workers = 2
        }
    }

    /// Sends so many bytes every five milliseconds, a part of what the near worker can do, until the connection breaks.
    private static func upload(_ entry: SocketAddress, _ bytes: Int) throws -> CInt {
        let fd = try Peers.connect(entry)
        let own = dup(fd)
        Peers.thread {
            let piece = [UInt8](repeating: 7, count: bytes)
            while Peers.sendAll(own, piece) { usleep(5000) }
            close(own)
        }
        return fd
    }

    private static func end(_ fds: [CInt]) {
        for fd in fds {
            shutdown(fd, CInt(SHUT_RDWR))
            close(fd)
        }
    }

    @Control
    @Test("flows that come while a tunnel is crowded get another one, which another worker serves; there are no more than there may be", .timeLimit(.minutes(1)))
    func another() async throws {
        let mesh = try await Self.mesh { fd in while Peers.discard(fd) {} }
        func opened() async -> UInt64 { await mesh.near.statistics()[0].tunnelsOpened }
        func farFlows() async -> [Int] { await mesh.far.statistics().map(\.liveFlows).sorted() }
        var fds = try (0..<3).map { _ in try Self.upload(mesh.entry, 64 << 10) }
        await mesh.until { await farFlows() == [0, 3] }
        #expect(await opened() == 1)
        await mesh.until { await opened() == 2 }
        #expect(await mesh.far.statistics().map(\.acceptedTunnels) == [1, 1])
        #expect(await farFlows() == [0, 3])

        fds += try (0..<2).map { _ in try Self.upload(mesh.entry, 64 << 10) }
        await mesh.until { await farFlows() == [2, 3] }
        #expect(await farFlows() == [2, 3])
        // Long enough for both to be crowded.
        await ControlLoop.shared.sleep(.milliseconds(1500))
        #expect(await opened() == 2)
        Self.end(fds)
        await mesh.until { await mesh.sum(\.liveFlows) == 0 }
        await mesh.stop()
    }

    @Control
    @Test("one flow alone, many that move little, and readers that take nothing need no other tunnel", .timeLimit(.minutes(1)), arguments: ["alone", "little", "stuck"])
    func noOther(kind: String) async throws {
        let mesh = try await Self.mesh { fd in
            if kind == "stuck" { while Peers.sendAll(fd, [UInt8](repeating: 1, count: 65_536)) {} }
            while Peers.discard(fd) {}
        }
        let fds =
            switch kind {
            case "alone": [try Self.upload(mesh.entry, 64 << 10)]
            case "little": try (0..<10).map { _ in try Self.upload(mesh.entry, 256) }
            default: try (0..<10).map { _ in try Peers.connect(mesh.entry) }
            }
        await ControlLoop.shared.sleep(.milliseconds(1500))
        let near = await mesh.near.statistics()[0]
        #expect(near.liveFlows == fds.count && near.tunnelsOpened == 1 && near.liveTunnels == 1)
        if kind == "alone" { #expect(near.flows.values.first!.bytesSent > 6 << 20) }
        if kind == "stuck" { #expect(near.bufferedBytes > 0) }
        Self.end(fds)
        await mesh.until { await mesh.sum(\.liveFlows) == 0 }
        await mesh.stop()
    }
}
