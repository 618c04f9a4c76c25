/// MessagePack as memberlist's encoder writes it (memberlist-protocol §2): text and bytes are "raw", numbers as short as they go.
/// Callers put map keys in bytewise order.
struct MessagePackWriter {
    var bytes: [UInt8] = []

    init(capacity: Int = 0) { bytes.reserveCapacity(capacity) }

    mutating func map(_ count: Int) {
        if count < 16 {
            bytes.append(0x80 | UInt8(count))
        } else {
            precondition(count <= 0xffff, "a map of \(count) entries")
            bytes.append(0xde)
            number(count, 2)
        }
    }

    mutating func array(_ count: Int) {
        if count < 16 {
            bytes.append(0x90 | UInt8(count))
        } else {
            precondition(count <= 0xffff, "an array of \(count) entries")
            bytes.append(0xdc)
            number(count, 2)
        }
    }

    mutating func raw(_ value: some Collection<UInt8>) {
        let count = value.count
        if count < 32 {
            bytes.append(0xa0 | UInt8(count))
        } else if count <= 0xffff {
            bytes.append(0xda)
            number(count, 2)
        } else {
            bytes.append(0xdb)
            number(count, 4)
        }
        bytes.append(contentsOf: value)
    }

    /// Bytes, or nil when there are none, as Go encodes a nil slice.
    mutating func rawOrNil(_ value: [UInt8]) {
        if value.isEmpty { bytes.append(0xc0) } else { raw(value) }
    }

    mutating func unsigned(_ value: UInt64) {
        switch value {
        case 0..<0x80: bytes.append(UInt8(value))
        case 0x80...0xff:
            bytes.append(0xcc)
            bytes.append(UInt8(value))
        case 0x100...0xffff:
            bytes.append(0xcd)
            number(Int(value), 2)
        case 0x1_0000...0xffff_ffff:
            bytes.append(0xce)
            number(Int(value), 4)
        default:
            bytes.append(0xcf)
            for shift in stride(from: 56, through: 0, by: -8) { bytes.append(UInt8(truncatingIfNeeded: value >> UInt64(shift))) }
        }
    }

    mutating func bool(_ value: Bool) { bytes.append(value ? 0xc3 : 0xc2) }

    mutating func key(_ name: StaticString) {
        precondition(name.utf8CodeUnitCount < 32, "a key of \(name.utf8CodeUnitCount) bytes")
        bytes.append(0xa0 | UInt8(name.utf8CodeUnitCount))
        name.withUTF8Buffer { unsafe bytes.append(contentsOf: $0) }
    }

    private mutating func number(_ value: Int, _ width: Int) {
        for shift in stride(from: 8 * (width - 1), through: 0, by: -8) { bytes.append(UInt8(truncatingIfNeeded: value >> shift)) }
    }
}
