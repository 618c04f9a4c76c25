/// One thing that happened on a tunnel. Plain data; what it points to lives in the fed bytes or in the event buffer.
///
/// Every stream that a client opened, or whose request a server saw, ends with exactly one `closed` or `reset`;
/// after it the data source is not called for the stream and no event names it.
public struct HTTP2Event: Sendable {
    public enum Kind: UInt8, Sendable {
        /// A request (server) or a final response (client): read it with `HTTP2EventBuffer.headers(of:)`. Informational responses are skipped.
        case headers
        /// Trailers; read like headers.
        case trailers
        /// `offset` and `length` are those of the bytes within the fed ones.
        case data
        /// The peer will send no more on this stream.
        case endStream
        /// Both directions ended in order.
        case closed
        /// The stream was cut; `code` says why (RFC 9113 section 7). `isLocal` when this end did it.
        case reset
        /// The peer sent GOAWAY: `code`, and `streamID` is the last that it will work on. `HTTP2EventBuffer.text(of:)` is its debug text.
        /// Streams above that id follow as `reset` with REFUSED_STREAM: they are safe to try elsewhere.
        case goaway
        /// This end sent a GOAWAY with the error `code`: the peer broke the protocol. Close once the output is written.
        case protocolError
        /// The peer answered our SETTINGS.
        case settingsAck
        /// The peer's SETTINGS arrived: `HTTP2Session.openableStreams` is now what it allows.
        case settings
        /// The peer answered a `ping`; `token` is its payload.
        case pingAck
    }

    public var kind: Kind
    public var isLocal = false
    public var streamID: Int32
    public var code: UInt32 = 0
    /// The stream's token (zero before `HTTP2Session.setToken`, and after this end reset the stream).
    public var token: UInt64 = 0
    public var offset: UInt32 = 0
    public var length: UInt32 = 0

    @usableFromInline init(_ kind: Kind, stream: Int32) {
        self.kind = kind
        self.streamID = stream
    }
}
