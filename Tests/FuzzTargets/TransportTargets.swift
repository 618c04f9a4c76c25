import Platform

@testable import HTTPWire
@testable import TLS

extension FuzzTarget {
    /// The two extensions of a TLS greeting that are read here. First byte: which.
    static let clientHello = FuzzTarget(
        name: "client-hello",
        seeds: {
            let name = Array("web.default.shop.example".utf8)
            let list: [UInt8] = [0, UInt8(name.count + 3), 0, 0, UInt8(name.count)] + name
            let protocols = HelloExtensions.encode(["weft/1", "weft-plane/1", "h2"])
            return [[0] + list, [1, 0, UInt8(protocols.count)] + protocols]
        },
        run: { bytes in
            var input = Input(bytes)
            let isName = input.byte() & 1 == 0
            let body = input.bytes
            body.withUnsafeBytes { body in
                if isName {
                    guard case .value(let name) = HelloExtensions.serverName(body) else { return }
                    require(name.utf8.count == body.count - 5 && name == name.lowercased(), "a name that was not there")
                } else {
                    guard case .value(let protocols) = HelloExtensions.alpn(body) else { return }
                    require(protocols.allSatisfy { !$0.isEmpty }, "a protocol without a name")
                    // Names that are text are written as they came.
                    let names = protocols.filter { !$0.utf8.contains(0xef) && $0.utf8.count <= 255 }
                    if names.count == protocols.count { require(HelloExtensions.encode(protocols).elementsEqual(body.dropFirst(2)), "other protocols than came") }
                }
            }
        })

    /// One end of a tunnel, fed at once and in pieces. First byte: which end, and whether the greeting is put before it; the second cuts.
    static let http2 = FuzzTarget(
        name: "http2", seeds: { http2Seeds },
        run: { bytes in
            var input = Input(bytes)
            let kind = input.byte()
            let cut = input.byte()
            var body = input.bytes
            if kind & 2 != 0 { body = (kind & 1 == 0 ? preface : []) + frame(4) + body }
            let role: HTTP2Role = kind & 1 == 0 ? .server : .client
            let whole = session(role, [body])
            let parts = session(role, Array(Pieces(body, cut)))
            require(whole.untilGoaway == parts.untilGoaway, "in pieces: \(parts), at once: \(whole)")
        })

    private struct Seen: Equatable {
        /// Without data, which comes in other pieces.
        var events: [HTTP2Event.Kind] = []
        var data: [Int32: Int] = [:]
        var fields: [[UInt8]] = []
        var failure: HTTP2Failure?

        /// What is behind a GOAWAY nghttp2 reads within the same feed only: the connection is over when no stream is open.
        var untilGoaway: Seen {
            guard let end = events.firstIndex(of: .goaway) else { return self }
            return Seen(events: Array(events[...end]))
        }
    }

    private static func session(_ role: HTTP2Role, _ pieces: [[UInt8]]) -> Seen {
        var settings = HTTP2Settings()
        settings.maxConcurrentStreams = 8
        let session = HTTP2Session(role: role, settings: settings, source: HTTP2DataSource(context: nil) { _, _, _, _, _ in HTTP2Pull.wouldBlock.rawValue })
        var events = HTTP2EventBuffer()
        var seen = Seen()
        if role == .client { _ = session.connect(authority: "192.0.2.7:80", headers: HTTP2HeaderList(), token: 1) }
        drain(session, &events)
        events.removeAll()
        for piece in pieces {
            let result = piece.withUnsafeBytes { session.feed($0, at: MonotonicTime(nanoseconds: 1_000_000_000), events: &events) }
            for index in 0..<events.count {
                let event = events[index]
                switch event.kind {
                case .data:
                    require(Int(event.offset) + Int(event.length) <= piece.count, "data outside of what was fed")
                    seen.data[event.streamID, default: 0] += Int(event.length)
                case .headers, .trailers:
                    var fields = 0
                    events.headers(of: event).forEach { name, value in
                        fields += 4 + name.count + value.count
                        seen.fields.append(Array(name) + [0] + Array(value))
                    }
                    require(fields == Int(event.length), "fields of another length than their block")
                    require(fields <= 2 * Int(settings.headerListBytes), "a header block of \(fields) bytes")
                    seen.events.append(event.kind)
                default: seen.events.append(event.kind)
                }
            }
            events.removeAll()
            require(session.activeStreams <= Int(settings.maxConcurrentStreams), "\(session.activeStreams) streams at once")
            if case .failed(let failure) = result {
                seen.failure = failure
                break
            }
        }
        drain(session, &events)
        return seen
    }

    /// Output ends: nothing that came can make it go on for ever.
    private static func drain(_ session: borrowing HTTP2Session, _ events: inout HTTP2EventBuffer) {
        var chunks = 0
        while session.nextOutput(events: &events) != nil {
            chunks += 1
            require(chunks < 10_000, "output without an end")
        }
    }

    private static let preface = Array("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".utf8)

    private static func frame(_ type: UInt8, flags: UInt8 = 0, stream: UInt8 = 0, _ payload: [UInt8] = []) -> [UInt8] {
        [0, UInt8(payload.count >> 8), UInt8(payload.count & 0xff), type, flags, 0, 0, 0, stream] + payload
    }
    private static func literal(_ name: String, _ value: String) -> [UInt8] { [0, UInt8(name.utf8.count)] + name.utf8 + [UInt8(value.utf8.count)] + value.utf8 }

    private static var http2Seeds: [[UInt8]] {
        let connect = literal(":method", "CONNECT") + literal(":authority", "192.0.2.7:80")
        let answer = literal(":status", "200")
        let frames: [[UInt8]] = [
            frame(4, [0, 4, 0, 1, 0, 0]), frame(4, flags: 1), frame(6, [1, 2, 3, 4, 5, 6, 7, 8]), frame(8, [0, 0, 1, 0]), frame(7, [0, 0, 0, 0, 0, 0, 0, 0, 111, 107]),
            frame(1, flags: 4, stream: 1, connect), frame(1, flags: 4, stream: 1, answer), frame(0, stream: 1, [1, 2, 3]), frame(0, flags: 1, stream: 1, [4]),
            frame(3, stream: 1, [0, 0, 0, 8]), frame(1, stream: 3, Array(connect[..<9])) + frame(9, flags: 4, stream: 3, Array(connect[9...])), frame(2, stream: 1, [0, 0, 0, 0, 1]),
            frame(0x42, [1]), frame(1, flags: 5, stream: 1, literal("grpc-status", "0")),
        ]
        let whole = frames.flatMap { $0 }
        return frames.flatMap { [[2, 5] + $0, [3, 5] + $0] } + [[2, 5] + whole, [3, 5] + whole, [0, 5] + preface + whole]
    }
}
