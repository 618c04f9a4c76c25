import HTTPWire
import Testing

@Suite struct `Stream and tunnel endings` {
    @Test func `a reset by the client reaches the server with its code, once`() {
        let client = Peer(.client), server = Peer(.server)
        client.connect(token: 1, ends: false)
        pump(client, server)
        client.session.reset(client.streams[1]!, code: HTTP2Code.cancel)
        #expect(client.token(client.streams[1]!) == 0)
        pump(client, server)
        let end = server.flows[1001]!.ended
        #expect(end?.kind == .reset && end?.code == HTTP2Code.cancel && end?.isLocal == false)
        #expect(server.log.filter { $0 == .reset || $0 == .closed }.count == 1)
        #expect(client.log.filter { $0 == .reset || $0 == .closed }.count == 1)
        #expect(client.activeStreams == 0 && server.activeStreams == 0)
    }

    @Test func `a reset by the server reaches the client`() {
        let client = Peer(.client), server = Peer(.server)
        server.onRequest = { server, stream in server.session.reset(stream, code: HTTP2Code.connectError) }
        client.connect(token: 1)
        pump(client, server)
        #expect(client.flows[1]!.ended?.kind == .reset)
        #expect(client.flows[1]!.ended?.code == HTTP2Code.connectError)
        #expect(server.activeStreams == 0)
    }

    @Test func `a source can cut its stream`() {
        let client = Peer(.client), server = Peer(.server)
        client.connect(token: 1, ends: false)
        pump(client, server)
        client.flows[1]!.resetsWith = HTTP2Code.connectError
        client.session.resume(client.streams[1]!)
        pump(client, server)
        #expect(server.flows[1001]!.ended?.code == HTTP2Code.connectError)
        #expect(client.flows[1]!.ended?.kind == .reset && client.flows[1]!.ended?.isLocal == true)
        #expect(client.activeStreams == 0)
    }

    @Test func `a reset without an error code is still no orderly end`() {
        let client = Peer(.client), server = Peer(.server)
        client.connect(token: 1, ends: false)
        pump(client, server)
        server.session.reset(1, code: HTTP2Code.noError)
        pump(client, server)
        #expect(client.flows[1]!.ended?.kind == .reset)
    }

    @Test func `data for a stream that was reset here gives its credit back to the tunnel`() {
        let client = Peer(.client), server = Peer(.server)
        // Each stream is cut while 256 KiB of it are on their way, many connection windows in all.
        for token in 1...60 as ClosedRange<UInt64> {
            client.connect(token: token, sending: [UInt8](repeating: 1, count: 256 << 10), ends: false)
            let wire = client.output()
            server.onRequest = { server, stream in server.session.reset(stream, code: HTTP2Code.cancel) }
            server.feed(Array(wire.prefix(200)))
            client.feed(server.output())
            server.feed(Array(wire.dropFirst(200)))
            client.feed(server.output())
        }
        server.onRequest = nil
        client.connect(token: 99, sending: [UInt8](repeating: 2, count: 6 << 20))
        pump(client, server)
        #expect(server.flows.values.map(\.incoming.count).max() == 6 << 20)
    }

    @Test func `a client opens as many streams as the server allows and no more`() {
        var settings = HTTP2Settings()
        settings.maxConcurrentStreams = 3
        let client = Peer(.client), server = Peer(.server, settings)
        server.onRequest = { server, stream in _ = server.accept(stream, ends: false) }
        pump(client, server)
        #expect(client.openableStreams == 3)
        for token in 1...3 as ClosedRange<UInt64> { client.connect(token: token) }
        #expect(client.connect(token: 4) == .full)
        pump(client, server)
        server.session.reset(1, code: HTTP2Code.cancel)
        pump(client, server)
        #expect(client.connect(token: 5) == .stream(7))
    }

    @Test func `after a GOAWAY no stream is opened, those beyond it are safe to try elsewhere and the others go on`() {
        let client = Peer(.client), server = Peer(.server)
        client.connect(token: 1, ends: false)
        pump(client, server)
        client.connect(token: 2)
        server.session.goaway(code: HTTP2Code.noError, text: "maintenance")
        client.feed(server.output())
        _ = client.output()
        #expect(client.goaways.first?.text == "maintenance")
        #expect(client.flows[2]!.ended?.kind == .reset)
        #expect(client.flows[2]!.ended?.code == HTTP2Code.refusedStream)
        #expect(client.connect(token: 3) == .refused)
        #expect(client.flows[1]!.ended == nil)
        client.flows[1]!.outgoing = [1]
        client.flows[1]!.ends = true
        client.session.resume(client.streams[1]!)
        pump(client, server)
        #expect(same(server.flows[1001]!.incoming, [1]))
        #expect(client.isFinished && server.isFinished)
    }

    @Test func `a drain loses no stream that was opened before the client knew`() {
        let client = Peer(.client), server = Peer(.server)
        pump(client, server)
        server.session.drain()
        let notice = server.output()
        client.connect(token: 1, sending: [1, 2, 3])
        let late = client.output()
        client.feed(notice)
        server.feed(late)
        pump(client, server)
        #expect(same(server.flows[1001]!.incoming, [1, 2, 3]))
        #expect(client.flows[1]!.ended?.kind == .closed)
        #expect(client.connect(token: 2) == .refused)
        #expect(client.isFinished && server.isFinished)
    }

    @Test func `a token set on a stream comes with its events, and is gone with it`() {
        let client = Peer(.client), server = Peer(.server)
        client.connect(token: 42)
        pump(client, server)
        #expect(client.token(client.streams[42]!) == 0)
        let named = client.session.setToken(client.streams[42]!, 1, events: &client.events)
        #expect(!named)
    }
}
