import Glibc
import HTTPWire
import Platform
import Reactor
import Testing

@testable import Proxy

/// Peers that misuse flow control (RFC 9113 section 5.2): it is theirs to say how much they take, not how much we hold.
@Suite("Window abuse", .serialized)
struct WindowAbuseTests {
    /// Sends as much as is taken.
    private static func source() throws -> SocketAddress {
        try Peers.server { fd in while Peers.sendAll(fd, [UInt8](repeating: 1, count: 65_536)) {} }
    }
    /// SETTINGS_INITIAL_WINDOW_SIZE.
    private static func window(_ size: UInt8) -> [UInt8] { Frames.frame(4, [0, 4, 0, 0, 0, size]) }
    private static func connect(_ stream: UInt32, _ endpoint: SocketAddress) -> [UInt8] {
        Frames.headers(stream, [(":method", "CONNECT"), (":authority", endpoint.description)])
    }

    @Control
    @Test("streams whose window never opens hold nothing here, and end with idle_timeout")
    func closedWindows() async throws {
        let (echo, source) = (try Peers.server(Peers.echo), try Self.source())
        let mesh = try await Mesh([echo], local: [echo, source]) { $0.timeouts.idle = .milliseconds(700) }
        let healthy = try await Healthy(mesh.entry)
        let (address, far) = (mesh.tunnel, mesh.far)
        async let answered = blockingWork {
            let client = try RawTunnel(address, as: "client")
            client.begin()
            client.send(Self.window(0))
            for stream in 0..<100 as Range<UInt32> { client.send(Self.connect(2 * stream + 1, source)) }
            return client.resets(100)
        }
        var (most, live) = (0, 0)
        await mesh.until {
            let now = await far.statistics()[0]
            (most, live) = (max(most, now.bufferedBytes), max(live, now.liveFlows))
            return now.ends[Int(FlowEnd.idleTimeout.rawValue)] == 100
        }
        #expect(try await answered == 100, "each stream is reset")
        #expect(live == 101 && most == 0, "\(live) flows, \(most) bytes")
        #expect(await far.statistics()[0].ends[Int(FlowEnd.idleTimeout.rawValue)] == 100)
        #expect(await healthy.end().beats > 0)
        await mesh.stop()
    }

    @Control
    @Test("a window that opens by one byte at a time costs a frame each, and holds nothing")
    func narrowWindow() async throws {
        let (echo, source) = (try Peers.server(Peers.echo), try Self.source())
        let mesh = try await Mesh([echo], local: [echo, source])
        let healthy = try await Healthy(mesh.entry)
        let (address, far) = (mesh.tunnel, mesh.far)
        let received = try await blockingWork {
            let client = try RawTunnel(address, as: "client")
            client.begin()
            client.send(Self.window(1) + Self.connect(1, source))
            var received = client.data(1)
            for _ in 0..<1000 {
                client.send(Frames.frame(8, stream: 1, [0, 0, 0, 1]))
                received += client.data(1)
            }
            return received
        }
        #expect(received == 1001)
        #expect(await far.statistics()[0].bufferedBytes == 0)
        #expect(await far.statistics()[0].floods.isEmpty, "slow is no attack")
        let (beats, slowest) = await healthy.end()
        #expect(beats > 0 && slowest < .seconds(3))
        await mesh.stop()
    }

    @Control
    @Test("data beyond a stream's window costs the stream, is the client's fault, and nothing else ends")
    func tooMuch() async throws {
        let echo = try Peers.server(Peers.echo)
        let deaf = try Peers.server { fd in
            try? Socket.set(fd, SOL_SOCKET, SO_RCVBUF, 4096)
            var gone = pollfd(fd: fd, events: 0, revents: 0)
            poll(&gone, 1, 30_000)
        }
        let mesh = try await Mesh([echo], local: [echo, deaf])
        let healthy = try await Healthy(mesh.entry)
        let (address, window) = (mesh.tunnel, ProxySettings.Limits().streamWindow)
        let answers = try await blockingWork {
            let client = try RawTunnel(address, as: "client")
            client.begin()
            client.send(Self.connect(1, deaf))
            let opened = client.answer()
            // What the application's kernel takes is given back as credit; more than that and a window is too much.
            for _ in 0..<(window + (8 << 20)) / 16_384 { guard client.trySend(Frames.frame(0, stream: 1, [UInt8](repeating: 1, count: 16_384))) else { break } }
            let cut = client.answer()
            client.send(Self.connect(3, echo))
            return [opened, cut, client.answer(stream: 3)]
        }
        #expect(answers == [.response(status: "200", error: nil), .reset(HTTP2Code.flowControlError), .response(status: "200", error: nil)])
        await mesh.until { mesh.ended.contains { $0.direction == .tunnel && $0.bytesSent > 0 && $0.end == .clientReset } }
        #expect(mesh.ended.contains { $0.direction == .tunnel && $0.endpoint == deaf && $0.end == .clientReset }, "\(mesh.ended.map(\.end))")
        #expect(await healthy.end().beats > 0)
        await mesh.until { await mesh.sum(\.bufferedBytes) == 0 }
        #expect(await mesh.sum(\.bufferedBytes) == 0)
        await mesh.stop()
    }
}
