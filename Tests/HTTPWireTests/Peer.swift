import HTTPWire
import Platform

/// One end of a tunnel in memory: what it has to send and what it received, by token.
final class Peer {
    struct Flow {
        var outgoing: [UInt8] = []
        var sent = 0
        /// END_STREAM goes after the outgoing bytes.
        var ends = true
        var incoming: [UInt8] = []
        var sawEnd = false
        var ended: HTTP2Event?
        var status: UInt16 = 0
        var trailers: [String: String] = [:]
        /// Bytes received are given back as credit at once.
        var consumes = true
        var resetsWith: UInt32?
        var headerCount = 0
    }

    let role: HTTP2Role
    var session: HTTP2Session!
    var events = HTTP2EventBuffer()
    var flows: [UInt64: Flow] = [:]
    var streams: [UInt64: Int32] = [:]
    var log: [HTTP2Event.Kind] = []
    var goaways: [(code: UInt32, last: Int32, text: String)] = []
    var pings: [UInt64] = []
    var requests: [[String: String]] = []
    var now = MonotonicTime(nanoseconds: 1_000_000_000)
    var largestChunk = 0
    /// What a server does with a new request; nil: answers 200 and sends `answer`.
    var onRequest: ((Peer, Int32) -> Void)?
    var answer: [UInt8] = []
    var nextToken: UInt64 = 1000

    init(_ role: HTTP2Role, _ settings: HTTP2Settings = HTTP2Settings()) {
        self.role = role
        let source = HTTP2DataSource(context: Unmanaged.passUnretained(self).toOpaque()) { context, _, token, into, room in
            Unmanaged<Peer>.fromOpaque(context!).takeUnretainedValue().pull(token, into!, room).rawValue
        }
        session = HTTP2Session(role: role, settings: settings, source: source)
    }

    // What `#expect` can take apart: the session itself can't be copied.
    var activeStreams: Int { asked { $0.activeStreams } }
    var openableStreams: Int { asked { $0.openableStreams } }
    var isFinished: Bool { asked { $0.isFinished } }
    var failure: HTTP2Failure? { asked { $0.failure } }
    var ignoredFrames: UInt64 { asked { $0.ignoredFrames } }
    func token(_ stream: Int32) -> UInt64 { asked { $0.token(stream) } }
    private func asked<T>(_ question: (borrowing HTTP2Session) -> T) -> T { question(session!) }

    private func pull(_ token: UInt64, _ into: UnsafeMutablePointer<UInt8>, _ room: Int) -> HTTP2Pull {
        guard let flow = flows[token] else { return .wouldBlock }
        if let code = flow.resetsWith { return .reset(code) }
        let left = flow.outgoing.count - flow.sent
        let count = min(left, room)
        flow.outgoing.withUnsafeBufferPointer { if count > 0 { into.update(from: $0.baseAddress! + flow.sent, count: count) } }
        flows[token]!.sent += count
        if count == left && flow.ends { return .endOfStream(count) }
        return count == 0 ? .wouldBlock : .bytes(count)
    }

    @discardableResult
    func connect(
        _ authority: String = "192.0.2.7:80", token: UInt64, sending bytes: [UInt8] = [], ends: Bool = true, headers: [(StaticString, String)] = [], wider: Int = 0
    ) -> HTTP2Session.Opened {
        var list = HTTP2HeaderList()
        for (name, value) in headers { list.add(name, value) }
        flows[token] = Flow(outgoing: bytes, ends: ends)
        let opened = session.connect(authority: authority, headers: list, token: token, wider: wider)
        if case .stream(let stream) = opened { streams[token] = stream }
        return opened
    }

    func accept(_ stream: Int32, status: UInt16 = 200, ends: Bool = true) -> UInt64 {
        nextToken += 1
        flows[nextToken] = Flow(outgoing: answer, ends: ends)
        streams[nextToken] = stream
        session.setToken(stream, nextToken, events: &events)
        session.respond(stream, status: status, headers: HTTP2HeaderList(), endStream: false)
        return nextToken
    }

    @discardableResult
    func feed(_ bytes: [UInt8]) -> HTTP2Result {
        let result = bytes.withUnsafeBytes { raw in
            let result = session.feed(raw, at: now, events: &events)
            handle(raw)
            return result
        }
        return result
    }

    /// All that there is to write now.
    func output() -> [UInt8] {
        var all: [UInt8] = []
        while let chunk = session.nextOutput(events: &events) {
            largestChunk = max(largestChunk, chunk.count)
            all += chunk
        }
        handle(UnsafeRawBufferPointer(start: nil, count: 0))
        return all
    }

    private func handle(_ fed: UnsafeRawBufferPointer) {
        for index in 0..<events.count { handle(events[index], fed) }
        events.removeAll()
    }

    private func handle(_ event: HTTP2Event, _ fed: UnsafeRawBufferPointer) {
        log.append(event.kind)
        switch event.kind {
        case .headers where role == .server:
            var fields: [String: String] = [:]
            events.headers(of: event).forEach { fields[String(decoding: $0, as: UTF8.self)] = String(decoding: $1, as: UTF8.self) }
            requests.append(fields)
            if let onRequest { onRequest(self, event.streamID) } else { _ = accept(event.streamID) }
        case .headers:
            flows[event.token]?.status = events.headers(of: event).status
            flows[event.token]?.headerCount += 1
        case .trailers:
            events.headers(of: event).forEach {
                flows[event.token]?.trailers[String(decoding: $0, as: UTF8.self)] = String(decoding: $1, as: UTF8.self)
            }
        case .data:
            flows[event.token]?.incoming += fed[Int(event.offset)..<Int(event.offset + event.length)]
            if flows[event.token]?.consumes == true { session.consume(event.streamID, Int(event.length)) }
        case .endStream: flows[event.token]?.sawEnd = true
        case .closed, .reset: if flows[event.token] != nil { flows[event.token]!.ended = event }
        case .goaway: goaways.append((event.code, event.streamID, String(decoding: events.text(of: event), as: UTF8.self)))
        case .pingAck: pings.append(event.token)
        case .protocolError, .settings, .settingsAck: break
        }
    }
}

/// Carries bytes between two ends until both are quiet, in pieces as `cut` says.
func pump(_ a: Peer, _ b: Peer, cut: (Int) -> Int = { $0 }) {
    while true {
        let fromA = a.output()
        let fromB = b.output()
        if fromA.isEmpty && fromB.isEmpty { return }
        for (bytes, target) in [(fromA, b), (fromB, a)] {
            var rest = bytes[...]
            while !rest.isEmpty {
                let count = max(1, min(rest.count, cut(rest.count)))
                target.feed(Array(rest.prefix(count)))
                rest = rest.dropFirst(count)
            }
        }
    }
}

/// Compares without printing megabytes when they differ.
func same(_ a: [UInt8]?, _ b: [UInt8]?) -> Bool { a == b }

/// SplitMix64: the same numbers for the same seed.
struct Seeded: RandomNumberGenerator {
    var state: UInt64
    init(_ seed: UInt64) { state = seed }
    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var z = state
        z = (z ^ z >> 30) &* 0xbf58_476d_1ce4_e5b9
        z = (z ^ z >> 27) &* 0x94d0_49bb_1331_11eb
        return z ^ z >> 31
    }
    mutating func bytes(_ count: Int) -> [UInt8] {
        var result = [UInt8](repeating: 0, count: count)
        result.withUnsafeMutableBytes { raw in
            var index = 0
            while index + 8 <= raw.count {
                raw.storeBytes(of: next(), toByteOffset: index, as: UInt64.self)
                index += 8
            }
            while index < raw.count {
                raw[index] = UInt8(truncatingIfNeeded: next())
                index += 1
            }
        }
        return result
    }
}
