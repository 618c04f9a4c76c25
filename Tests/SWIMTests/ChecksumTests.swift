import Testing

@testable import SWIM

@Suite("Checksums")
struct ChecksumTests {
    /// A bit at a time, as the polynomial says it.
    private func slowly(_ bytes: some Sequence<UInt8>) -> UInt32 {
        ~bytes.reduce(~0 as UInt32) { value, byte in
            (0..<8).reduce(value ^ UInt32(byte)) { value, _ in value & 1 == 1 ? 0xedb8_8320 ^ value >> 1 : value >> 1 }
        }
    }

    @Test("of any length and at any place in a buffer they are CRC-32, whose check value is cbf43926")
    func crc32() {
        #expect(Checksum.crc32(Array("123456789".utf8)[...]) == 0xcbf4_3926)
        let bytes = (0..<100).map { UInt8(truncatingIfNeeded: $0 &* 37 ^ $0 >> 3) }
        for start in 0..<9 { for end in start...start + 40 { #expect(Checksum.crc32(bytes[start..<end]) == slowly(bytes[start..<end])) } }
    }
}
