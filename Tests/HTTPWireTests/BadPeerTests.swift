import HTTPWire
import Platform
import Testing

@Suite struct `Bad peers` {
    struct Flood: CustomTestStringConvertible, Sendable {
        let reason: HTTP2Flood
        let bytes: @Sendable (UInt32) -> [UInt8]
        var testDescription: String { reason.rawValue }
    }

    static let floods: [Flood] = [
        Flood(reason: .unansweredReset) { Raw.connect(2 * $0 + 1) + Raw.reset(2 * $0 + 1) },
        Flood(reason: .settings) { _ in Raw.settings },
        Flood(reason: .ping) { _ in Raw.ping },
        Flood(reason: .emptyData) { $0 == 0 ? Raw.connect(1) : Raw.emptyData(1) },
        Flood(reason: .control) {
            $0 % 3 == 0 ? Raw.unknown(0xb0) : $0 % 3 == 1 ? Raw.windowUpdate(0, 1) : Raw.frame(2, stream: 3, [0, 0, 0, 0, 1])
        },
        Flood(reason: .invalid) { Raw.connect(2 * $0 + 1, extra: Raw.literal("Upper", "x")) },
    ] + floodsInDisguise

    @Test(arguments: floods)
    func `a flood is closed with its reason and ENHANCE_YOUR_CALM`(flood: Flood) {
        let server = Peer(.server)
        server.onRequest = { _, _ in }
        server.feed(Raw.preface + Raw.settings)
        _ = server.output()
        var result = HTTP2Result.ok
        var rounds: UInt32 = 0
        while result == .ok, rounds < 20_000 {
            result = server.feed(flood.bytes(rounds))
            rounds += 1
            if result == .ok { _ = server.output() }
        }
        #expect(result == .failed(.flood(flood.reason)))
        let last = Goaway(in: server.output())
        #expect(last?.code == HTTP2Code.enhanceYourCalm)
        #expect(last?.text == flood.reason.rawValue)
        #expect(server.feed(Raw.ping) == .failed(.flood(flood.reason)), "nothing more is taken")
        #expect(server.isFinished)
    }

    @Test(arguments: floods)
    func `the same at a pace that a real peer may have is no flood`(flood: Flood) {
        let server = Peer(.server)
        server.onRequest = { _, _ in }
        server.feed(Raw.preface + Raw.settings)
        for round in 0..<2500 as Range<UInt32> {
            let result = server.feed(flood.bytes(round))
            _ = server.output()
            #expect(result == .ok)
            if result != .ok { return }
            server.now = server.now + .seconds(1)
        }
    }

    @Test func `clients that lose patience in numbers are no flood`() {
        let server = Peer(.server)
        server.onRequest = { _, _ in }
        server.feed(Raw.preface + Raw.settings)
        for round in 0..<20 as Range<UInt32> {
            for stream in 0..<500 as Range<UInt32> { server.feed(Raw.connect(2 * (round * 500 + stream) + 1)) }
            server.now = server.now + .seconds(1)
            for stream in 0..<500 as Range<UInt32> { #expect(server.feed(Raw.reset(2 * (round * 500 + stream) + 1)) == .ok) }
            _ = server.output()
        }
    }

    @Test func `resets of streams that were answered are the ordinary end of a flow`() {
        let server = Peer(.server)
        server.feed(Raw.preface + Raw.settings)
        for round in 0..<20_000 as Range<UInt32> {
            #expect(server.feed(Raw.connect(2 * round + 1)) == .ok)
            _ = server.output()
            #expect(server.feed(Raw.reset(2 * round + 1)) == .ok)
        }
        #expect(server.activeStreams == 0)
    }

    @Test func `pings that are never read back are bounded`() {
        var settings = HTTP2Settings()
        settings.limits.ping = .init(burst: 1_000_000, perSecond: 1_000_000)
        let server = Peer(.server, settings)
        server.feed(Raw.preface + Raw.settings)
        var result = HTTP2Result.ok
        for _ in 0..<1000 where result == .ok { result = server.feed(Raw.ping) }
        #expect(result == .failed(.flood(.pendingAcks)))
    }

    @Test func `a header block in endless pieces is bounded`() {
        let server = Peer(.server)
        server.feed(Raw.preface + Raw.settings)
        var result = server.feed(Raw.connect(1, endHeaders: false))
        for _ in 0..<100 where result == .ok { result = server.feed(Raw.frame(9, stream: 1, Raw.literal("a", "b"))) }
        #expect(result == .failed(.flood(.continuation)))
        #expect(Goaway(in: server.output())?.code == HTTP2Code.enhanceYourCalm)
    }

    @Test func `a header block over the bound costs its stream and nothing else`() {
        let server = Peer(.server)
        server.feed(Raw.preface + Raw.settings)
        let large = Raw.literal("x-large", String(repeating: "v", count: 15_000)) + Raw.literal("x-more", String(repeating: "v", count: 1_300))
        #expect(server.feed(Raw.connect(1, extra: Array(large.prefix(20_000)))) == .ok)
        #expect(server.requests.isEmpty)
        #expect(server.log.last == .settings)
        _ = server.output()
        #expect(server.log.contains(.reset))
        #expect(server.activeStreams == 0)
        #expect(server.feed(Raw.connect(3)) == .ok)
        #expect(server.requests.count == 1)
    }

    @Test func `small frames that decode to much are bounded`() {
        var settings = HTTP2Settings()
        settings.limits.decodedHeaderBytes = 64 << 10
        let server = Peer(.server, settings)
        server.onRequest = { _, _ in }
        server.feed(Raw.preface + Raw.settings)
        // One entry of 3.5 KB goes to the dynamic table; every later block names it many times, a byte each.
        let name = "x", value = String(repeating: "v", count: 3_500)
        let indexed: [UInt8] = [0x40, 1] + Array(name.utf8) + [127, UInt8((3_500 - 127) & 127 | 128), UInt8((3_500 - 127) >> 7)] + Array(value.utf8)
        #expect(server.feed(Raw.connect(1, extra: indexed)) == .ok)
        var batch: [UInt8] = []
        for stream in 1...60 as ClosedRange<UInt32> { batch += Raw.connect(2 * stream + 1, extra: [0xbe, 0xbe, 0xbe, 0xbe]) }
        #expect(server.feed(batch) == .failed(.flood(.decodedHeaders)))
    }

    @Test func `plaintext HTTP is named as such`() {
        let server = Peer(.server)
        #expect(server.feed(Array("GET / HTTP/1.1\r\nHost: a\r\n\r\n".utf8)) == .failed(.notHTTP2))
    }

    static let violations: [(String, [UInt8])] = [
        ("DATA on stream 0", Raw.frame(0, stream: 0, [1])), ("frame over the size", Raw.frame(0, stream: 1, [UInt8](repeating: 0, count: 16_385))),
        ("HEADERS on an even stream", Raw.connect(2)), ("RST_STREAM of an idle stream", Raw.reset(9)),
        ("PING on a stream", Raw.frame(6, stream: 1, [1, 2, 3, 4, 5, 6, 7, 8])),
        ("PING of the wrong length", Raw.frame(6, [1])), ("connection window over its end", Raw.frame(8, [0x7f, 0xff, 0xff, 0xff])),
        ("broken HPACK", Raw.frame(1, flags: 4, stream: 1, [0xff, 0xff, 0xff, 0xff, 0xff, 0xff])),
        ("SETTINGS of the wrong length", Raw.frame(4, [1])),
        ("PUSH_PROMISE", Raw.frame(5, flags: 4, stream: 1, [0, 0, 0, 2])), ("CONTINUATION alone", Raw.frame(9, flags: 4, stream: 1, [])),
    ]

    @Test(arguments: violations)
    func `a breach of the protocol ends the tunnel with a GOAWAY that is told`(name: String, bytes: [UInt8]) {
        let server = Peer(.server)
        server.feed(Raw.preface + Raw.settings)
        server.feed(bytes)
        let goaway = Goaway(in: server.output())
        #expect(goaway != nil && goaway?.code != HTTP2Code.noError)
        #expect(server.log.contains(.protocolError))
        #expect(server.failure == .protocolError(goaway?.code ?? 0))
        #expect(server.isFinished)
    }

    @Test func `requests without a method or authority never reach the proxy`() {
        let server = Peer(.server)
        server.feed(Raw.preface + Raw.settings)
        for (index, block) in [
            Raw.literal(":method", "CONNECT"), Raw.literal(":authority", "a:1"),
            Raw.literal(":method", "CONNECT") + Raw.literal(":authority", "a:1") + Raw.literal(":path", "/"),
            Raw.literal(":method", "CONNECT") + Raw.literal(":authority", "a:1") + Raw.literal(":authority", "b:1"),
            Raw.literal(":method", "CONNECT") + Raw.literal(":authority", "a:1") + Raw.literal("connection", "close"),
        ].enumerated() {
            server.feed(Raw.frame(1, flags: 4, stream: UInt32(2 * index + 1), block))
        }
        _ = server.output()
        #expect(server.requests.isEmpty)
        #expect(server.activeStreams == 0)
    }

    @Test(arguments: 0..<300 as Range<UInt64>)
    func `damaged input never crashes and never leaves a stream without an end`(seed: UInt64) {
        var random = Seeded(seed)
        let client = Peer(.client), server = Peer(.server)
        for token in 1...4 as ClosedRange<UInt64> { client.connect(token: token, sending: random.bytes(Int.random(in: 0...3000, using: &random))) }
        var wire = client.output()
        for _ in 0..<Int.random(in: 1...12, using: &random) {
            let place = Int.random(in: 24..<wire.count, using: &random)
            switch Int.random(in: 0...2, using: &random) {
            case 0: wire[place] = UInt8.random(in: 0...255, using: &random)
            case 1: wire.remove(at: place)
            default: wire.insert(UInt8.random(in: 0...255, using: &random), at: place)
            }
        }
        var rest = wire[...]
        while !rest.isEmpty, server.failure == nil {
            let count = Int.random(in: 1...rest.count, using: &random)
            server.feed(Array(rest.prefix(count)))
            _ = server.output()
            rest = rest.dropFirst(count)
        }
        let begun = server.log.filter { $0 == .headers }.count
        let ended = server.log.filter { $0 == .closed || $0 == .reset }.count
        #expect(server.activeStreams >= 0)
        #expect(begun <= ended + server.activeStreams)
    }
}

/// The last GOAWAY in a run of whole frames.
struct Goaway {
    var code: UInt32
    var text: String

    init?(in bytes: [UInt8]) {
        var rest = bytes[...]
        var found: Goaway?
        while rest.count >= 9 {
            let start = rest.startIndex
            let length = Int(rest[start]) << 16 | Int(rest[start + 1]) << 8 | Int(rest[start + 2])
            let payload = rest.dropFirst(9).prefix(length)
            if rest[start + 3] == 7 {
                found = Goaway(
                    code: payload.dropFirst(4).prefix(4).reduce(0) { $0 << 8 | UInt32($1) },
                    text: String(decoding: payload.dropFirst(8), as: UTF8.self))
            }
            rest = rest.dropFirst(9 + length)
        }
        guard let found else { return nil }
        self = found
    }
    private init(code: UInt32, text: String) {
        self.code = code
        self.text = text
    }
}
