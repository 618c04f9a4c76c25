/// The messages of `grpc.health.v1` (grpc/health/v1/health.proto), two fields in all, with gRPC's five bytes of length before each.
enum GRPCHealthMessage {
    enum Status: UInt64, Hashable, Sendable {
        case unknown = 0
        case serving = 1
        case notServing = 2
        case serviceUnknown = 3

        var word: String {
            switch self {
            case .unknown: "UNKNOWN"
            case .serving: "SERVING"
            case .notServing: "NOT_SERVING"
            case .serviceUnknown: "SERVICE_UNKNOWN"
            }
        }
    }

    static let prefixBytes = 5
    /// Far more than an answer has.
    static let maximumBytes = 1024

    /// `HealthCheckRequest`: the service is field 1, left out when empty.
    static func request(service: String) -> [UInt8] {
        let name = Array(service.utf8)
        precondition(name.count <= 128 * 128 - 1, "the length is written with two bytes at most")
        var message: [UInt8] = []
        if !name.isEmpty { message = [0x0a] + varint(name.count) + name }
        let count = UInt32(message.count)
        return [0, UInt8(truncatingIfNeeded: count >> 24), UInt8(truncatingIfNeeded: count >> 16), UInt8(truncatingIfNeeded: count >> 8), UInt8(truncatingIfNeeded: count)]
            + message
    }

    /// `HealthCheckResponse`: the status is field 1, zero when left out; fields that are not known are passed over. Nil when it is no such message.
    static func status(_ bytes: [UInt8]) -> UInt64? {
        guard bytes.count >= prefixBytes, bytes[0] == 0 else { return nil }
        let length = bytes[1..<5].reduce(0) { $0 << 8 | Int($1) }
        guard bytes.count == prefixBytes + length else { return nil }
        var rest = bytes[prefixBytes...]
        var status: UInt64 = 0
        while !rest.isEmpty {
            guard let key = takeVarint(&rest), key >> 3 > 0 else { return nil }
            switch key & 7 {
            case 0:
                guard let value = takeVarint(&rest) else { return nil }
                if key >> 3 == 1 { status = value }
            case 1, 5:
                let width = key & 7 == 1 ? 8 : 4
                guard rest.count >= width else { return nil }
                rest = rest.dropFirst(width)
            case 2:
                guard let count = takeVarint(&rest), count <= UInt64(rest.count) else { return nil }
                rest = rest.dropFirst(Int(count))
            default: return nil
            }
        }
        return status
    }

    private static func varint(_ value: Int) -> [UInt8] {
        value < 128 ? [UInt8(value)] : [UInt8(value & 0x7f) | 0x80, UInt8(value >> 7)]
    }

    private static func takeVarint(_ rest: inout ArraySlice<UInt8>) -> UInt64? {
        var value: UInt64 = 0
        var shift: UInt64 = 0
        while let byte = rest.popFirst(), shift < 64 {
            value |= UInt64(byte & 0x7f) << shift
            if byte & 0x80 == 0 { return value }
            shift += 7
        }
        return nil
    }
}
