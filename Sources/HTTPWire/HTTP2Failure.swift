import CNGHTTP2

/// A bound that the peer went over. The raw value is the metric label and the debug text of the GOAWAY that we send.
public enum HTTP2Flood: String, Sendable, CaseIterable {
    case unansweredReset = "reset_flood"
    case settings = "settings_flood"
    case ping = "ping_flood"
    case emptyData = "empty_data_flood"
    case control = "control_frame_flood"
    case invalid = "invalid_frame_flood"
    case decodedHeaders = "header_flood"
    case continuation = "continuation_flood"
    case pendingAcks = "ack_flood"
    case pendingFrames = "output_flood"
}

/// Why a session can't go on. The GOAWAY that says so to the peer is already queued: write the output out, then close.
public enum HTTP2Failure: Error, Equatable, Sendable, CustomStringConvertible {
    /// The peer went over a bound; it was told ENHANCE_YOUR_CALM.
    case flood(HTTP2Flood)
    /// The peer's first bytes are not those of an HTTP/2 client.
    case notHTTP2
    /// The peer broke the protocol; the RFC 9113 section 7 code that it was told.
    case protocolError(UInt32)
    /// nghttp2 failed for a reason of its own (out of memory, stream ids used up); its error number.
    case library(Int32)

    /// A short stable word for metrics.
    public var code: String {
        switch self {
        case .flood(let flood): flood.rawValue
        case .notHTTP2: "not_http2"
        case .protocolError: "protocol_error"
        case .library: "http2_library"
        }
    }

    public var description: String {
        switch self {
        case .flood(let flood): "the peer sent too much of what costs it nothing (\(flood.rawValue)); the tunnel was closed with ENHANCE_YOUR_CALM"
        case .notHTTP2: "the peer does not speak HTTP/2: its first bytes are not the client preface"
        case .protocolError(let code): "the peer broke HTTP/2: \(HTTP2Code.name(code))"
        case .library(let number): "nghttp2: \(String(cString: nghttp2_strerror(number)))"
        }
    }
}

/// Error codes of RFC 9113 section 7.
public enum HTTP2Code {
    public static let noError: UInt32 = 0x0
    public static let protocolError: UInt32 = 0x1
    public static let internalError: UInt32 = 0x2
    public static let flowControlError: UInt32 = 0x3
    public static let streamClosed: UInt32 = 0x5
    public static let refusedStream: UInt32 = 0x7
    public static let cancel: UInt32 = 0x8
    public static let connectError: UInt32 = 0xa
    public static let enhanceYourCalm: UInt32 = 0xb

    /// The RFC's name, as `REFUSED_STREAM`.
    public static func name(_ code: UInt32) -> String { String(cString: nghttp2_http2_strerror(code)) }
}
