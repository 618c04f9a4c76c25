import HTTPWire
import Testing

@Suite struct `Flow control` {
    @Test func `a flow that is not read stalls at its window, and goes on when its bytes were consumed`() {
        let client = Peer(.client), server = Peer(.server)
        server.onRequest = { server, stream in
            let token = server.accept(stream)
            server.flows[token]!.consumes = false
        }
        let bytes = Seeded(3).generate(1_000_000)
        client.connect(token: 1, sending: bytes)
        pump(client, server)
        #expect(server.flows[1001]!.incoming.count == 256 << 10)
        server.session.consume(1, 256 << 10)
        pump(client, server)
        #expect(server.flows[1001]!.incoming.count == 512 << 10)
        server.flows[1001]!.consumes = true
        server.session.consume(1, 256 << 10)
        pump(client, server)
        #expect(same(server.flows[1001]!.incoming, bytes))
    }

    @Test func `stalled flows never stall another, even when together they fill the connection window several times`() {
        let client = Peer(.client), server = Peer(.server)
        var slow = true
        server.onRequest = { server, stream in
            let token = server.accept(stream)
            server.flows[token]!.consumes = !slow
        }
        for token in 1...40 as ClosedRange<UInt64> { client.connect(token: token, sending: [UInt8](repeating: 7, count: 300_000)) }
        pump(client, server)
        slow = false
        let bytes = Seeded(4).generate(5_000_000)
        client.connect(token: 99, sending: bytes)
        pump(client, server)
        #expect(same(server.flows[1041]!.incoming, bytes))
    }

    @Test func `a request comes with a wider window, before and after the settings were acknowledged`() {
        var settings = HTTP2Settings()
        settings.streamWindow = 16 << 10
        let client = Peer(.client, settings), server = Peer(.server)
        server.answer = Seeded(5).generate(300_000)
        for (token, wider) in [(1, 112 << 10), (2, 0), (3, 1), (4, 48 << 10)] as [(UInt64, Int)] {
            client.connect(token: token, wider: wider)
            client.flows[token]!.consumes = false
            // The first two share one flight with our SETTINGS.
            if token > 1 { pump(client, server) }
        }
        #expect((1...4 as ClosedRange<UInt64>).map { client.flows[$0]!.incoming.count } == [128 << 10, 16 << 10, (16 << 10) + 1, 64 << 10])
    }

    @Test func `a request that was cancelled before it was sent leaves its wider window to no other`() {
        var settings = HTTP2Settings()
        settings.streamWindow = 16 << 10
        let client = Peer(.client, settings), server = Peer(.server)
        server.answer = Seeded(6).generate(300_000)
        client.connect(token: 1, wider: 100_000)
        client.connect(token: 2)
        client.connect(token: 3, wider: 16 << 10)
        client.session.reset(client.streams[1]!, code: HTTP2Code.cancel)
        for token in [2, 3] as [UInt64] { client.flows[token]!.consumes = false }
        pump(client, server)
        #expect(server.requests.count == 2)
        #expect(client.flows[2]!.incoming.count == 16 << 10 && client.flows[3]!.incoming.count == 32 << 10)
    }

    @Test func `a stream that is widened gets as much more, and half of the wider window is what credit comes in`() {
        var settings = HTTP2Settings()
        settings.streamWindow = 16 << 10
        let client = Peer(.client), server = Peer(.server, settings)
        server.onRequest = { server, stream in
            let token = server.accept(stream)
            server.flows[token]!.consumes = false
            server.session.widen(stream, by: 16 << 10)
        }
        pump(client, server)
        client.connect(token: 1, sending: Seeded(7).generate(1_000_000))
        func received() -> Int {
            pump(client, server)
            return server.flows[1001]!.incoming.count
        }
        #expect(received() == 32 << 10)
        server.session.widen(1, by: 32 << 10)
        #expect(received() == 64 << 10)
        server.session.consume(1, (32 << 10) - 1)
        #expect(received() == 64 << 10)
        server.session.consume(1, 1)
        #expect(received() == 96 << 10)
        // Gone: nothing happens.
        server.session.widen(99, by: 1)
        #expect(server.output().isEmpty && server.failure == nil)
    }

    @Test func `a source that has nothing rests until it is resumed, and is not asked meanwhile`() {
        let client = Peer(.client), server = Peer(.server)
        client.connect(token: 1, ends: false)
        pump(client, server)
        client.flows[1]!.outgoing = [1, 2, 3]
        pump(client, server)
        #expect(same(server.flows[1001]!.incoming, []))
        client.session.resume(client.streams[1]!)
        pump(client, server)
        #expect(same(server.flows[1001]!.incoming, [1, 2, 3]))
    }

    @Test func `flows share the tunnel evenly`() {
        // Frames of the four alternate: after half of the bytes every flow has about half of its own.
        let client = Peer(.client), server = Peer(.server)
        pump(client, server)
        for token in 1...4 as ClosedRange<UInt64> { client.connect(token: token, sending: [UInt8](repeating: 1, count: 200_000)) }
        server.feed(Array(client.output().prefix(400_000)))
        let received = server.flows.values.map(\.incoming.count)
        #expect(received.count == 4)
        #expect((received.max() ?? 0) - (received.min() ?? 0) <= 2 * HTTP2Session.dataPayload)
    }
}

extension Seeded {
    func generate(_ count: Int) -> [UInt8] {
        var copy = self
        return copy.bytes(count)
    }
}
