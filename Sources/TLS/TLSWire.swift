import COpenSSL
import Glibc
import Platform

/// The socket below one connection, as OpenSSL sees it (a BIO), with the thread's `TLSBuffers` in between.
///
/// Function: a read that brings less than was asked for has emptied the socket, so the next one answers "later" without asking the kernel, until an event
/// says otherwise. OpenSSL's own read-ahead is not used: it moves all that it has read to the front of its buffer with each record.
/// Lives at a fixed address as long as its connection.
struct TLSWire {
    let fd: CInt
    let output: UnsafeMutablePointer<TLSBuffers.State>
    let input: UnsafeMutablePointer<TLSBuffers.State>
    /// Reads go through `input`. Not in the handshake: after it the connection may move to another thread, and must leave nothing behind.
    var isBuffered = false
    /// The socket has given all it had.
    var isDrained = false
    /// The socket is not asked for more, whatever it has.
    var isResting = false
    /// So much is read ahead at once.
    var portion = TLSBuffers.capacity
    /// The peer may have ended: only the kernel's answer tells.
    var isThorough = false
    /// What the socket did not take.
    var backlog: UnsafeMutableRawPointer?
    var backlogOffset = 0
    var backlogCount = 0

    typealias Pointer = UnsafeMutablePointer<TLSWire>

    static func make(_ fd: CInt, _ buffers: TLSBuffers) -> Pointer {
        let wire = Pointer.allocate(capacity: 1)
        wire.initialize(to: TLSWire(fd: fd, output: buffers.output, input: buffers.input))
        return wire
    }

    static func free(_ wire: Pointer) {
        // What a connection that failed in the middle of its turn has left.
        for state in [wire.pointee.input, wire.pointee.output] where state.pointee.owner == wire { state.pointee.count = 0 }
        Glibc.free(wire.pointee.backlog)
        wire.deallocate()
    }

    // MARK: Sending

    /// Sends what has gathered. False when the socket is full: the rest is kept, and nothing more may be written before it has left.
    ///
    /// - Throws: what the kernel says of a dead connection.
    static func flush(_ wire: Pointer) throws(Errno) -> Bool {
        if wire.pointee.backlogCount > 0 {
            let sent = try send(wire.pointee.fd, wire.pointee.backlog! + wire.pointee.backlogOffset, wire.pointee.backlogCount)
            wire.pointee.backlogOffset += sent
            wire.pointee.backlogCount -= sent
            if wire.pointee.backlogCount > 0 {
                try keepOutput(wire, from: 0)
                return false
            }
            Glibc.free(wire.pointee.backlog)
            wire.pointee.backlog = nil
        }
        let output = wire.pointee.output
        guard output.pointee.owner == wire, output.pointee.count > 0 else { return true }
        let count = output.pointee.count
        let sent: Int
        do throws(Errno) {
            sent = try send(wire.pointee.fd, output.pointee.base, count)
        } catch {
            output.pointee.count = 0
            throw error
        }
        try keepOutput(wire, from: sent)
        return sent == count
    }

    /// Moves what has gathered, from an offset on, behind what waits for the socket already. The thread's buffer is free for others then.
    private static func keepOutput(_ wire: Pointer, from sent: Int) throws(Errno) {
        let output = wire.pointee.output
        guard output.pointee.owner == wire, output.pointee.count > 0 else { return }
        let count = output.pointee.count - sent
        output.pointee.count = 0
        if count == 0 { return }
        let end = wire.pointee.backlog == nil ? 0 : wire.pointee.backlogOffset + wire.pointee.backlogCount
        guard let larger = realloc(wire.pointee.backlog, end + count) else { throw Errno(ENOMEM) }
        memcpy(larger + end, output.pointee.base + sent, count)
        if wire.pointee.backlog == nil { wire.pointee.backlogOffset = 0 }
        wire.pointee.backlog = larger
        wire.pointee.backlogCount += count
    }

    private static func send(_ fd: CInt, _ bytes: UnsafeRawPointer, _ count: Int) throws(Errno) -> Int {
        var offset = 0
        while offset < count {
            let sent = Glibc.send(fd, bytes + offset, count - offset, CInt(MSG_NOSIGNAL))
            if sent > 0 {
                offset += sent
            } else {
                let error = Errno.current
                if error.code == EAGAIN { return offset }
                if error.code != EINTR { throw error }
            }
        }
        return offset
    }

    // MARK: The BIO

    static func bio(_ wire: Pointer) -> OpaquePointer? {
        guard let bio = BIO_new(method) else { return nil }
        BIO_set_data(bio, wire)
        BIO_set_init(bio, 1)
        return bio
    }

    // Made once, never changed after; OpenSSL reads it from all threads.
    private nonisolated(unsafe) static let method: OpaquePointer = {
        guard let method = BIO_meth_new(BIO_get_new_index() | CInt(BIO_TYPE_SOURCE_SINK), "weft") else { preconditionFailure("OpenSSL: out of memory") }
        BIO_meth_set_read(method, read)
        BIO_meth_set_write(method, write)
        BIO_meth_set_ctrl(method) { _, command, _, _ in command == BIO_CTRL_FLUSH ? 1 : 0 }
        return method
    }()

    private static let read: @convention(c) (OpaquePointer?, UnsafeMutablePointer<CChar>?, CInt) -> CInt = { bio, bytes, count in
        let wire = BIO_get_data(bio).assumingMemoryBound(to: TLSWire.self)
        BIO_clear_flags(bio, BIO_FLAGS_READ | BIO_FLAGS_WRITE | BIO_FLAGS_IO_SPECIAL | BIO_FLAGS_SHOULD_RETRY)
        guard let bytes, wire.pointee.isBuffered else { return receive(wire, bio, bytes, Int(count)) }
        let input = wire.pointee.input
        if input.pointee.count == 0 {
            let received = receive(wire, bio, input.pointee.base, wire.pointee.portion)
            if received <= 0 { return received }
            input.pointee.owner = wire
            input.pointee.offset = 0
            input.pointee.count = Int(received)
        }
        precondition(input.pointee.owner == wire, "another connection was not read to its end")
        let taken = min(Int(count), input.pointee.count)
        memcpy(bytes, input.pointee.base + input.pointee.offset, taken)
        input.pointee.offset += taken
        input.pointee.count -= taken
        return CInt(taken)
    }

    private static func receive(_ wire: Pointer, _ bio: OpaquePointer?, _ bytes: UnsafeMutableRawPointer?, _ count: Int) -> CInt {
        if wire.pointee.isDrained || wire.pointee.isResting {
            BIO_set_flags(bio, BIO_FLAGS_READ | BIO_FLAGS_SHOULD_RETRY)
            return -1
        }
        while true {
            let result = recv(wire.pointee.fd, bytes, count, 0)
            if result >= 0 {
                if result < count, result > 0, !wire.pointee.isThorough { wire.pointee.isDrained = true }
                return CInt(result)
            }
            let error = errno
            if error == EINTR { continue }
            if error == EAGAIN {
                wire.pointee.isDrained = true
                BIO_set_flags(bio, BIO_FLAGS_READ | BIO_FLAGS_SHOULD_RETRY)
            }
            return -1
        }
    }

    private static let write: @convention(c) (OpaquePointer?, UnsafePointer<CChar>?, CInt) -> CInt = { bio, bytes, count in
        let wire = BIO_get_data(bio).assumingMemoryBound(to: TLSWire.self)
        let output = wire.pointee.output
        BIO_clear_flags(bio, BIO_FLAGS_READ | BIO_FLAGS_WRITE | BIO_FLAGS_IO_SPECIAL | BIO_FLAGS_SHOULD_RETRY)
        // Should another connection have left something (OpenSSL may answer by itself), it goes its own way first, or is lost with a dead one.
        if output.pointee.count > 0, let other = output.pointee.owner, other != wire {
            _ = try? flush(other)
            output.pointee.count = 0
        }
        let room = min(Int(count), TLSBuffers.capacity - output.pointee.count)
        guard room > 0, let bytes else {
            BIO_set_flags(bio, BIO_FLAGS_WRITE | BIO_FLAGS_SHOULD_RETRY)
            return -1
        }
        output.pointee.owner = wire
        memcpy(output.pointee.base + output.pointee.count, bytes, room)
        output.pointee.count += room
        return CInt(room)
    }
}
