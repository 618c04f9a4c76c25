/// Record types (RFC 1035 section 3.2, RFC 3596, RFC 2782, RFC 6891); an open set.
package struct DNSType: Hashable, Sendable {
    package let number: UInt16
    package init(_ number: UInt16) { self.number = number }

    package static let a = DNSType(1)
    package static let soa = DNSType(6)
    package static let ptr = DNSType(12)
    package static let aaaa = DNSType(28)
    package static let srv = DNSType(33)
    package static let opt = DNSType(41)
    package static let ixfr = DNSType(251)
    package static let axfr = DNSType(252)
    package static let any = DNSType(255)
}

/// Response codes (RFC 1035 section 4.1.1; 16 is RFC 6891's and needs an OPT record).
package enum DNSCode: UInt16, Sendable {
    case success = 0
    case formatError = 1
    case serverFailure = 2
    case nameError = 3
    case notImplemented = 4
    case refused = 5
    case badVersion = 16
}

/// The second word of the header (RFC 1035 section 4.1.1).
enum DNSFlags {
    static let response: UInt16 = 0x8000
    static let operation: UInt16 = 0x7800
    static let authoritative: UInt16 = 0x0400
    static let truncated: UInt16 = 0x0200
    static let recursionDesired: UInt16 = 0x0100
    static let recursionAvailable: UInt16 = 0x0080
    static let checkingDisabled: UInt16 = 0x0010
    static let code: UInt16 = 0x000f
}

/// Sizes that the protocol fixes and bounds that this server sets itself.
enum DNSBounds {
    static let header = 12
    /// Of a message over UDP without EDNS.
    static let plainUDP = 512
    /// The largest answer over UDP that is given even to who offers more. Clients are on this host, where nothing fragments.
    static let largestUDP = 4096
    static let message = 65_535
    static let name = 255
    static let label = 63
}
