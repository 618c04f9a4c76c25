import Platform

/// What became of a check so far.
enum CheckVerdict: Hashable, Sendable {
    /// More must come from the endpoint.
    case waiting
    case passed
    /// With what came, and what was wanted.
    case failed(String)
}

/// What is said over the connection of one check: bytes in, bytes out and a verdict. No socket, no clock. Used once.
protocol CheckConversation {
    /// What is asked, to begin a message with: `GET http://192.0.2.1:80/healthz`.
    var question: String { get }
    /// Bytes to send that were not taken yet.
    mutating func takeOutput() -> [UInt8]
    mutating func received(_ bytes: UnsafeRawBufferPointer, at now: MonotonicTime) -> CheckVerdict
    /// The endpoint has closed the connection.
    mutating func ended() -> CheckVerdict
}

/// Text from an endpoint as it may stand in a message: short, and nothing that a terminal obeys.
enum Quoted {
    static let limit = 80
    static func text(_ bytes: some Collection<UInt8>) -> String {
        let shown = bytes.prefix(limit).map { $0 >= 32 && $0 < 127 ? $0 : UInt8(ascii: ".") }
        return "\"\(String(decoding: shown, as: UTF8.self))\(bytes.count > limit ? "…" : "")\""
    }
    static func text(_ words: String) -> String { text(Array(words.utf8)) }
}
