import HTTPWire
import Testing

/// Floods that look like something else.
extension `Bad peers` {
    static let floodsInDisguise: [Flood] = [
        // Nothing but padding: no empty frame by its length (CVE-2019-9518).
        Flood(reason: .emptyData) { $0 == 0 ? Raw.connect(1) : Raw.frame(0, flags: 8, stream: 1, [3, 0, 0, 0]) },
        Flood(reason: .control) { $0 == 0 ? Raw.connect(1) : Raw.frame(7, [0, 0, 0, 0, 0, 0, 0, 0]) },
        // Of types that nobody knows (RFC 9113 section 5.5), on streams that are none.
        Flood(reason: .control) { Raw.frame(UInt8(10 + $0 % 246), stream: $0 % 9, [1, 2, 3]) },
        // "Made you reset" (CVE-2025-8671): a window over its end …
        Flood(reason: .invalid) { Raw.connect(2 * $0 + 1) + Raw.frame(8, stream: 2 * $0 + 1, [0x7f, 0xff, 0xff, 0xff]) },
        // … and a body that is not as long as it was said to be, which nghttp2 tells nobody of.
        Flood(reason: .invalid) { Raw.get(2 * $0 + 1, bodyBytes: 5) + Raw.frame(0, flags: 1, stream: 2 * $0 + 1, [1]) },
        Flood(reason: .invalid) { Raw.get(2 * $0 + 1, bodyBytes: 5) + Raw.frame(0, stream: 2 * $0 + 1, [1, 2, 3, 4, 5, 6]) },
        // A block that is too large costs its stream, and many of them the tunnel.
        Flood(reason: .invalid) {
            Raw.connect(2 * $0 + 1, extra: Raw.literal("x", String(repeating: "v", count: 8000)) + Raw.literal("y", String(repeating: "v", count: 8300)))
        },
        // Priority of streams that never were (RFC 9113 section 5.3.2).
        Flood(reason: .control) { Raw.frame(2, stream: 2 * ($0 % 1000) + 3, [0, 0, 0, 0, 1]) },
    ]
}

@Suite struct `Output that is not read` {
    @Test func `answers that wait for a peer that does not read are bounded, however many streams they were for`() {
        var settings = HTTP2Settings()
        settings.maxConcurrentStreams = 50
        let server = Peer(.server, settings)
        server.onRequest = { server, stream in server.session.respond(stream, status: 404, headers: HTTP2HeaderList(), endStream: true) }
        server.feed(Raw.preface + Raw.settings)
        var (result, streams) = (HTTP2Result.ok, 0 as UInt32)
        while result == .ok, streams < 20_000 {
            // Reset only after it was answered: for the peer an ordinary end.
            result = server.feed(Raw.connect(2 * streams + 1))
            if result == .ok { result = server.feed(Raw.reset(2 * streams + 1)) }
            streams += 1
        }
        #expect(result == .failed(.flood(.pendingFrames)))
        #expect(streams <= 50 * 4 + 200 + 2, "\(streams) streams had answers that wait")
        #expect(Goaway(in: server.output())?.text == "output_flood")
    }

    @Test func `as many streams as are allowed may wait for their answers, windows and resets`() {
        var settings = HTTP2Settings()
        settings.streamWindow = 4000
        let server = Peer(.server, settings)
        server.onRequest = { _, _ in }
        server.feed(Raw.preface + Raw.settings)
        for stream in 0..<1000 as Range<UInt32> { #expect(server.feed(Raw.connect(2 * stream + 1)) == .ok) }
        for stream in 0..<1000 as Range<Int32> {
            _ = server.accept(2 * stream + 1)
            server.feed(Raw.frame(0, stream: UInt32(2 * stream + 1), [UInt8](repeating: 1, count: 4000)))
            server.session.consume(2 * stream + 1, 4000)
            server.session.reset(2 * stream + 1, code: HTTP2Code.cancel)
        }
        #expect(server.feed(Raw.ping) == .ok)
        _ = server.output()
        #expect(server.failure == nil && server.activeStreams == 0)
    }

    @Test func `informational answers without an end are a flood`() {
        let client = Peer(.client)
        client.connect(token: 1)
        _ = client.output()
        client.feed(Raw.settings)
        var result = HTTP2Result.ok
        for _ in 0..<20_000 where result == .ok { result = client.feed(Raw.frame(1, flags: 4, stream: 1, Raw.literal(":status", "103"))) }
        #expect(result == .failed(.flood(.control)))
    }
}

@Suite struct `More than was allowed` {
    private func server() -> Peer {
        let server = Peer(.server)
        server.onRequest = { server, stream in server.flows[server.accept(stream)]!.consumes = false }
        server.feed(Raw.preface + Raw.settings + Raw.connect(1))
        _ = server.output()
        return server
    }

    @Test func `data beyond a stream's window costs the stream`() {
        let server = server()
        for _ in 0..<16 { #expect(server.feed(Raw.frame(0, stream: 1, [UInt8](repeating: 1, count: 16_384))) == .ok) }
        #expect(!server.log.contains(.reset))
        server.feed(Raw.frame(0, stream: 1, [1]))
        _ = server.output()
        #expect(server.flows[1001]?.ended?.code == HTTP2Code.flowControlError)
        #expect(server.activeStreams == 0 && server.failure == nil)
    }

    @Test func `streams beyond those that were announced and acknowledged end the tunnel`() {
        let server = Peer(.server)
        server.onRequest = { _, _ in }
        server.feed(Raw.preface + Raw.settings)
        _ = server.output()
        server.feed(Raw.frame(4, flags: 1))
        for stream in 0..<1001 as Range<UInt32> { server.feed(Raw.connect(2 * stream + 1)) }
        #expect(server.requests.count == 1000)
        #expect(Goaway(in: server.output())?.code == HTTP2Code.protocolError)
    }

    @Test func `ten thousand streams from a peer that acknowledges nothing are refused one by one, then the tunnel ends`() {
        let server = Peer(.server)
        server.onRequest = { _, _ in }
        server.feed(Raw.preface + Raw.settings)
        var (result, sent) = (HTTP2Result.ok, 0 as UInt32)
        while result == .ok, sent < 10_000 {
            result = server.feed(Raw.connect(2 * sent + 1))
            sent += 1
        }
        #expect(result == .failed(.flood(.invalid)))
        #expect(server.requests.count == 1000 && sent <= 1200)
    }

    @Test(arguments: [3, 1] as [UInt32])
    func `a stream's number is used once and numbers only rise`(number: UInt32) {
        let server = Peer(.server)
        server.onRequest = { server, stream in server.session.respond(stream, status: 404, headers: HTTP2HeaderList(), endStream: true) }
        server.feed(Raw.preface + Raw.settings + Raw.frame(1, flags: 5, stream: 5, Raw.literal(":method", "CONNECT") + Raw.literal(":authority", "a:1")))
        _ = server.output()
        server.feed(Raw.connect(number))
        #expect(server.requests.count == 1)
        #expect(server.activeStreams == 0)
    }
}
