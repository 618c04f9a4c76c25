import Glibc
import Platform
import Reactor
import Testing
import Traffic

@testable import Proxy

/// Applications and callers that are dead, slow, resetting or deaf: each ends with its own reason, and holds no more than its share.
@Suite("Dead, slow, resetting and deaf applications", .serialized)
struct BadApplicationTests {
    /// Reads to the end of the connection or its reset; what came, and the error.
    private static func rest(_ fd: CInt) -> (count: Int, error: CInt) {
        var buffer = [UInt8](repeating: 0, count: 65_536)
        var all = 0
        while true {
            let count = read(fd, &buffer, buffer.count)
            if count <= 0 { return (all, count < 0 ? errno : 0) }
            all += count
        }
    }

    /// The reasons by node: of the caller's, and of the endpoint's.
    @Control
    private func ends(_ mesh: Mesh, _ direct: Bool) async -> (near: [FlowEnd], far: [FlowEnd]) {
        let all = await mesh.ends(direct ? 1 : 2)
        return (all.filter { $0.direction == .outbound }.map(\.end), all.filter { $0.direction == .tunnel }.map(\.end))
    }

    @Control
    @Test("one that nobody answers for ends with connect_timeout, and the caller sees an end", arguments: [true, false])
    func blackhole(direct: Bool) async throws {
        // The kernel drops what comes for a listener whose queue is full, as a firewall would.
        let listener = try Socket.tcpListener(SocketAddress(.loopbackV4, port: 0), backlog: 0)
        let address = Socket.localAddress(listener.raw)!
        let filler = try Peers.connect(address)
        let mesh = try await Mesh([address], direct: direct) { $0.timeouts.connect = .milliseconds(300) }
        let entry = mesh.entry
        let started = MonotonicTime.now()
        let end = try await blockingWork {
            let fd = try Peers.connect(entry)
            defer { close(fd) }
            return Self.rest(fd)
        }
        #expect(end.count == 0 && end.error == ECONNRESET)
        #expect(MonotonicTime.now() - started >= .milliseconds(250))
        let (near, far) = await ends(mesh, direct)
        #expect(near == [direct ? .connectTimeout : .tunnelRefused])
        #expect(far == (direct ? [] : [.connectTimeout]))
        #expect(await mesh.sum(\.liveFlows) == 0)
        close(filler)
        await mesh.stop()
    }

    @Control
    @Test("one that resets at once or in the middle passes its reset on, after all that it had sent", arguments: [0, 300_000], [true, false])
    func resets(after count: Int, direct: Bool) async throws {
        let server = try Peers.server { fd in
            Peers.sendAll(fd, [UInt8](repeating: 3, count: count))
            // All has arrived when the caller answers.
            var byte: UInt8 = 0
            if count > 0 { _ = read(fd, &byte, 1) }
            Socket.resetOnClose(fd)
        }
        let mesh = try await Mesh([server], direct: direct)
        let entry = mesh.entry
        let (got, end) = try await blockingWork {
            let fd = try Peers.connect(entry)
            defer { close(fd) }
            var (got, buffer) = (0, [UInt8](repeating: 0, count: 65_536))
            while got < count, case let more = read(fd, &buffer, buffer.count), more > 0 { got += more }
            if count > 0 { Peers.sendAll(fd, [1]) }
            return (got, Self.rest(fd))
        }
        #expect(got == count)
        #expect(end.count == 0 && end.error == ECONNRESET)
        let (near, far) = await ends(mesh, direct)
        // A reset that is there before the connection was looked at is a connection that failed.
        let atOnce = count == 0
        #expect(near == [.serverReset] || atOnce && near == [direct ? .connectFailed : .tunnelRefused], "\(near)")
        #expect(direct ? far.isEmpty : far == [.serverReset] || atOnce && far == [.connectFailed], "\(far)")
        await mesh.stop()
    }

    @Control
    @Test("a caller that resets in the middle of an answer is told from one that completes", arguments: [true, false])
    func callerResets(direct: Bool) async throws {
        let server = try Peers.server { fd in Peers.sendAll(fd, [UInt8](repeating: 3, count: 4 << 20)) }
        let mesh = try await Mesh([server], direct: direct)
        let entry = mesh.entry
        try await blockingWork {
            let fd = try Peers.connect(entry)
            var buffer = [UInt8](repeating: 0, count: 65_536)
            _ = read(fd, &buffer, buffer.count)
            Socket.resetOnClose(fd)
            close(fd)
        }
        let (near, far) = await ends(mesh, direct)
        #expect(near == [.clientReset])
        #expect(far == (direct ? [] : [.clientReset]))
        await mesh.until { await mesh.sum(\.bufferedBytes) == 0 }
        #expect(await mesh.sum(\.bufferedBytes) == 0)
        await mesh.stop()
    }

    @Control
    @Test("one byte now and then keeps a flow alive and holds no memory; silence ends it with idle_timeout", arguments: [true, false])
    func slow(direct: Bool) async throws {
        let server = try Peers.server { fd in
            for byte in 0..<6 as Range<UInt8> {
                Peers.sendAll(fd, [byte])
                usleep(200_000)
            }
            // Says no more, and waits for the proxy to end it.
            _ = Self.rest(fd)
        }
        let mesh = try await Mesh([server], direct: direct) { $0.timeouts.idle = .milliseconds(800) }
        let entry = mesh.entry
        let end = try await blockingWork {
            let fd = try Peers.connect(entry)
            defer { close(fd) }
            return Self.rest(fd)
        }
        #expect(end.count == 6, "more time than the idle timeout passed meanwhile")
        let (near, far) = await ends(mesh, direct)
        // In a tunnel, who sees it first tells the other.
        #expect(near.count == 1 && (near + far).contains(.idleTimeout))
        #expect((near + far).allSatisfy { [.idleTimeout, .clientReset, .serverReset].contains($0) })
        #expect(await mesh.sum(\.bufferedBytes) == 0)
        await mesh.stop()
    }

    @Control
    @Test("one that never reads takes a window and the kernel's buffers, then idle_timeout ends it", arguments: [true, false])
    func neverReads(direct: Bool) async throws {
        let server = try Peers.server { fd in
            // Shrinks what the kernel takes for it, so that the proxy has to hold bytes.
            try? Socket.set(fd, SOL_SOCKET, SO_RCVBUF, 4096)
            var gone = pollfd(fd: fd, events: 0, revents: 0)
            poll(&gone, 1, 30_000)
        }
        let mesh = try await Mesh([server], direct: direct) { $0.timeouts.idle = .milliseconds(800) }
        let entry = mesh.entry
        let sending = Task {
            try await blockingWork {
                let fd = try Peers.connect(entry)
                defer { close(fd) }
                var sent = 0
                let piece = [UInt8](repeating: 9, count: 65_536)
                while sent < 256 << 20, case let count = send(fd, piece, piece.count, CInt(MSG_NOSIGNAL)), count > 0 { sent += count }
                return sent
            }
        }
        var most = 0
        await mesh.until {
            most = max(most, await mesh.sum(\.bufferedBytes))
            return mesh.endedCount == (direct ? 1 : 2)
        }
        let sent = try await sending.value
        #expect(sent < 64 << 20, "\(sent) bytes were taken for one that never reads")
        #expect(most <= ProxySettings.Limits().streamWindow, "\(most) bytes of memory")
        let (near, far) = await ends(mesh, direct)
        #expect((near + far).contains(.idleTimeout), "\(near) \(far)")
        #expect(await mesh.sum { $0.bufferedBytes + $0.liveFlows } == 0)
        await mesh.stop()
    }

    @Control
    @Test("at the worker's bound for held bytes flows end with memory_limit, the bound holds, and others go on")
    func memoryBound() async throws {
        Peers.raiseDescriptorLimit()
        let bound = 1 << 20
        // What the first byte asks for: an echo, or as many bytes as are taken.
        let application = try Peers.server { fd in
            var order: UInt8 = 0
            guard read(fd, &order, 1) == 1 else { return }
            if order == 7 {
                Peers.sendAll(fd, [7])
                return Peers.echo(fd)
            }
            Peers.sendAll(fd, [UInt8](repeating: 1, count: 16 << 20))
        }
        let mesh = try await Mesh([application]) { $0.limits.bufferedBytes = bound }
        let (entry, near) = (mesh.entry, mesh.near)
        // So much that each flow gets a window of 256 KiB.
        near.tenants.setLimits(NamespaceLimits(memory: 1 << 30))
        let healthy = try await Healthy(entry)
        let deaf = try await blockingWork {
            try (0..<30).map { _ in
                let fd = try Peers.connect(entry, receiveBuffer: 4096)
                Peers.sendAll(fd, [1])
                return fd
            }
        }
        var most = 0
        await mesh.until {
            let now = await near.statistics()[0]
            most = max(most, now.bufferedBytes)
            return now.ends[Int(FlowEnd.memoryLimit.rawValue)] >= 10
        }
        #expect(await near.statistics()[0].ends[Int(FlowEnd.memoryLimit.rawValue)] >= 10)
        #expect(most > 0 && most <= bound, "\(most) bytes are held")
        let (beats, slowest) = await healthy.end()
        #expect(beats > 0 && slowest < .seconds(3))
        for fd in deaf { close(fd) }
        await mesh.until { await mesh.sum { $0.liveFlows + $0.bufferedBytes } == 0 }
        #expect(await mesh.sum { $0.liveFlows + $0.bufferedBytes } == 0)
        await mesh.stop()
    }
}
