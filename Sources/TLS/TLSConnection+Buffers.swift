import COpenSSL
import Glibc
import Platform

/// What became of gathered output.
public enum TLSFlush: Sendable {
    case sent
    /// The socket is full: call again when it is writable, and write nothing until then.
    case blocked
    case failed(TLSError)
}

extension TLSConnection {
    /// Sends what was written since the last time. Nothing to do, and `.sent`, without an output.
    public mutating func flush() -> TLSFlush {
        guard let wire else { return .sent }
        do throws(Errno) {
            return try TLSWire.flush(wire) ? .sent : .blocked
        } catch {
            return .failed(TLSError(.network, "the connection failed: \(error)"))
        }
    }

    /// As much as `bytes` may be written before the next `flush`. Always true without an output: there the socket decides.
    public func hasRoom(for bytes: Int) -> Bool {
        guard let wire else { return true }
        return wire.pointee.output.pointee.count + bytes + (bytes / Self.recordSize + 1) * Self.recordOverhead <= TLSBuffers.capacity
    }

    /// Plain bytes of a full record, and what TLS 1.3 adds to each (RFC 8446 section 5.2).
    private static let recordSize = 16_384
    private static let recordOverhead = 5 + 1 + 16

    /// The socket became readable.
    /// - Parameter mayHaveEnded: the event says that the peer has ended, or is gone: what was read short then says nothing.
    public mutating func inputArrived(mayHaveEnded: Bool) {
        guard let wire else { return }
        wire.pointee.isDrained = false
        if mayHaveEnded { wire.pointee.isThorough = true }
    }

    /// From now on many records are read at once. Once the handshake is done, and the connection stays on this thread.
    public mutating func readAhead() { wire?.pointee.isBuffered = true }

    /// Reads ask the socket for more (again).
    /// - Parameter portion: about so many bytes at once.
    public mutating func startReceiving(_ portion: Int = TLSBuffers.capacity) {
        guard let wire else { return }
        wire.pointee.isResting = false
        wire.pointee.portion = min(portion, TLSBuffers.capacity)
    }

    /// From now on reads only hand out what was read ahead, and then say that they want more.
    /// - Returns: whether there is such: go on reading then, before any other connection does.
    public mutating func stopReceiving() -> Bool {
        guard let wire else { return false }
        wire.pointee.isResting = true
        return wire.pointee.input.pointee.count > 0
    }

    /// Gives the buffers for records back until the next read or write; for a connection that is quiet.
    public mutating func releaseBuffers() { _ = SSL_free_buffers(ssl) }

    /// From now on OpenSSL talks to the socket itself: before the connection moves to another thread. False when output waits: then it can't. Not after
    /// `readAhead`.
    public mutating func leaveBuffers() -> Bool {
        guard let pointer = wire else { return true }
        precondition(!pointer.pointee.isBuffered, "what was read ahead would be lost")
        guard case .sent = flush(), SSL_set_fd(ssl, fd) == 1 else { return false }
        TLSWire.free(pointer)
        wire = nil
        copenssl_release_buffers(ssl)
        return true
    }
}
