import MeshModel
import Platform

/// The reverse zones of the virtual networks (RFC 1035 section 3.5, RFC 3596 section 2.5): nobody else can know those addresses.
enum Reverse {
    static let zones = [zone(of: VirtualIP.v4Network), zone(of: VirtualIP.v6Network)]

    static func find(_ labels: [String], _ zone: [String], _ table: NameTable) -> NameResolver.Found {
        let full = zone.contains("ip6") ? 34 : 6
        if labels.count < full { return .empty(zone: zone) }
        guard labels.count == full, let address = address(labels), let name = table.reverse[address] else { return .nonexistent(zone: zone) }
        return .reverse(name, zone: zone)
    }

    private static func address(_ labels: [String]) -> IPAddress? {
        let parts = labels.dropLast(2).reversed()
        if labels.count == 6 {
            let bytes = parts.compactMap { UInt8($0) }
            return bytes.count == 4 ? IPAddress(bytes: bytes) : nil
        }
        let digits = parts.compactMap { $0.utf8.count == 1 ? UInt8($0, radix: 16) : nil }
        guard digits.count == 32 else { return nil }
        return IPAddress(bytes: (0..<16).map { digits[2 * $0] << 4 | digits[2 * $0 + 1] })
    }

    /// The network's prefix is a whole number of labels: of bytes for IPv4, of half bytes for IPv6.
    private static func zone(of network: IPNetwork) -> [String] {
        let bytes = network.base.bytes
        if network.base.isV4 { return bytes.prefix(network.prefixLength / 8).reversed().map(String.init) + ["in-addr", "arpa"] }
        let digits = bytes.flatMap { [$0 >> 4, $0 & 15] }.prefix(network.prefixLength / 4)
        return digits.reversed().map { String($0, radix: 16) } + ["ip6", "arpa"]
    }
}
