/// A network in CIDR form (RFC 4632, RFC 4291), as `10.0.0.0/8`. Host bits are cleared.
public struct IPNetwork: Hashable, Sendable, CustomStringConvertible, LosslessStringConvertible {
    public let base: IPAddress
    /// 0–32 for IPv4, 0–128 for IPv6.
    public let prefixLength: Int

    public init?(_ address: IPAddress, prefixLength: Int) {
        guard prefixLength >= 0, prefixLength <= (address.isV4 ? 32 : 128) else { return nil }
        self.prefixLength = prefixLength
        if address.isV4 {
            base = IPAddress(v4: address.v4Number & (prefixLength == 0 ? 0 : ~UInt32(0) << UInt32(32 - prefixLength)))
        } else {
            let high = prefixLength == 0 ? 0 : prefixLength >= 64 ? ~UInt64(0) : ~UInt64(0) << UInt64(64 - prefixLength)
            let low = prefixLength <= 64 ? 0 : prefixLength == 128 ? ~UInt64(0) : ~UInt64(0) << UInt64(128 - prefixLength)
            base = IPAddress(high: address.high & high, low: address.low & low)
        }
    }
    /// `address/length`; a bare address is the network of that one address.
    public init?(_ text: String) {
        let parts = text.split(separator: "/", omittingEmptySubsequences: false)
        guard parts.count <= 2, let address = IPAddress(String(parts[0])) else { return nil }
        guard parts.count == 2 else {
            self.init(address, prefixLength: address.isV4 ? 32 : 128)
            return
        }
        guard let length = Int(parts[1]) else { return nil }
        self.init(address, prefixLength: length)
    }

    public func contains(_ address: IPAddress) -> Bool {
        address.family == base.family && IPNetwork(address, prefixLength: prefixLength)?.base == base
    }

    /// The first and last address.
    public var range: ClosedRange<IPAddress> {
        if base.isV4 {
            return base...IPAddress(v4: base.v4Number | (prefixLength == 32 ? 0 : prefixLength == 0 ? ~0 : ~(~UInt32(0) << UInt32(32 - prefixLength))))
        }
        let high = prefixLength >= 64 ? 0 : prefixLength == 0 ? ~UInt64(0) : ~(~UInt64(0) << UInt64(64 - prefixLength))
        let low = prefixLength <= 64 ? ~UInt64(0) : prefixLength == 128 ? 0 : ~(~UInt64(0) << UInt64(128 - prefixLength))
        return base...IPAddress(high: base.high | high, low: base.low | low)
    }

    public var description: String { "\(base)/\(prefixLength)" }
}
