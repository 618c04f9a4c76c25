import CNGHTTP2

extension HTTP2Session {
    static func make(_ role: HTTP2Role, _ settings: HTTP2Settings, _ state: UnsafeMutablePointer<SessionState>) -> OpaquePointer {
        var callbacks: OpaquePointer?
        var option: OpaquePointer?
        var session: OpaquePointer?
        guard nghttp2_session_callbacks_new(&callbacks) == 0, nghttp2_option_new(&option) == 0 else { preconditionFailure("nghttp2: out of memory") }
        defer {
            nghttp2_session_callbacks_del(callbacks)
            nghttp2_option_del(option)
        }
        install(callbacks)
        nghttp2_option_set_no_auto_window_update(option, 1)
        nghttp2_option_set_no_closed_streams(option, 1)
        nghttp2_option_set_peer_max_concurrent_streams(option, settings.assumedPeerStreams)
        nghttp2_option_set_max_reserved_remote_streams(option, 0)
        nghttp2_option_set_max_outbound_ack(option, settings.limits.pendingAcks)
        nghttp2_option_set_max_continuations(option, settings.limits.continuations)
        // Frames of unknown types are ignored, but not unseen: without this nghttp2 passes over them and no flood of them is counted.
        for type in 10...255 as ClosedRange<UInt8> { nghttp2_option_set_user_recv_extension_type(option, type) }
        // Resets of answered streams are the ordinary end of a flow whose client went away; FloodGuard counts those that are not.
        nghttp2_option_set_stream_reset_rate_limit(option, .max, .max)
        let result =
            role == .client
            ? nghttp2_session_client_new2(&session, callbacks, state, option) : nghttp2_session_server_new2(&session, callbacks, state, option)
        guard result == 0, let session else { preconditionFailure("nghttp2: out of memory") }
        return session
    }

    /// Queues our SETTINGS and opens the connection's window.
    static func announce(_ session: OpaquePointer, _ role: HTTP2Role, _ settings: HTTP2Settings) {
        var entries = [
            entry(NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, settings.streamWindow), entry(NGHTTP2_SETTINGS_MAX_FRAME_SIZE, settings.maxFrameBytes),
            entry(NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, settings.headerListBytes),
        ]
        switch role {
        case .client: entries.append(entry(NGHTTP2_SETTINGS_ENABLE_PUSH, 0))
        case .server: entries.append(entry(NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, settings.maxConcurrentStreams))
        }
        let none = UInt8(NGHTTP2_FLAG_NONE.rawValue)
        precondition(nghttp2_submit_settings(session, none, entries, entries.count) == 0, "settings out of their range (RFC 9113 section 6.5.2)")
        nghttp2_session_set_local_window_size(session, none, 0, Int32(settings.connectionWindow))
    }

    private static func entry(_ id: nghttp2_settings_id, _ value: UInt32) -> nghttp2_settings_entry {
        nghttp2_settings_entry(settings_id: Int32(id.rawValue), value: value)
    }
}
