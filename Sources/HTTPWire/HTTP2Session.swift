import CNGHTTP2
import Platform

/// HTTP/2 framing of one tunnel (RFC 9113 over nghttp2): bytes in, events out. No socket, no clock.
///
/// Overview: the owner feeds received bytes and handles the events, then writes out what `nextOutput` gives until that is nil. Data to send is pulled
/// from the `HTTP2DataSource` while output is made, so it waits in the owner's sockets and not here.
///
/// One thread at a time. Noncopyable, so that its owner reaches it without counting a reference. None of `feed`, `nextOutput`, `consume`, `resume` allocates in Swift or counts a reference.
public struct HTTP2Session: ~Copyable {
    /// The payload of the largest DATA frame that is sent: with its nine bytes of header it fills four TLS records of 16 KiB exactly.
    public static let dataPayload = 4 * recordBytes - frameHeader
    /// The most bytes that `nextOutput` gives at once: that frame, or a header block.
    public static let largestOutput = 4 * recordBytes
    static let recordBytes = 16_384
    static let frameHeader = 9

    /// The same for a peer that takes less (RFC 9113: 16,384 bytes at least).
    static func dataPayload(largest: Int) -> Int {
        min(dataPayload, (largest + frameHeader) / recordBytes * recordBytes - frameHeader)
    }

    let session: OpaquePointer
    /// What the C callbacks see. Its address is nghttp2's user data, so that a callback counts no reference.
    let state: UnsafeMutablePointer<SessionState>

    public let role: HTTP2Role

    /// - Parameter source: its context must outlive the session.
    public init(role: HTTP2Role, settings: HTTP2Settings = HTTP2Settings(), source: HTTP2DataSource) {
        precondition(settings.headerListBytes <= 32_768, "a header field's length is kept in 16 bits")
        self.role = role
        state = .allocate(capacity: 1)
        state.initialize(to: SessionState(role: role, settings: settings, source: source))
        session = Self.make(role, settings, state)
        Self.announce(session, role, settings)
    }

    deinit {
        nghttp2_session_del(session)
        state.deinitialize(count: 1)
        state.deallocate()
    }

    /// Takes all the bytes and appends what they mean to `events`.
    ///
    /// - Parameter now: for the flood limits; the loop's cached time will do.
    /// - Returns: `.failed` when the session can't go on; it stays so. Events before the fault are in `events`.
    public func feed(_ bytes: UnsafeRawBufferPointer, at now: MonotonicTime, events: inout HTTP2EventBuffer) -> HTTP2Result {
        if let failure = state.pointee.failure { return .failed(failure) }
        guard let base = bytes.baseAddress, !bytes.isEmpty else { return .ok }
        let input = base.assumingMemoryBound(to: UInt8.self)
        state.pointee.now = now
        state.pointee.fed = input
        state.pointee.scratchAtFeed = events.scratchCount
        state.pointee.resumeBlock(&events)
        let result = withUnsafeMutablePointer(to: &events) { pointer in
            state.pointee.events = pointer
            defer { state.pointee.events = nil }
            return nghttp2_session_mem_recv(session, input, bytes.count)
        }
        state.pointee.suspendBlock(&events)
        state.pointee.fed = nil
        if result < 0 { return .failed(fail(CInt(result))) }
        return .ok
    }

    /// The next chunk to write, at most one frame; nil when there is nothing to write now. The bytes stay valid until the next call.
    ///
    /// Making output may end streams: `closed` and `reset` events are appended.
    public func nextOutput(events: inout HTTP2EventBuffer) -> UnsafeRawBufferPointer? {
        var data: UnsafePointer<UInt8>?
        let length = withUnsafeMutablePointer(to: &events) { pointer in
            state.pointee.events = pointer
            defer { state.pointee.events = nil }
            return nghttp2_session_mem_send(session, &data)
        }
        if length < 0 { state.pointee.failure = state.pointee.failure ?? .library(CInt(length)) }
        guard length > 0, let data else { return nil }
        return UnsafeRawBufferPointer(start: data, count: length)
    }

    /// Whether there may be something to write. It can be true and `nextOutput` nil, when all that waits is held back by flow control or by its
    /// source.
    public var wantsWrite: Bool { nghttp2_session_want_write(session) != 0 }

    /// Neither end has more to say: write nothing, close the connection.
    public var isFinished: Bool {
        nghttp2_session_want_read(session) == 0 && nghttp2_session_want_write(session) == 0 || state.pointee.failure != nil && !wantsWrite
    }

    /// Streams that have not ended.
    public var activeStreams: Int { state.pointee.activeStreams }

    public var failure: HTTP2Failure? { state.pointee.failure }

    /// What was received so far that gave no event: skipped informational responses and frames of unknown types.
    public var ignoredFrames: UInt64 { state.pointee.ignoredFrames }

    /// Turns nghttp2's error into ours and queues the GOAWAY that names it.
    private func fail(_ number: CInt) -> HTTP2Failure {
        let failure: HTTP2Failure =
            switch number {
            case NGHTTP2_ERR_CALLBACK_FAILURE.rawValue: state.pointee.failure ?? .library(number)
            case NGHTTP2_ERR_BAD_CLIENT_MAGIC.rawValue: .notHTTP2
            case NGHTTP2_ERR_FLOODED.rawValue: .flood(.pendingAcks)
            case NGHTTP2_ERR_TOO_MANY_CONTINUATIONS.rawValue: .flood(.continuation)
            case NGHTTP2_ERR_TOO_MANY_SETTINGS.rawValue: .flood(.settings)
            default: .library(number)
            }
        state.pointee.failure = failure
        switch failure {
        case .flood(let flood): submitGoaway(HTTP2Code.enhanceYourCalm, flood.rawValue)
        case .notHTTP2, .protocolError: submitGoaway(HTTP2Code.protocolError, failure.code)
        case .library: submitGoaway(HTTP2Code.internalError, failure.code)
        }
        return failure
    }

    func submitGoaway(_ code: UInt32, _ text: String) {
        var text = text
        let last = nghttp2_session_get_last_proc_stream_id(session)
        text.withUTF8 { _ = nghttp2_submit_goaway(session, UInt8(NGHTTP2_FLAG_NONE.rawValue), last, code, $0.baseAddress, $0.count) }
    }
}

/// Whether a session goes on.
public enum HTTP2Result: Equatable, Sendable {
    case ok
    case failed(HTTP2Failure)
}
