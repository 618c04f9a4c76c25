import COpenSSL
import Platform

/// Bounds what a peer may send after the handshake that is not data: key updates (RFC 8446 section 4.6.3), tickets to a client.
///
/// OpenSSL has no bound of its own, derives new keys for each, and goes on within one `SSL_read` for as long as more of them come: a thread that reads
/// would never be given back. OpenSSL's state callback is called for such messages and not for data, so this costs a connection that behaves nothing.
enum MessageFlood {
    /// Steps of OpenSSL's state machine; a message takes two or three. A peer renews its keys after some gigabytes.
    static let burst: UInt64 = 100
    static let perSecond: UInt64 = 4

    static func install(on context: OpaquePointer) { SSL_CTX_set_info_callback(context, callback) }

    static func happened(on ssl: OpaquePointer) -> Bool { due(ssl) == tooMany }

    static var error: TLSError {
        TLSError(.messageFlood, "the peer sent too many TLS messages that carry no data (key updates)", remedy: "is it a Weft node, and of what version?")
    }

    private static let tooMany = UInt.max
    /// Holds no pointer: the time at which a peer that behaves would have sent all that this one has (see `FloodGuard`), in nanoseconds.
    private static let slot: CInt = {
        let index = copenssl_ex_new_index()
        precondition(index >= 0, "OpenSSL: no slot for connection data")
        return index
    }()

    private static func due(_ ssl: OpaquePointer) -> UInt { UInt(bitPattern: SSL_get_ex_data(ssl, slot)) }
    private static func setDue(_ ssl: OpaquePointer, _ due: UInt) { SSL_set_ex_data(ssl, slot, UnsafeMutableRawPointer(bitPattern: due)) }

    private static let callback: @convention(c) (OpaquePointer?, CInt, CInt) -> Void = { ssl, place, _ in
        // During the handshake the state is never this one.
        guard place & SSL_CB_LOOP != 0, let ssl, SSL_get_state(ssl) == TLS_ST_OK, due(ssl) != tooMany else { return }
        let step = 1_000_000_000 / perSecond
        let now = MonotonicTime.now().nanoseconds
        let next = max(UInt64(due(ssl)), now) &+ step
        guard next > now + burst * step else { return setDue(ssl, UInt(next)) }
        setDue(ssl, tooMany)
        // The only way out of `SSL_read` from within: it takes the peer for one that has ended.
        SSL_set_shutdown(ssl, SSL_get_shutdown(ssl) | SSL_RECEIVED_SHUTDOWN)
    }
}
