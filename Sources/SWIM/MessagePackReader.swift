/// Reads MessagePack from a part of a buffer, tolerantly as the deployed decoders do (memberlist-protocol §2): any width and
/// sign of integers, nil for empty, the newer string and binary forms too. Nothing is allocated before its length was checked.
struct MessagePackReader {
    /// The whole buffer; only what lies between `position` and `end` is read.
    let bytes: ArraySlice<UInt8>
    private(set) var position: Int
    let end: Int
    /// How many more values may be passed over.
    private var allowance: Int

    /// - Parameter values: the most that may be passed over, for a reader that begins again whenever more bytes have come.
    init(_ bytes: [UInt8], from start: Int = 0, to end: Int? = nil, values: Int = .max) {
        self.bytes = bytes[...]
        position = start
        self.end = end ?? bytes.count
        allowance = values
    }
    /// Where it lies: nothing is copied.
    init(_ bytes: ArraySlice<UInt8>) {
        self.bytes = bytes
        position = bytes.startIndex
        end = bytes.endIndex
        allowance = .max
    }

    var remaining: Int { end - position }

    mutating func byte() throws(Refusal) -> UInt8 {
        guard position < end else { throw .truncated }
        defer { position += 1 }
        return bytes[position]
    }

    mutating func number(_ width: Int) throws(Refusal) -> UInt64 {
        guard remaining >= width else { throw .truncated }
        var value: UInt64 = 0
        for offset in 0..<width { value = value << 8 | UInt64(bytes[position + offset]) }
        position += width
        return value
    }

    /// The bytes as they stand, without a header.
    mutating func take(_ count: Int) throws(Refusal) -> Range<Int> {
        guard count >= 0, remaining >= count else { throw .truncated }
        defer { position += count }
        return position..<position + count
    }

    mutating func mapCount() throws(Refusal) -> Int {
        let head = try byte()
        switch head {
        case 0x80...0x8f: return Int(head & 0x0f)
        case 0xc0: return 0
        case 0xde: return try count(2)
        case 0xdf: return try count(4)
        default: throw .malformed
        }
    }

    mutating func arrayCount() throws(Refusal) -> Int {
        let head = try byte()
        switch head {
        case 0x90...0x9f: return Int(head & 0x0f)
        case 0xc0: return 0
        case 0xdc: return try count(2)
        case 0xdd: return try count(4)
        default: throw .malformed
        }
    }

    /// An integer that fits `T`, however it was written.
    mutating func integer<T: FixedWidthInteger>(_: T.Type = T.self) throws(Refusal) -> T {
        let head = try byte()
        let value: T?
        switch head {
        case 0...0x7f: value = T(exactly: head)
        case 0xcc: value = T(exactly: try number(1))
        case 0xcd: value = T(exactly: try number(2))
        case 0xce: value = T(exactly: try number(4))
        case 0xcf: value = T(exactly: try number(8))
        case 0xd0: value = T(exactly: Int8(truncatingIfNeeded: try number(1)))
        case 0xd1: value = T(exactly: Int16(truncatingIfNeeded: try number(2)))
        case 0xd2: value = T(exactly: Int32(truncatingIfNeeded: try number(4)))
        case 0xd3: value = T(exactly: Int64(truncatingIfNeeded: try number(8)))
        case 0xe0...0xff: value = T(exactly: Int8(bitPattern: head))
        default: throw .malformed
        }
        guard let value else { throw .malformed }
        return value
    }

    /// Text or bytes; where they lie. Nil is empty.
    mutating func raw() throws(Refusal) -> Range<Int> {
        let head = try byte()
        switch head {
        case 0xa0...0xbf: return try take(Int(head & 0x1f))
        case 0xc0: return position..<position
        case 0xc4, 0xd9: return try take(Int(try number(1)))
        case 0xc5, 0xda: return try take(Int(try number(2)))
        case 0xc6, 0xdb: return try take(Int(try number(4)))
        default: throw .malformed
        }
    }

    /// Text or bytes of a bounded length; where they lie.
    mutating func raw(atMost bound: Int) throws(Refusal) -> Range<Int> {
        let range = try raw()
        guard range.count <= bound else { throw .oversized }
        return range
    }

    mutating func data(atMost bound: Int) throws(Refusal) -> [UInt8] { Array(bytes[try raw(atMost: bound)]) }

    /// Text; what is not UTF-8 is malformed.
    mutating func text() throws(Refusal) -> String {
        guard let text = String(validating: bytes[try raw()], as: UTF8.self) else { throw .malformed }
        return text
    }

    mutating func bool() throws(Refusal) -> Bool {
        switch try byte() {
        case 0xc2: return false
        case 0xc3: return true
        default: throw .malformed
        }
    }

    /// Counts one value.
    mutating func spend() throws(Refusal) {
        guard allowance > 0 else { throw .oversized }
        allowance -= 1
    }

    /// Passes over one value of any kind.
    mutating func skip(depth: Int = 0) throws(Refusal) {
        guard depth < SWIMLimits.valueDepth else { throw .tooDeep }
        try spend()
        let head = try byte()
        switch head {
        case 0...0x7f, 0xe0...0xff, 0xc0, 0xc2, 0xc3: return
        case 0x80...0x8f: try skip(2 * Int(head & 0x0f), depth)
        case 0x90...0x9f: try skip(Int(head & 0x0f), depth)
        case 0xa0...0xbf: _ = try take(Int(head & 0x1f))
        case 0xc4, 0xd9: _ = try take(Int(try number(1)))
        case 0xc5, 0xda: _ = try take(Int(try number(2)))
        case 0xc6, 0xdb: _ = try take(Int(try number(4)))
        case 0xc7: _ = try take(1 + Int(try number(1)))
        case 0xc8: _ = try take(1 + Int(try number(2)))
        case 0xc9: _ = try take(1 + Int(try number(4)))
        case 0xcc, 0xd0: _ = try take(1)
        case 0xcd, 0xd1: _ = try take(2)
        case 0xca, 0xce, 0xd2: _ = try take(4)
        case 0xcb, 0xcf, 0xd3: _ = try take(8)
        case 0xd4...0xd8: _ = try take(1 + 1 << Int(head - 0xd4))
        case 0xdc: try skip(try count(2), depth)
        case 0xdd: try skip(try count(4), depth)
        case 0xde: try skip(2 * (try count(2)), depth)
        case 0xdf: try skip(2 * (try count(4)), depth)
        default: throw .malformed
        }
    }

    private mutating func skip(_ count: Int, _ depth: Int) throws(Refusal) {
        for _ in 0..<count { try skip(depth: depth + 1) }
    }

    /// A number of entries; each needs a byte at least, so more than what is left is a lie that is noticed before the loop.
    private mutating func count(_ width: Int) throws(Refusal) -> Int {
        let count = Int(try number(width))
        guard count <= remaining else { throw .truncated }
        return count
    }
}
