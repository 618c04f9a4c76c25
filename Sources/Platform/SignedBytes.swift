/// The parts of what is signed: each so that no two lists of parts give the same bytes.
extension [UInt8] {
    package mutating func append(bigEndian value: UInt64) {
        for shift in stride(from: 56, through: 0, by: -8) { append(UInt8(truncatingIfNeeded: value >> UInt64(shift))) }
    }
    package mutating func append(lengthPrefixed bytes: [UInt8]) {
        append(bigEndian: UInt64(bytes.count))
        append(contentsOf: bytes)
    }
}
