/// What a frame is about. Plane keeps 0x00–0x0f; Identity has 0x10–0x1f, Catalog 0x20–0x3f, Resources 0x40–0x4f,
/// gossip keys 0x50, the rest is free.
package struct FrameType: RawRepresentable, Hashable, Sendable, CustomStringConvertible {
    package let rawValue: UInt8
    package init(rawValue: UInt8) { self.rawValue = rawValue }

    package var description: String { "0x\(rawValue < 16 ? "0" : "")\(String(rawValue, radix: 16))" }

    /// Are you there? / Yes.
    static let ping = FrameType(rawValue: 0x01)
    static let pong = FrameType(rawValue: 0x02)
    /// A question with a number, its answer, and the refusal to answer: see `Envelope`.
    static let request = FrameType(rawValue: 0x03)
    static let response = FrameType(rawValue: 0x04)
    static let failure = FrameType(rawValue: 0x05)
    /// The sender closes in order; the payload is the reason in words.
    static let goodbye = FrameType(rawValue: 0x06)
}

/// One message between two nodes. On the wire: four bytes of length of the rest (big-endian), one of version, one of type, payload.
package struct Frame: Equatable, Sendable {
    /// The version of the payload's form that the sender speaks. Readers take every version and ignore what they don't know in it.
    package var version: UInt8
    package var type: FrameType
    package var payload: [UInt8]

    /// What this agent writes.
    package static let currentVersion: UInt8 = 1
    /// Version and type, which the length counts too.
    static let header = 2
    static let lengthBytes = 4

    package init(_ type: FrameType, _ payload: [UInt8] = [], version: UInt8 = Frame.currentVersion) {
        self.version = version
        self.type = type
        self.payload = payload
    }

    var encodedCount: Int { Self.lengthBytes + Self.header + payload.count }

    func encode(into output: inout [UInt8]) {
        output.reserveCapacity(output.count + encodedCount)
        output.append(bigEndian: UInt32(Self.header + payload.count))
        output.append(version)
        output.append(type.rawValue)
        output += payload
    }
}

extension [UInt8] {
    mutating func append(bigEndian value: some FixedWidthInteger) {
        Swift.withUnsafeBytes(of: value.bigEndian) { append(contentsOf: $0) }
    }
}

extension Collection<UInt8> {
    /// The number in the first bytes; nil when there are too few.
    func bigEndian<T: FixedWidthInteger>(_: T.Type) -> T? {
        guard count >= MemoryLayout<T>.size else { return nil }
        return prefix(MemoryLayout<T>.size).reduce(0) { $0 << 8 | T($1) }
    }
}
