import MeshModel

/// How questions and answers share a stream: eight bytes of number (the asker's own, big-endian), one of inner type, payload.
/// A refusal has, after the number and type, a byte for "worth trying again" and three texts: code, message, remedy.
struct Envelope: Equatable {
    var number: UInt64
    var type: FrameType
    var payload: [UInt8]

    init(number: UInt64, type: FrameType, payload: [UInt8]) {
        self.number = number
        self.type = type
        self.payload = payload
    }

    /// Nil when there are too few bytes.
    init?(_ bytes: [UInt8]) {
        guard let number = bytes.bigEndian(UInt64.self), bytes.count >= Self.header else { return nil }
        self.init(number: number, type: FrameType(rawValue: bytes[8]), payload: Array(bytes[Self.header...]))
    }

    static let header = 9

    func encode() -> [UInt8] {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(Self.header + payload.count)
        bytes.append(bigEndian: number)
        bytes.append(type.rawValue)
        return bytes + payload
    }

    // MARK: Refusals

    /// Longest text that a refusal carries.
    private static let longestText = 1024

    static func encode(_ error: MeshError) -> [UInt8] {
        var bytes: [UInt8] = [error.retryable ? 1 : 0]
        for text in [error.code, error.message, error.remedy] {
            let utf8 = Array(text.utf8.prefix(longestText))
            bytes.append(bigEndian: UInt16(utf8.count))
            bytes += utf8
        }
        return bytes
    }

    /// The refusal as this node tells it: it came from the peer.
    static func decodeError(_ bytes: [UInt8]) -> MeshError? {
        guard let retryable = bytes.first else { return nil }
        var rest = bytes[1...]
        var texts: [String] = []
        for _ in 0..<3 {
            guard let length = rest.bigEndian(UInt16.self), rest.count >= 2 + Int(length) else { return nil }
            rest = rest.dropFirst(2)
            texts.append(String(decoding: rest.prefix(Int(length)), as: UTF8.self))
            rest = rest.dropFirst(Int(length))
        }
        return MeshError(.peer, code: texts[0], texts[1], remedy: texts[2], retryable: retryable != 0)
    }
}
