/// HTTP/2 frames by hand (RFC 9113 section 4.1).
enum Frames {
    static func frame(_ type: UInt8, flags: UInt8 = 0, stream: UInt32 = 0, _ payload: [UInt8] = []) -> [UInt8] {
        let count = payload.count
        return [UInt8(count >> 16), UInt8(count >> 8 & 255), UInt8(count & 255), type, flags] + (0..<4).reversed().map { UInt8(stream >> (8 * $0) & 255) } + payload
    }

    static func reset(_ stream: UInt32) -> [UInt8] { frame(3, stream: stream, [0, 0, 0, 8]) }

    static func headers(_ stream: UInt32, _ fields: [(String, String)], flags: UInt8 = 4, extra: [UInt8] = []) -> [UInt8] {
        frame(1, flags: flags, stream: stream, fields.flatMap { field($0, $1) } + extra)
    }

    /// HPACK's simplest form (RFC 7541 section 6.2): a literal with a new name. `first` is 0x40 to keep it in the table.
    static func field(_ name: String, _ value: String, first: UInt8 = 0) -> [UInt8] { [first] + string(name) + string(value) }

    private static func string(_ text: String) -> [UInt8] {
        var rest = text.utf8.count
        var length: [UInt8] = [UInt8(min(rest, 127))]
        if rest >= 127 {
            rest -= 127
            while rest >= 128 {
                length.append(UInt8(rest & 127 | 128))
                rest >>= 7
            }
            length.append(UInt8(rest))
        }
        return length + text.utf8
    }
}
