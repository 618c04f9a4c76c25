import CNetfilter
import Glibc
import Platform

extension NetlinkSocket {
    /// What the kernel said against a request.
    struct Refusal: Error {
        let errno: Errno
        var text: String?
        /// Byte offset in the request of what it did not like.
        var offset: Int?
        init(_ errno: Errno, text: String? = nil, offset: Int? = nil) {
            self.errno = errno
            self.text = text
            self.offset = offset
        }
        init(_ message: NetlinkMessage) {
            let extended = message.extendedError
            self.init(Errno(message.errorCode), text: extended.text, offset: extended.offset)
        }
    }

    /// Sends a request (with NLM_F_ACK or NLM_F_DUMP, or one that has a single answer) and calls `body` for each answer until the acknowledgement.
    ///
    /// Answers to earlier requests are skipped by their sequence numbers. A dump that the kernel found inconsistent is reported as EINTR after its
    /// end.
    func exchange(_ request: borrowing NetlinkRequest, sequence: UInt32, dump: Bool, body: (NetlinkMessage) -> Void) throws(Refusal) {
        do { try send(request.bytes) } catch { throw Refusal(error) }
        var finished = false
        var interrupted = false
        var refusal: Refusal?
        while !finished {
            let datagram: UnsafeRawBufferPointer?
            do { datagram = try receive() } catch { throw Refusal(error) }
            guard let datagram else { throw Refusal(Errno(ENODATA), text: "no answer") }
            NetlinkMessage.forEach(in: datagram) { message in
                guard message.sequence == sequence else { return true }
                if message.flags & UInt16(NLM_F_DUMP_INTR) != 0 { interrupted = true }
                switch CInt(message.type) {
                case NLMSG_ERROR:
                    if message.errorCode != 0 { refusal = Refusal(message) }
                    finished = true
                case NLMSG_DONE:
                    // A dump that failed midway says so in the payload of its end.
                    if message.payload.count >= 4, message.errorCode > 0 { refusal = Refusal(Errno(message.errorCode)) }
                    finished = true
                default: body(message)
                }
                return !finished
            }
        }
        if let refusal { throw refusal }
        if dump, interrupted { throw Refusal(Errno(EINTR)) }
    }

    /// Sends a request that has exactly one answer and hands it to `body`; returns the kernel's error instead when it gave one. Allocates nothing.
    @inline(__always)
    func single(_ request: borrowing NetlinkRequest, sequence: UInt32, _ body: (NetlinkMessage) -> Void) throws(Errno) -> Errno? {
        try send(request.bytes)
        var lost = false
        while true {
            let datagram: UnsafeRawBufferPointer?
            do {
                datagram = try receive()
            } catch {
                // Lost messages are those of earlier calls that failed halfway; what queues behind the report is whole.
                if error.code == ENOBUFS, !lost {
                    lost = true
                    continue
                }
                throw error
            }
            guard let datagram else { throw Errno(ENODATA) }
            var refused: CInt = 0
            var isAnswer = false
            NetlinkMessage.forEach(in: datagram) { message in
                guard message.sequence == sequence else { return true }
                isAnswer = true
                if CInt(message.type) == NLMSG_ERROR { refused = message.errorCode } else { body(message) }
                return false
            }
            if isAnswer { return refused == 0 ? nil : Errno(refused) }
        }
    }
}
