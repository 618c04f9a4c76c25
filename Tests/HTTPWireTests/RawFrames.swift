/// HTTP/2 frames by hand, for what a well-behaved peer never sends (RFC 9113 section 4.1).
enum Raw {
    static let preface = Array("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".utf8)

    static func frame(_ type: UInt8, flags: UInt8 = 0, stream: UInt32 = 0, _ payload: [UInt8] = []) -> [UInt8] {
        let length = payload.count
        return [UInt8(length >> 16 & 0xff), UInt8(length >> 8 & 0xff), UInt8(length & 0xff), type, flags]
            + [UInt8(stream >> 24 & 0x7f), UInt8(stream >> 16 & 0xff), UInt8(stream >> 8 & 0xff), UInt8(stream & 0xff)] + payload
    }

    static let settings = frame(4)
    static let ping = frame(6, [1, 2, 3, 4, 5, 6, 7, 8])
    static func emptyData(_ stream: UInt32) -> [UInt8] { frame(0, stream: stream) }
    static func reset(_ stream: UInt32, code: UInt8 = 8) -> [UInt8] { frame(3, stream: stream, [0, 0, 0, code]) }
    static func windowUpdate(_ stream: UInt32, _ by: UInt8) -> [UInt8] { frame(8, stream: stream, [0, 0, 0, by]) }
    static func unknown(_ type: UInt8) -> [UInt8] { frame(type, [1, 2, 3]) }

    /// CONNECT of `a:1` as literals without indexing (RFC 7541 section 6.2.2), and `extra` after it.
    static func connect(_ stream: UInt32, endHeaders: Bool = true, extra: [UInt8] = []) -> [UInt8] {
        frame(1, flags: endHeaders ? 4 : 0, stream: stream, literal(":method", "CONNECT") + literal(":authority", "a:1") + extra)
    }

    /// GET with a body of which the length is said.
    static func get(_ stream: UInt32, bodyBytes: Int) -> [UInt8] {
        let fields = [(":method", "GET"), (":scheme", "https"), (":authority", "a:1"), (":path", "/"), ("content-length", "\(bodyBytes)")]
        return frame(1, flags: 4, stream: stream, fields.flatMap { literal($0, $1) })
    }

    static func literal(_ name: String, _ value: String) -> [UInt8] {
        [0] + integer(name.utf8.count) + name.utf8 + integer(value.utf8.count) + value.utf8
    }

    /// A string length: a seven-bit-prefix integer without the Huffman bit.
    private static func integer(_ value: Int) -> [UInt8] {
        if value < 127 { return [UInt8(value)] }
        var rest = value - 127
        var bytes: [UInt8] = [127]
        while rest >= 128 {
            bytes.append(UInt8(rest & 127 | 128))
            rest >>= 7
        }
        return bytes + [UInt8(rest)]
    }
}
