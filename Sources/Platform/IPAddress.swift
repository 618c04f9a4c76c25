import CLinux
import Glibc

/// An IPv4 or IPv6 address (RFC 791, RFC 4291) as 128 bits; an IPv4 address is kept as `::ffff:a.b.c.d` with its family beside it.
///
/// An IPv6 scope (`%eth0`) is not kept: link-local addresses are of no use between nodes.
public struct IPAddress: Hashable, Sendable, Comparable, CustomStringConvertible, LosslessStringConvertible {
    public enum Family: UInt8, Hashable, Sendable { case v4 = 4, v6 = 6 }

    /// The first and last eight bytes, as big-endian numbers.
    public let high: UInt64
    public let low: UInt64
    public let family: Family

    public init(high: UInt64, low: UInt64) {
        self.high = high
        self.low = low
        self.family = .v6
    }
    /// An IPv4 address from its number, `0x7f000001` for 127.0.0.1.
    public init(v4 number: UInt32) {
        self.high = 0
        self.low = 0xffff_0000_0000 | UInt64(number)
        self.family = .v4
    }
    /// Four or sixteen bytes in network order. An IPv4-mapped IPv6 address stays IPv6 until `unmapped`.
    @inlinable
    public init?(bytes: some Collection<UInt8>) {
        let count = bytes.count
        guard count == 4 || count == 16 else { return nil }
        var (high, low) = (UInt64(0), UInt64(0))
        for byte in bytes {
            high = high << 8 | low >> 56
            low = low << 8 | UInt64(byte)
        }
        if count == 4 { self.init(v4: UInt32(truncatingIfNeeded: low)) } else { self.init(high: high, low: low) }
    }
    /// Text as `inet_pton(3)` takes it: no port, no brackets, no prefix length.
    public init?(_ text: String) {
        var four = in_addr()
        if inet_pton(AF_INET, text, &four) == 1 {
            self.init(v4: UInt32(bigEndian: four.s_addr))
            return
        }
        var six = in6_addr()
        guard inet_pton(AF_INET6, text, &six) == 1 else { return nil }
        self = withUnsafeBytes(of: &six) { IPAddress(high: UInt64(bigEndian: $0.loadUnaligned(as: UInt64.self)), low: UInt64(bigEndian: $0.loadUnaligned(fromByteOffset: 8, as: UInt64.self))) }
    }

    public static let anyV4 = IPAddress(v4: 0)
    public static let anyV6 = IPAddress(high: 0, low: 0)
    public static let loopbackV4 = IPAddress(v4: 0x7f00_0001)
    public static let loopbackV6 = IPAddress(high: 0, low: 1)

    public var isV4: Bool { family == .v4 }
    /// The number of an IPv4 address; zero for IPv6.
    public var v4Number: UInt32 { isV4 ? UInt32(truncatingIfNeeded: low) : 0 }
    public var isLoopback: Bool { isV4 ? low >> 24 & 0xff == 127 : high == 0 && low == 1 }
    public var isUnspecified: Bool { isV4 ? v4Number == 0 : high == 0 && low == 0 }
    public var isLinkLocal: Bool { isV4 ? v4Number >> 16 == 0xa9fe : high >> 54 == 0xfe80 >> 6 }
    public var isMulticast: Bool { isV4 ? v4Number >> 28 == 0xe : high >> 56 == 0xff }
    /// `::ffff:a.b.c.d` as IPv4, anything else as it is.
    public var unmapped: IPAddress {
        family == .v6 && high == 0 && low >> 32 == 0xffff ? IPAddress(v4: UInt32(truncatingIfNeeded: low)) : self
    }

    /// Four or sixteen bytes in network order.
    public var bytes: [UInt8] {
        if isV4 { return (0..<4).map { UInt8(truncatingIfNeeded: v4Number >> (24 - 8 * $0)) } }
        return (0..<8).map { UInt8(truncatingIfNeeded: high >> (56 - 8 * $0)) } + (0..<8).map { UInt8(truncatingIfNeeded: low >> (56 - 8 * $0)) }
    }

    public static func < (a: IPAddress, b: IPAddress) -> Bool {
        (a.family.rawValue, a.high, a.low) < (b.family.rawValue, b.high, b.low)
    }

    /// The canonical text (RFC 5952 for IPv6).
    public var description: String {
        var text = [CChar](repeating: 0, count: Int(INET6_ADDRSTRLEN))
        let bytes = self.bytes
        guard inet_ntop(isV4 ? AF_INET : AF_INET6, bytes, &text, socklen_t(text.count)) != nil else { return "?" }
        return text.withUnsafeBufferPointer { String(cString: $0.baseAddress!) }
    }
}
