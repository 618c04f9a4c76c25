import CNGHTTP2
import Platform

// nghttp2's callbacks. Each gets the `SessionState` as user data; none allocates or counts a reference.

private typealias State = UnsafeMutablePointer<SessionState>

@inline(__always)
private func owner(_ user: UnsafeMutableRawPointer?) -> State { user.unsafelyUnwrapped.assumingMemoryBound(to: SessionState.self) }

@inline(__always)
private func tokenOf(_ session: OpaquePointer?, _ stream: Int32) -> UInt64 {
    UInt64(UInt(bitPattern: nghttp2_session_get_stream_user_data(session, stream)))
}

@inline(__always)
private func has(_ flags: UInt8, _ flag: nghttp2_flag) -> Bool { flags & UInt8(flag.rawValue) != 0 }

extension HTTP2Session {
    /// Pulls the payload of one DATA frame.
    static let readCallback: nghttp2_data_source_read_callback = { session, stream, buffer, room, flags, _, user in
        let token = tokenOf(session, stream)
        guard token != 0 else { return Int(NGHTTP2_ERR_DEFERRED.rawValue) }
        let source = owner(user).pointee.source
        let answer = source.pull(source.context, stream, token, buffer, room)
        if answer > 0 {
            let count = answer & (HTTP2Pull.endBit - 1)
            precondition(count <= room, "a data source wrote more than there was room for")
            if answer & HTTP2Pull.endBit != 0 { flags.unsafelyUnwrapped.pointee |= NGHTTP2_DATA_FLAG_EOF.rawValue }
            return count
        }
        if answer <= -2 {
            nghttp2_submit_rst_stream(session, UInt8(NGHTTP2_FLAG_NONE.rawValue), stream, UInt32(truncatingIfNeeded: -2 - answer))
        }
        return Int(NGHTTP2_ERR_DEFERRED.rawValue)
    }

    static func install(_ callbacks: OpaquePointer?) {
        nghttp2_session_callbacks_set_data_source_read_length_callback(callbacks) { _, _, _, _, _, largest, _ in
            HTTP2Session.dataPayload(largest: Int(largest))
        }
        installReceiving(callbacks)
        installSending(callbacks)
        nghttp2_session_callbacks_set_on_stream_close_callback(callbacks) { session, stream, code, user in
            let state = owner(user)
            state.pointee.activeStreams -= 1
            state.pointee.unanswered[stream] = nil
            let wasReset = state.pointee.resetStream == stream
            var event = HTTP2Event(wasReset || code != 0 ? .reset : .closed, stream: stream)
            event.token = tokenOf(session, stream)
            event.code = state.pointee.unsent == stream ? HTTP2Code.refusedStream : code
            state.pointee.unsent = 0
            event.isLocal = wasReset && state.pointee.resetIsLocal
            state.pointee.resetStream = 0
            state.pointee.emit(event)
            return 0
        }
    }

    private static func installReceiving(_ callbacks: OpaquePointer?) {
        nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks) { _, frame, user in
            let state = owner(user)
            let frame = frame.unsafelyUnwrapped
            state.pointee.beginBlock()
            if frame.pointee.headers.cat == NGHTTP2_HCAT_REQUEST {
                state.pointee.activeStreams += 1
                state.pointee.flood.streamOpened()
                state.pointee.unanswered[frame.pointee.hd.stream_id] = state.pointee.now
            }
            return 0
        }
        nghttp2_session_callbacks_set_on_header_callback(callbacks) { _, _, name, nameLength, value, valueLength, _, user in
            owner(user).pointee.addField(UnsafeBufferPointer(start: name, count: nameLength), UnsafeBufferPointer(start: value, count: valueLength))
        }
        nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks) { session, _, stream, bytes, length, user in
            let state = owner(user)
            // Credit for the connection returns now, so that one slow stream never stalls the others; the stream's own when its bytes were written
            // out.
            let result = nghttp2_session_consume_connection(session, length)
            if result != 0 { return result }
            guard let bytes, let fed = state.pointee.fed, length > 0 else { return 0 }
            var event = HTTP2Event(.data, stream: stream)
            event.token = tokenOf(session, stream)
            event.offset = UInt32(bytes - fed)
            event.length = UInt32(length)
            state.pointee.emit(event)
            return 0
        }
        nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks) { session, frame, user in
            received(session, frame.unsafelyUnwrapped, owner(user))
        }
        nghttp2_session_callbacks_set_on_begin_frame_callback(callbacks) { session, header, user in
            began(session, header.unsafelyUnwrapped.pointee, owner(user))
        }
        nghttp2_session_callbacks_set_unpack_extension_callback(callbacks) { _, _, _, _ in NGHTTP2_ERR_CANCEL.rawValue }
        nghttp2_session_callbacks_set_on_invalid_frame_recv_callback(callbacks) { _, _, _, user in
            owner(user).pointee.count(.invalid)
        }
    }

    private static func installSending(_ callbacks: OpaquePointer?) {
        nghttp2_session_callbacks_set_on_frame_send_callback(callbacks) { session, frame, user in
            let state = owner(user)
            let frame = frame.unsafelyUnwrapped
            switch UInt32(frame.pointee.hd.type) {
            case NGHTTP2_DATA.rawValue:
                state.pointee.flood.dataSent()
            case NGHTTP2_HEADERS.rawValue where frame.pointee.headers.cat == NGHTTP2_HCAT_REQUEST:
                state.pointee.flood.streamOpened()
                let stream = frame.pointee.hd.stream_id
                let bytes = state.pointee.takeWidening(stream)
                if bytes > 0 { HTTP2Session.widen(session, stream, by: bytes) }
            case NGHTTP2_RST_STREAM.rawValue:
                state.pointee.resetStream = frame.pointee.hd.stream_id
                state.pointee.resetIsLocal = true
                state.pointee.countSentReset(frame.pointee.rst_stream.error_code)
            case NGHTTP2_GOAWAY.rawValue where frame.pointee.goaway.error_code != HTTP2Code.noError && state.pointee.failure == nil:
                state.pointee.failure = .protocolError(frame.pointee.goaway.error_code)
                var event = HTTP2Event(.protocolError, stream: 0)
                event.code = frame.pointee.goaway.error_code
                event.isLocal = true
                state.pointee.emit(event)
            default: break
            }
            return 0
        }
        nghttp2_session_callbacks_set_on_frame_not_send_callback(callbacks) { _, frame, _, user in
            // A request that could not go out any more (a GOAWAY came in between): the peer never saw it, so it is safe to try elsewhere.
            let frame = frame.unsafelyUnwrapped
            if UInt32(frame.pointee.hd.type) == NGHTTP2_HEADERS.rawValue { owner(user).pointee.unsent = frame.pointee.hd.stream_id }
            return 0
        }
    }
}

/// Counts frames before their payload is read: floods are of small frames.
private func began(_ session: OpaquePointer?, _ header: nghttp2_frame_hd, _ state: State) -> Int32 {
    state.pointee.frameBegan(isContinuation: UInt32(header.type) == NGHTTP2_CONTINUATION.rawValue)
    if state.pointee.tooManyResets { return state.pointee.stop(.invalid) }
    if nghttp2_session_get_outbound_queue_size(session) > state.pointee.pendingFrames { return state.pointee.stop(.pendingFrames) }
    switch UInt32(header.type) {
    case NGHTTP2_DATA.rawValue where header.length == 0 && !has(header.flags, NGHTTP2_FLAG_END_STREAM): return state.pointee.count(.emptyData)
    case NGHTTP2_PING.rawValue where !has(header.flags, NGHTTP2_FLAG_ACK): return state.pointee.count(.ping)
    case NGHTTP2_SETTINGS.rawValue where !has(header.flags, NGHTTP2_FLAG_ACK) && state.pointee.peerSettingsSeen: return state.pointee.count(.settings)
    case NGHTTP2_RST_STREAM.rawValue: return state.pointee.countReset(header.stream_id)
    case NGHTTP2_PRIORITY.rawValue, NGHTTP2_WINDOW_UPDATE.rawValue, NGHTTP2_GOAWAY.rawValue: return state.pointee.count(.control)
    case NGHTTP2_DATA.rawValue...NGHTTP2_CONTINUATION.rawValue: return 0
    default:
        state.pointee.ignoredFrames &+= 1
        return state.pointee.count(.control)
    }
}

private func received(_ session: OpaquePointer?, _ frame: UnsafePointer<nghttp2_frame>, _ state: State) -> Int32 {
    let header = frame.pointee.hd
    switch UInt32(header.type) {
    case NGHTTP2_HEADERS.rawValue:
        let verdict = headersReceived(session, frame, state)
        if verdict != 0 { return verdict }
        if has(header.flags, NGHTTP2_FLAG_END_STREAM) { endStream(session, header.stream_id, state) }
    case NGHTTP2_DATA.rawValue:
        if has(header.flags, NGHTTP2_FLAG_END_STREAM) { endStream(session, header.stream_id, state) }
        // An empty frame in disguise: nothing but padding.
        else if header.length > 0, frame.pointee.data.padlen >= header.length { return state.pointee.count(.emptyData) }
    case NGHTTP2_RST_STREAM.rawValue:
        state.pointee.resetStream = header.stream_id
        state.pointee.resetIsLocal = false
    case NGHTTP2_SETTINGS.rawValue:
        if !has(header.flags, NGHTTP2_FLAG_ACK) { state.pointee.peerSettingsSeen = true }
        state.pointee.emit(HTTP2Event(has(header.flags, NGHTTP2_FLAG_ACK) ? .settingsAck : .settings, stream: 0))
    case NGHTTP2_PING.rawValue where has(header.flags, NGHTTP2_FLAG_ACK):
        pingAnswered(session, frame, state)
    case NGHTTP2_GOAWAY.rawValue:
        goawayReceived(frame.pointee.goaway, state)
    default: break
    }
    return 0
}

private func endStream(_ session: OpaquePointer?, _ stream: Int32, _ state: State) {
    var event = HTTP2Event(.endStream, stream: stream)
    event.token = tokenOf(session, stream)
    state.pointee.emit(event)
}

private func headersReceived(_ session: OpaquePointer?, _ frame: UnsafePointer<nghttp2_frame>, _ state: State) -> Int32 {
    let stream = frame.pointee.hd.stream_id
    let category = frame.pointee.headers.cat
    var kind = HTTP2Event.Kind.headers
    if category == NGHTTP2_HCAT_HEADERS {
        // After a response: trailers, or the final response that follows an informational one. Only the latter has a status.
        let isResponse = state.pointee.blockStatus != 0
        kind = isResponse ? .headers : .trailers
    }
    if (100..<200).contains(state.pointee.blockStatus) {
        state.pointee.ignoredFrames &+= 1
        state.pointee.dropBlock()
        return state.pointee.count(.control)
    }
    state.pointee.endBlock(kind, stream: stream, token: tokenOf(session, stream))
    return 0
}

private func pingAnswered(_ session: OpaquePointer?, _ frame: UnsafePointer<nghttp2_frame>, _ state: State) {
    let payload = withUnsafeBytes(of: frame.pointee.ping.opaque_data) { $0.loadUnaligned(as: UInt64.self) }
    if payload == SessionState.drainPing, state.pointee.draining {
        let last = nghttp2_session_get_last_proc_stream_id(session)
        nghttp2_submit_goaway(session, UInt8(NGHTTP2_FLAG_NONE.rawValue), last, HTTP2Code.noError, nil, 0)
        return
    }
    var event = HTTP2Event(.pingAck, stream: 0)
    event.token = payload
    state.pointee.emit(event)
}

/// Most of a GOAWAY's debug text that is kept.
private let goawayTextBytes = 256

private func goawayReceived(_ frame: nghttp2_goaway, _ state: State) {
    guard let events = state.pointee.events else { return }
    var event = HTTP2Event(.goaway, stream: frame.last_stream_id)
    event.code = frame.error_code
    let length = min(frame.opaque_data_len, goawayTextBytes)
    event.offset = UInt32(events.pointee.scratchCount)
    event.length = UInt32(length)
    let place = events.pointee.reserveScratch(length)
    if length > 0, let text = frame.opaque_data { place.update(from: text, count: length) }
    state.pointee.emit(event)
}
