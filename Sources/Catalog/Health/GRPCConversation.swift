import HTTPWire
import Platform

/// One call of `grpc.health.v1.Health/Check` over HTTP/2 in cleartext (gRPC over HTTP/2, PROTOCOL-HTTP2.md).
final class GRPCConversation: CheckConversation {
    /// What the session pulls the request's body from; it outlives the session, which points to it.
    private final class Body {
        var bytes: ArraySlice<UInt8>
        init(_ bytes: [UInt8]) { self.bytes = bytes[...] }
    }
    private static let token: UInt64 = 1
    private static let pull: HTTP2DataSource.Pull = { context, _, _, target, room in
        let body = Unmanaged<Body>.fromOpaque(context!).takeUnretainedValue()
        let count = min(room, body.bytes.count)
        for (index, byte) in body.bytes.prefix(count).enumerated() { target![index] = byte }
        body.bytes = body.bytes.dropFirst(count)
        return (body.bytes.isEmpty ? HTTP2Pull.endOfStream(count) : .bytes(count)).rawValue
    }

    let question: String
    private let service: String
    private let body: Body
    private var session: HTTP2Session
    private var events = HTTP2EventBuffer()
    private var output: [UInt8] = []
    private var message: [UInt8] = []
    private var httpStatus: UInt16 = 0
    private var grpcStatus: String?
    private var grpcMessage = ""

    init(service: String, address: SocketAddress) {
        question = "gRPC health check\(service.isEmpty ? "" : " of \(service)") at \(address)"
        self.service = service
        body = Body(GRPCHealthMessage.request(service: service))
        var settings = HTTP2Settings()
        settings.streamWindow = 65_535
        settings.connectionWindow = 65_535
        settings.maxFrameBytes = 16_384
        session = HTTP2Session(
            role: .client, settings: settings, source: HTTP2DataSource(context: Unmanaged.passUnretained(body).toOpaque(), pull: Self.pull))
        var headers = HTTP2HeaderList()
        headers.add("content-type", "application/grpc")
        headers.add("te", "trailers")
        headers.add("user-agent", "weft-health")
        let opened = session.post(path: "/grpc.health.v1.Health/Check", authority: "\(address)", headers: headers, token: Self.token)
        guard case .stream = opened else { preconditionFailure("a new session takes a request") }
        collectOutput()
    }

    func takeOutput() -> [UInt8] {
        defer { output = [] }
        return output
    }

    func received(_ bytes: UnsafeRawBufferPointer, at now: MonotonicTime) -> CheckVerdict {
        events.removeAll()
        let result = session.feed(bytes, at: now, events: &events)
        var verdict = CheckVerdict.waiting
        for index in 0..<events.count where verdict == .waiting { verdict = take(events[index], bytes) }
        collectOutput()
        if verdict == .waiting, result != .ok { return .failed("what came is no HTTP/2") }
        return verdict
    }

    func ended() -> CheckVerdict { .failed("the connection was closed before the answer was complete") }

    private func collectOutput() {
        while let bytes = session.nextOutput(events: &events) { output += bytes }
    }

    private func take(_ event: HTTP2Event, _ fed: UnsafeRawBufferPointer) -> CheckVerdict {
        switch event.kind {
        case .headers:
            let headers = events.headers(of: event)
            httpStatus = headers.status
            note(headers)
        case .trailers: note(events.headers(of: event))
        case .data:
            message += fed[Int(event.offset)..<Int(event.offset) + Int(event.length)]
            if message.count > GRPCHealthMessage.maximumBytes { return .failed("the answer is longer than \(GRPCHealthMessage.maximumBytes) bytes") }
        case .endStream: return judge()
        case .reset: return .failed("the call was reset (HTTP/2 code \(event.code))")
        case .goaway where event.code != HTTP2Code.noError: return .failed("the connection was ended (HTTP/2 code \(event.code))")
        case .closed, .goaway, .protocolError, .settingsAck, .settings, .pingAck: break
        }
        return .waiting
    }

    private func note(_ headers: HTTP2Headers) {
        if let status = headers.string("grpc-status") { grpcStatus = status }
        if let text = headers["grpc-message"] { grpcMessage = ": \(Quoted.text(text))" }
    }

    private func judge() -> CheckVerdict {
        guard httpStatus == 200 else { return .failed("answered HTTP status \(httpStatus), as no gRPC server does") }
        switch grpcStatus {
        case "0": break
        case "5": return .failed("the server knows no service \(Quoted.text(service))\(grpcMessage)")
        case "12": return .failed("the server has no health service (grpc.health.v1.Health)\(grpcMessage)")
        case let other?: return .failed("answered gRPC status \(Quoted.text(other))\(grpcMessage)")
        case nil: return .failed("answered without a gRPC status")
        }
        guard let number = GRPCHealthMessage.status(message) else { return .failed("answered what is no HealthCheckResponse") }
        switch GRPCHealthMessage.Status(rawValue: number) {
        case .serving: return .passed
        case let other?: return .failed("answered \(other.word); wanted SERVING")
        case nil: return .failed("answered status \(number), which is not known; wanted SERVING")
        }
    }
}
