/// Cuts a TCP stream into messages, each behind its length in two bytes (RFC 1035 section 4.2.2).
///
/// Holds at most one message of 65,535 bytes and what was read with it.
package struct StreamFramer: Sendable {
    private var buffer: [UInt8] = []
    private var start = 0

    package init() {}

    package mutating func append(_ bytes: some Sequence<UInt8>) {
        if start > 0 {
            buffer.removeFirst(start)
            start = 0
        }
        buffer += bytes
    }

    /// The next whole message, or nil.
    package mutating func next() -> [UInt8]? {
        guard buffer.count - start >= 2 else { return nil }
        let length = Int(buffer[start]) << 8 | Int(buffer[start + 1])
        guard buffer.count - start - 2 >= length else { return nil }
        let message = Array(buffer[(start + 2)..<(start + 2 + length)])
        start += 2 + length
        return message
    }

    /// The message with its length. Longer ones do not exist in DNS.
    package static func framed(_ message: [UInt8]) -> [UInt8] { DNSWriter.word(UInt16(message.count)) + message }
}
