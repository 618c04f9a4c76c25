import Glibc
import HTTPWire
import Platform
import Reactor
import Testing

@testable import Proxy

/// What a node that has a certificate, and means no good, sends over its tunnel.
struct Attack: Sendable, CustomTestStringConvertible {
    let testDescription: String
    /// What the tunnel is closed for: the metric's label.
    let reason: String
    /// Another thing that it may be closed for: which comes first depends on how its frames fall into one read.
    var other: String?
    /// What the peer is told (RFC 9113 section 7); nil where the tunnel's windows or the peer's deafness are in the way.
    var code: UInt32? = HTTP2Code.enhanceYourCalm
    /// Reads nothing before the end.
    var isDeaf = false
    /// Frames for round 0, 1, …, made once the preface and SETTINGS are sent; the address is an endpoint of the node.
    let frames: @Sendable (UInt32, SocketAddress) -> [UInt8]

    init(_ name: String, _ reason: String, code: UInt32? = HTTP2Code.enhanceYourCalm, isDeaf: Bool = false, other: String? = nil, frames: @escaping @Sendable (UInt32, SocketAddress) -> [UInt8]) {
        testDescription = name
        self.reason = reason
        self.code = code
        self.isDeaf = isDeaf
        self.other = other
        self.frames = frames
    }

    /// Frames that no attack needs before it is stopped.
    static let patience: UInt32 = 100_000

    /// What came of it.
    struct Outcome: Sendable {
        var rounds: UInt32
        /// The connection ended while, or after, the frames were sent.
        var wasClosed: Bool
        var goaway: UInt32?
        var text: String
    }

    /// Sends full records of frames until the connection ends. Blocks.
    func run(_ address: SocketAddress, _ endpoint: SocketAddress) throws -> Outcome {
        let client = try RawTunnel(address, as: "client", receiveBuffer: isDeaf ? 4096 : 0)
        client.begin()
        client.awaitSettings()
        var (round, sending) = (0 as UInt32, true)
        while sending, round < Self.patience {
            var record: [UInt8] = []
            while record.count < 12_000 {
                record += frames(round, endpoint)
                round += 1
            }
            sending = client.trySend(record)
        }
        let (goaway, text) = isDeaf ? (nil, "") : client.drain()
        return Outcome(rounds: round, wasClosed: !sending || goaway != nil, goaway: goaway, text: text)
    }
}

extension Attack {
    private static func connect(_ stream: UInt32, _ endpoint: SocketAddress, flags: UInt8 = 4) -> [UInt8] {
        Frames.headers(stream, [(":method", "CONNECT"), (":authority", endpoint.description)], flags: flags)
    }
    private static let nowhere = SocketAddress("127.0.0.1:1")!

    /// What is cheap for the peer and not for us.
    static let floods = [
        Attack("rapid reset (CVE-2023-44487)", "reset_flood") { connect(2 * $0 + 1, $1) + Frames.reset(2 * $0 + 1) },
        Attack("made you reset (CVE-2025-8671): a window over its end", "invalid_frame_flood") {
            connect(2 * $0 + 1, $1) + Frames.frame(8, stream: 2 * $0 + 1, [0x7f, 0xff, 0xff, 0xff])
        },
        Attack("made you reset: a body of the wrong length", "invalid_frame_flood") { round, _ in
            Frames.headers(2 * round + 1, [(":method", "GET"), (":scheme", "https"), (":authority", "a"), (":path", "/"), ("content-length", "9")])
                + Frames.frame(0, flags: 1, stream: 2 * round + 1, [1])
        },
        Attack("SETTINGS", "settings_flood") { _, _ in Frames.frame(4) },
        Attack("PING", "ping_flood") { _, _ in Frames.frame(6, [1, 2, 3, 4, 5, 6, 7, 8]) },
        Attack("empty DATA", "empty_data_flood") { $0 == 0 ? connect(1, $1) : Frames.frame(0, stream: 1) },
        Attack("DATA of nothing but padding", "empty_data_flood") { $0 == 0 ? connect(1, $1) : Frames.frame(0, flags: 8, stream: 1, [2, 0, 0]) },
        Attack("PRIORITY", "control_frame_flood") { round, _ in Frames.frame(2, stream: 2 * (round % 500) + 1, [0, 0, 0, 0, 9]) },
        Attack("frames of unknown types", "control_frame_flood") { round, _ in Frames.frame(0xb0 + UInt8(round % 16), stream: round % 7, [1]) },
        Attack("window updates of one byte", "control_frame_flood") { _, _ in Frames.frame(8, [0, 0, 0, 1]) },
        Attack("GOAWAY", "control_frame_flood") { $0 == 0 ? connect(1, $1) : Frames.frame(7, [0, 0, 0, 0, 0, 0, 0, 0]) },
        Attack("CONTINUATION (CVE-2024-27316)", "continuation_flood") {
            $0 == 0 ? connect(1, $1, flags: 0) : Frames.frame(9, stream: 1, Frames.field("a", "b"))
        },
        Attack("header lists that are too large", "invalid_frame_flood") { round, _ in
            Frames.headers(2 * round + 1, [(":method", "CONNECT"), (":authority", "a:1")], flags: 0)
                + (0..<3).flatMap { Frames.frame(9, flags: $0 == 2 ? 4 : 0, stream: 2 * round + 1, Frames.field("x", String(repeating: "v", count: 6000))) }
        },
        Attack("HPACK as an amplifier", "header_flood") { round, _ in
            // An entry of 3,500 bytes goes to the dynamic table; every later request names it four times, with a byte each.
            Frames.headers(2 * round + 1, [(":method", "CONNECT"), (":authority", "a:1")], extra: round == 0 ? Frames.field("x", String(repeating: "v", count: 3500), first: 0x40) : [0xbe, 0xbe, 0xbe, 0xbe])
        },
        Attack("more streams than were allowed, and nothing acknowledged", "invalid_frame_flood") { connect(2 * $0 + 1, $1) },
        Attack("refused requests of a peer that reads nothing", "output_flood", code: nil, isDeaf: true, other: "reset_flood") { round, _ in
            // A record of requests, then one that begins with their resets: answered before it is reset, each looks like the ordinary end of a flow. (Read
            // together they are seen for what they are.)
            (round / 2 * 250..<round / 2 * 250 + 250).flatMap { round % 2 == 0 ? connect(2 * $0 + 1, nowhere) : Frames.reset(2 * $0 + 1) }
        },
    ]

    /// Breaches of the protocol: the first ends the tunnel.
    static let violations = [
        Attack("even stream numbers", "protocol_error", code: HTTP2Code.protocolError) { connect(2 * $0 + 2, $1) },
        Attack("a window update of nothing", "protocol_error", code: HTTP2Code.protocolError) { $0 == 0 ? connect(1, $1) : Frames.frame(8, stream: 1, [0, 0, 0, 0]) },
        Attack("a tunnel window over its end", "protocol_error", code: HTTP2Code.flowControlError) { _, _ in Frames.frame(8, [0x7f, 0xff, 0xff, 0xff]) },
        Attack("a stream window over its end by SETTINGS", "protocol_error", code: HTTP2Code.flowControlError) { _, _ in Frames.frame(4, [0, 4, 0x80, 0, 0, 0]) },
        Attack("DATA after the end of a stream", "protocol_error", code: HTTP2Code.streamClosed) {
            $0 == 0 ? connect(1, $1) + Frames.frame(0, flags: 1, stream: 1) : Frames.frame(0, stream: 1, [1])
        },
        Attack("DATA on a stream that never was", "protocol_error", code: HTTP2Code.protocolError) { _, _ in Frames.frame(0, stream: 77, [1]) },
        Attack("more streams than were allowed and acknowledged", "protocol_error", code: HTTP2Code.protocolError) {
            ($0 == 0 ? Frames.frame(4, flags: 1) : []) + connect(2 * $0 + 1, $1)
        },
        Attack("a frame that is too large", "protocol_error", code: 6) { _, _ in Frames.frame(0x20, [UInt8](repeating: 0, count: 16_385)) },
        Attack("broken HPACK", "protocol_error", code: 9) { _, _ in Frames.frame(1, flags: 4, stream: 1, [0xff, 0xff, 0xff, 0xff, 0xff, 0xff]) },
    ]
}
