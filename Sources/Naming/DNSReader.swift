/// The message is not DNS, or is cut off.
struct DNSFormatError: Error, Equatable {}

/// Reads a message front to back; every step is checked against the end.
struct DNSReader {
    let bytes: [UInt8]
    private(set) var position: Int

    init(_ bytes: [UInt8], at position: Int = 0) {
        self.bytes = bytes
        self.position = position
    }

    mutating func byte() throws(DNSFormatError) -> UInt8 {
        guard position < bytes.count else { throw DNSFormatError() }
        defer { position += 1 }
        return bytes[position]
    }

    mutating func word() throws(DNSFormatError) -> UInt16 {
        let high = try byte()
        return UInt16(high) << 8 | UInt16(try byte())
    }

    mutating func skip(_ count: Int) throws(DNSFormatError) {
        guard count >= 0, bytes.count - position >= count else { throw DNSFormatError() }
        position += count
    }

    /// Labels as they are on the wire, case kept. At most 255 bytes (RFC 1035 section 3.1).
    ///
    /// A compression pointer must lead to an earlier place than any before it, so that following them ends.
    /// - Parameter pointers: whether they may occur; a question's name has nothing before it to point at.
    mutating func name(pointers: Bool) throws(DNSFormatError) -> [[UInt8]] {
        var labels: [[UInt8]] = []
        var length = 1
        var cursor = position
        var lowest = position
        var end: Int?
        while true {
            guard cursor < bytes.count else { throw DNSFormatError() }
            let size = Int(bytes[cursor])
            switch size >> 6 {
            case 0:
                cursor += 1
                if size == 0 {
                    position = end ?? cursor
                    return labels
                }
                length += size + 1
                guard length <= DNSBounds.name, bytes.count - cursor >= size else { throw DNSFormatError() }
                labels.append(Array(bytes[cursor..<(cursor + size)]))
                cursor += size
            case 3:
                guard pointers, cursor + 1 < bytes.count else { throw DNSFormatError() }
                let target = (size & 0x3f) << 8 | Int(bytes[cursor + 1])
                guard target < lowest, target >= DNSBounds.header else { throw DNSFormatError() }
                if end == nil { end = cursor + 2 }
                lowest = target
                cursor = target
            default: throw DNSFormatError()  // 01 and 10 are reserved
            }
        }
    }
}
