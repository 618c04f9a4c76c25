/// Where the bytes of outgoing DATA come from: they are pulled when flow control and the output have room for them.
///
/// The function is a C function pointer, so that a call costs no reference count. It may call `reset` and `resume` of the session, nothing else.
public struct HTTP2DataSource: @unchecked Sendable {
    /// `(context, stream, the stream's token, where to write, room there)` → `HTTP2Pull.rawValue`. Room is at least one byte and at most
    /// `HTTP2Session.dataPayload`.
    public typealias Pull = @convention(c) (UnsafeMutableRawPointer?, Int32, UInt64, UnsafeMutablePointer<UInt8>?, Int) -> Int

    let context: UnsafeMutableRawPointer?
    let pull: Pull

    /// - Parameter context: handed to every call; it must outlive the session. (Unchecked: the session is used by one thread, and calls it there.)
    public init(context: UnsafeMutableRawPointer?, pull: @escaping Pull) {
        self.context = context
        self.pull = pull
    }
}

/// What a data source answers.
public struct HTTP2Pull: RawRepresentable, Equatable, Sendable {
    public let rawValue: Int

    @inlinable public init(rawValue: Int) { self.rawValue = rawValue }

    /// `count` bytes were written; there may be more. Zero means `wouldBlock`.
    @inlinable public static func bytes(_ count: Int) -> HTTP2Pull { HTTP2Pull(rawValue: count) }
    /// `count` bytes were written and they are the last: END_STREAM goes with them.
    @inlinable public static func endOfStream(_ count: Int = 0) -> HTTP2Pull { HTTP2Pull(rawValue: count | endBit) }
    /// Nothing now: the stream rests until `HTTP2Session.resume`.
    @inlinable public static var wouldBlock: HTTP2Pull { HTTP2Pull(rawValue: -1) }
    /// Cut the stream with this code (RFC 9113 section 7). Its `reset` event follows and keeps the token.
    @inlinable public static func reset(_ code: UInt32) -> HTTP2Pull { HTTP2Pull(rawValue: -2 - Int(code)) }

    @usableFromInline static let endBit = 1 << 32
}
