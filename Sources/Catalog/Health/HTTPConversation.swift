import Platform
import Settings

/// One `GET` over HTTP/1.1 (RFC 9112), after which the connection is closed.
struct HTTPConversation: CheckConversation {
    let question: String
    private var output: [UInt8]
    private var answer: HTTPAnswer

    init(_ check: HTTPCheck, address: SocketAddress) {
        let host = check.host ?? "\(address)"
        question = "GET http://\(address)\(check.path)\(check.host.map { " (host \($0))" } ?? "")"
        output = Array(
            "GET \(check.path) HTTP/1.1\r\nHost: \(host)\r\nUser-Agent: weft-health\r\nAccept: */*\r\nConnection: close\r\n\r\n".utf8)
        answer = HTTPAnswer(check)
    }

    mutating func takeOutput() -> [UInt8] {
        defer { output = [] }
        return output
    }
    mutating func received(_ bytes: UnsafeRawBufferPointer, at now: MonotonicTime) -> CheckVerdict { answer.received(bytes) }
    mutating func ended() -> CheckVerdict { answer.ended() }
}
