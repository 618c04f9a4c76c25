import CNGHTTP2
import Platform

extension HTTP2Session {
    /// What came of opening a stream.
    public enum Opened: Equatable, Sendable {
        case stream(Int32)
        /// The peer sent GOAWAY, or this end did, or stream ids are used up, or the session failed: dial another tunnel.
        case refused
        /// As many streams are open as the peer allows: wait for one to end, or dial another tunnel.
        case full
    }

    /// Streams that `connect` can still open now.
    public var openableStreams: Int {
        guard role == .client, state.pointee.failure == nil, nghttp2_session_check_request_allowed(session) != 0 else { return 0 }
        let allowed = nghttp2_session_get_remote_settings(session, NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS)
        let known = state.pointee.peerSettingsSeen ? allowed : min(allowed, state.pointee.assumedPeerStreams)
        return max(0, Int(known) - activeStreams)
    }

    /// Opens a CONNECT stream (RFC 9113 section 8.5). Data is pulled from the source at once; a source that must wait for the answer says
    /// `wouldBlock` until it came.
    ///
    /// - Parameters:
    ///   - authority: `host:port` of the endpoint.
    ///   - token: the owner's own name for the stream, not zero; it comes with every event and pull.
    ///   - wider: bytes that the peer may send beyond `HTTP2Settings.streamWindow`; it is told right behind the request.
    public func connect(authority: String, headers: borrowing HTTP2HeaderList, token: UInt64, wider: Int = 0) -> Opened {
        var authority = authority
        return authority.withUTF8 { authority in
            open([Self.field(":method", "CONNECT"), Self.field(":authority", UnsafeRawBufferPointer(authority))], headers, token: token, wider: wider)
        }
    }

    /// Opens the stream of a request: `first` are its pseudo-headers.
    func open(_ first: [nghttp2_nv], _ headers: borrowing HTTP2HeaderList, token: UInt64, wider: Int) -> Opened {
        precondition(token != 0, "zero means that a stream has no token")
        switch openableStreams {
        case 0 where nghttp2_session_check_request_allowed(session) == 0 || state.pointee.failure != nil: return .refused
        case 0: return .full
        default: break
        }
        let stream = Self.withFields(first, followedBy: headers) { fields, count in
            var provider = Self.provider
            return nghttp2_submit_request(session, nil, fields, count, &provider, UnsafeMutableRawPointer(bitPattern: UInt(token)))
        }
        guard stream > 0 else { return .refused }
        state.pointee.activeStreams += 1
        if wider > 0 { state.pointee.widenLater(stream, by: wider) }
        return .stream(stream)
    }

    /// Answers a request. With `endStream` the answer is all; else data is pulled from the source, for which the stream needs a token.
    ///
    /// - Returns: false when the stream is gone.
    @discardableResult
    public func respond(_ stream: Int32, status: UInt16, headers: borrowing HTTP2HeaderList, endStream: Bool) -> Bool {
        precondition(role == .server && status >= 100 && status <= 999)
        let digits = (UInt8(48 + status / 100), UInt8(48 + status / 10 % 10), UInt8(48 + status % 10))
        let result = withUnsafeBytes(of: digits) { digits in
            Self.withFields([Self.field(":status", digits)], followedBy: headers) { fields, count in
                var provider = Self.provider
                return endStream
                    ? nghttp2_submit_response(session, stream, fields, count, nil)
                    : nghttp2_submit_response(session, stream, fields, count, &provider)
            }
        }
        if result == 0 { state.pointee.unanswered[stream] = nil }
        return result == 0
    }

    /// Cuts a stream. Its token becomes zero at once and its source is not called again; the `reset` event still follows.
    public func reset(_ stream: Int32, code: UInt32) {
        guard stream > 0 else { return }
        nghttp2_session_set_stream_user_data(session, stream, nil)
        nghttp2_submit_rst_stream(session, UInt8(NGHTTP2_FLAG_NONE.rawValue), stream, code)
    }

    /// The stream's data source has bytes again (or its end).
    public func resume(_ stream: Int32) {
        _ = nghttp2_session_resume_data(session, stream)
    }

    /// `count` received bytes of a stream were written out: the peer may send as many again. Credit is sent in halves of the window.
    public func consume(_ stream: Int32, _ count: Int) {
        _ = nghttp2_session_consume_stream(session, stream, count)
    }

    /// The peer may send so many bytes more on a stream that is open, from now on and for good.
    public func widen(_ stream: Int32, by bytes: Int) { Self.widen(session, stream, by: bytes) }

    static func widen(_ session: OpaquePointer?, _ stream: Int32, by bytes: Int) {
        // Relative to what nghttp2 has: until the peer has acknowledged our SETTINGS that is not yet what they say (RFC 9113 section 6.9.3), and it changes
        // by the difference then.
        let window = nghttp2_session_get_stream_effective_local_window_size(session, stream)
        guard window >= 0 else { return }
        nghttp2_session_set_local_window_size(session, UInt8(NGHTTP2_FLAG_NONE.rawValue), stream, window + Int32(bytes))
    }

    /// Zero when the stream has none or is gone.
    public func token(_ stream: Int32) -> UInt64 {
        UInt64(UInt(bitPattern: nghttp2_session_get_stream_user_data(session, stream)))
    }

    /// Names a stream that the peer opened. Its data is not pulled before.
    ///
    /// - Parameter events: the buffer that brought the request. What it holds of the same stream after the request gets the token too: data may have
    ///   come along,
    ///   and even a reset.
    /// - Returns: false when the stream is gone; its `reset` is in `events` then.
    @discardableResult
    public func setToken(_ stream: Int32, _ token: UInt64, events: inout HTTP2EventBuffer) -> Bool {
        precondition(token != 0, "zero means that a stream has no token")
        events.setToken(stream, token)
        return nghttp2_session_set_stream_user_data(session, stream, UnsafeMutableRawPointer(bitPattern: UInt(token))) == 0
    }

    /// Tells the peer to open no more streams here. With `noError` the open ones go on to their end; with another code the owner should write the
    /// output out and close.
    public func goaway(code: UInt32, text: String = "") {
        submitGoaway(code, text)
    }

    /// Ends a server's tunnel without losing a stream (RFC 9113 section 6.8): a first GOAWAY says that no more are wanted, and after one round trip
    /// a second names
    /// the last one taken. Once the open streams ended, `isFinished`.
    public func drain() {
        guard role == .server else { return goaway(code: HTTP2Code.noError) }
        guard !state.pointee.draining else { return }
        state.pointee.draining = true
        nghttp2_submit_shutdown_notice(session)
        ping(SessionState.drainPing)
    }

    /// Asks the peer for a sign of life; `pingAck` brings `payload` back.
    public func ping(_ payload: UInt64) {
        withUnsafeBytes(of: payload) {
            _ = nghttp2_submit_ping(session, UInt8(NGHTTP2_FLAG_NONE.rawValue), $0.assumingMemoryBound(to: UInt8.self).baseAddress)
        }
    }

    // MARK: Fields

    private static var provider: nghttp2_data_provider { nghttp2_data_provider(source: nghttp2_data_source(), read_callback: readCallback) }

    static func field(_ name: StaticString, _ value: StaticString) -> nghttp2_nv {
        field(name, UnsafeRawBufferPointer(start: value.utf8Start, count: value.utf8CodeUnitCount))
    }

    static func field(_ name: StaticString, _ value: UnsafeRawBufferPointer) -> nghttp2_nv {
        nghttp2_nv(
            name: UnsafeMutablePointer(mutating: name.utf8Start),
            value: UnsafeMutablePointer(mutating: value.assumingMemoryBound(to: UInt8.self).baseAddress),
            namelen: name.utf8CodeUnitCount, valuelen: value.count, flags: UInt8(NGHTTP2_NV_FLAG_NONE.rawValue))
    }

    private static func withFields(
        _ first: [nghttp2_nv], followedBy list: borrowing HTTP2HeaderList, _ body: (UnsafePointer<nghttp2_nv>?, Int) -> Int32
    ) -> Int32 {
        list.withFields { rest, restCount in
            withUnsafeTemporaryAllocation(of: nghttp2_nv.self, capacity: first.count + restCount) { all in
                for (index, field) in first.enumerated() { all.initializeElement(at: index, to: field) }
                for index in 0..<restCount { all.initializeElement(at: first.count + index, to: rest![index]) }
                return body(all.baseAddress, first.count + restCount)
            }
        }
    }
}
