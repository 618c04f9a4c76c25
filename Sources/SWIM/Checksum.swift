/// CRC-32 (IEEE 802.3), as in memberlist's checksummed datagrams.
enum Checksum {
    /// Table `n` is for a byte that `n` others follow, so that eight bytes are looked up at once.
    private static let tables: [UInt32] = {
        var tables: [UInt32] = (0..<256).map { byte in
            (0..<8).reduce(UInt32(byte)) { value, _ in value & 1 == 1 ? 0xedb8_8320 ^ (value >> 1) : value >> 1 }
        }
        for index in 256..<2048 { tables.append(tables[Int(tables[index - 256] & 0xff)] ^ tables[index - 256] >> 8) }
        return tables
    }()

    static func crc32(_ bytes: ArraySlice<UInt8>) -> UInt32 {
        let (tables, bytes) = (tables.span, bytes.span)
        var value = ~UInt32(0)
        var index = 0
        while index + 8 <= bytes.count {
            let first = value
            value = tables[Int(7 << 8 | (first ^ UInt32(bytes[index])) & 0xff)] ^ tables[Int(6 << 8 | (first >> 8 ^ UInt32(bytes[index + 1])) & 0xff)]
            value ^= tables[Int(5 << 8 | (first >> 16 ^ UInt32(bytes[index + 2])) & 0xff)] ^ tables[Int(4 << 8 | (first >> 24 ^ UInt32(bytes[index + 3])))]
            value ^= tables[3 << 8 | Int(bytes[index + 4])] ^ tables[2 << 8 | Int(bytes[index + 5])]
            value ^= tables[1 << 8 | Int(bytes[index + 6])] ^ tables[Int(bytes[index + 7])]
            index += 8
        }
        while index < bytes.count {
            value = tables[Int(UInt8(truncatingIfNeeded: value) ^ bytes[index])] ^ value >> 8
            index += 1
        }
        return ~value
    }
}
