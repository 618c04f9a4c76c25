import Platform

extension NFClause {
    package static let ipv4 = NFClause(family: .ipv4)
    package static let ipv6 = NFClause(family: .ipv6)
    package static let tcp = NFClause(transport: .tcp)
    package static let udp = NFClause(transport: .udp)
    package static func transport(_ transport: Transport) -> NFClause { NFClause(transport: transport) }

    /// `meta mark & mask == value`.
    package static func mark(_ value: UInt32, mask: UInt32 = .max, inverted: Bool = false) -> NFClause {
        masked(.meta(.mark, into: .first), value, mask, inverted)
    }
    /// `ct mark & mask == value`.
    package static func conntrackMark(_ value: UInt32, mask: UInt32 = .max, inverted: Bool = false) -> NFClause {
        masked(.conntrack(.mark, direction: nil, into: .first), value, mask, inverted)
    }
    /// `socket mark & mask == value`: the mark of the local socket that the packet goes to or comes from.
    package static func socketMark(_ value: UInt32, mask: UInt32 = .max) -> NFClause {
        masked(.socket(.mark, level: 0, into: .first), value, mask, false)
    }
    private static func masked(_ load: NFExpression, _ value: UInt32, _ mask: UInt32, _ inverted: Bool) -> NFClause {
        let compare = NFExpression.compare(.first, inverted ? .notEqual : .equal, NFBytes.host(value))
        if mask == .max { return NFClause(load, compare) }
        return NFClause(load, .bitwise(from: .first, into: .first, mask: NFBytes.host(mask), xor: NFBytes.host(UInt32(0))), compare)
    }

    /// The user of the local socket that sent the packet; only in output and postrouting.
    package static func uid(_ uid: UInt32, inverted: Bool = false) -> NFClause {
        NFClause(.meta(.socketUID, into: .first), .compare(.first, inverted ? .notEqual : .equal, NFBytes.host(uid)))
    }
    package static func outputInterface(_ name: String, inverted: Bool = false) -> NFClause {
        NFClause(.meta(.outputName, into: .first), .compare(.first, inverted ? .notEqual : .equal, NFBytes.interfaceName(name)))
    }
    package static func inputInterface(_ name: String, inverted: Bool = false) -> NFClause {
        NFClause(.meta(.inputName, into: .first), .compare(.first, inverted ? .notEqual : .equal, NFBytes.interfaceName(name)))
    }

    /// One network; its family becomes a need of the rule, so IPv4 and IPv6 take two rules.
    package static func address(_ which: Address, _ network: IPNetwork, inverted: Bool = false) -> NFClause {
        let comparison: NFComparison = inverted ? .notEqual : .equal
        var expressions = [addressLoad(which, network.base.family, into: .first)]
        let bytes = network.base.bytes
        if network.prefixLength < bytes.count * 8 {
            let mask = (0..<bytes.count).map { UInt8(truncatingIfNeeded: 0xff00 >> min(8, max(0, network.prefixLength - $0 * 8))) }
            expressions.append(.bitwise(from: .first, into: .first, mask: mask, xor: [UInt8](repeating: 0, count: bytes.count)))
        }
        expressions.append(.compare(.first, comparison, bytes))
        return NFClause(family: network.base.isV4 ? .ipv4 : .ipv6, transport: nil, needsPorts: false, expressions: expressions)
    }
    package static func source(_ network: IPNetwork, inverted: Bool = false) -> NFClause { address(.source, network, inverted: inverted) }
    package static func destination(_ network: IPNetwork, inverted: Bool = false) -> NFClause { address(.destination, network, inverted: inverted) }
    /// The packet's address is in the set, whose key is an IPv4 or IPv6 address.
    package static func source(in set: NFSet, inverted: Bool = false) -> NFClause { matching(set, inverted: inverted, address: .source) }
    package static func destination(in set: NFSet, inverted: Bool = false) -> NFClause { matching(set, inverted: inverted, address: .destination) }

    /// TCP or UDP port; the rule must match one of them before.
    package static func destinationPort(_ port: UInt16, inverted: Bool = false) -> NFClause {
        NFClause(needsPorts: true, portLoad(.destination, into: .first), .compare(.first, inverted ? .notEqual : .equal, NFBytes.network(port)))
    }
    package static func sourcePort(_ port: UInt16, inverted: Bool = false) -> NFClause {
        NFClause(needsPorts: true, portLoad(.source, into: .first), .compare(.first, inverted ? .notEqual : .equal, NFBytes.network(port)))
    }
    package static func destinationPort(in set: NFSet, inverted: Bool = false) -> NFClause {
        precondition(set.key == .port, "\(set) does not hold ports")
        return NFClause(needsPorts: true, portLoad(.destination, into: .first), .lookup(set: set.name, key: .first, inverted: inverted, into: nil))
    }
    package static func destinationPorts(_ ports: ClosedRange<UInt16>, inverted: Bool = false) -> NFClause {
        NFClause(
            needsPorts: true, portLoad(.destination, into: .first),
            .range(.first, inverted: inverted, from: NFBytes.network(ports.lowerBound), to: NFBytes.network(ports.upperBound)))
    }
    /// Destination address and port are in the set, whose key is `address . port`.
    package static func destinationAndPort(in set: NFSet, inverted: Bool = false) -> NFClause {
        let isV4 = set.key == .ipv4AndPort
        precondition(isV4 || set.key == .ipv6AndPort, "\(set) does not hold addresses with ports")
        return NFClause(
            family: isV4 ? .ipv4 : .ipv6, needsPorts: true,
            addressLoad(.destination, isV4 ? .v4 : .v6, into: .first), portLoad(.destination, into: NFRegister(word: isV4 ? 1 : 4)),
            .lookup(set: set.name, key: .first, inverted: inverted, into: nil))
    }

    /// The packet's socket belongs to a cgroup, or one below it, whose ancestor at `level` (1 is the first below the root of the cgroup namespace of
    /// whoever loads the rule) is in the set. In input and output only.
    package static func cgroup(level: UInt32, in set: NFSet, inverted: Bool = false) -> NFClause {
        precondition(set.key == .cgroup, "\(set) does not hold cgroups")
        return NFClause(.socket(.cgroup, level: level, into: .first), .lookup(set: set.name, key: .first, inverted: inverted, into: nil))
    }
    package static func cgroup(level: UInt32, id: UInt64, inverted: Bool = false) -> NFClause {
        NFClause(.socket(.cgroup, level: level, into: .first), .compare(.first, inverted ? .notEqual : .equal, NFBytes.host(id)))
    }

    /// States of conntrack, any of them.
    package struct ConntrackState: OptionSet, Hashable, Sendable {
        package let rawValue: UInt32
        package init(rawValue: UInt32) { self.rawValue = rawValue }
        package static let invalid = ConntrackState(rawValue: 1)
        package static let established = ConntrackState(rawValue: 2)
        package static let related = ConntrackState(rawValue: 4)
        package static let new = ConntrackState(rawValue: 8)
        package static let untracked = ConntrackState(rawValue: 64)
    }
    /// `enum ip_conntrack_status`, any of them.
    package struct ConntrackStatus: OptionSet, Hashable, Sendable {
        package let rawValue: UInt32
        package init(rawValue: UInt32) { self.rawValue = rawValue }
        package static let seenReply = ConntrackStatus(rawValue: 2)
        package static let assured = ConntrackStatus(rawValue: 4)
        package static let confirmed = ConntrackStatus(rawValue: 8)
        package static let sourceNAT = ConntrackStatus(rawValue: 16)
        package static let destinationNAT = ConntrackStatus(rawValue: 32)
        package static let dying = ConntrackStatus(rawValue: 512)
    }
    package static func conntrackState(_ states: ConntrackState, inverted: Bool = false) -> NFClause {
        anyBit(.conntrack(.state, direction: nil, into: .first), states.rawValue, inverted)
    }
    package static func conntrackStatus(_ status: ConntrackStatus, inverted: Bool = false) -> NFClause {
        anyBit(.conntrack(.status, direction: nil, into: .first), status.rawValue, inverted)
    }
    private static func anyBit(_ load: NFExpression, _ bits: UInt32, _ inverted: Bool) -> NFClause {
        NFClause(
            load, .bitwise(from: .first, into: .first, mask: NFBytes.host(bits), xor: NFBytes.host(UInt32(0))),
            .compare(.first, inverted ? .equal : .notEqual, NFBytes.host(UInt32(0))))
    }
    package static func conntrackDirection(_ direction: NFDirection) -> NFClause {
        NFClause(.conntrack(.direction, direction: nil, into: .first), .compare(.first, .equal, [direction.rawValue]))
    }
    /// The destination that the connection's first packet had before NAT is in the set of addresses.
    package static func originalDestination(in set: NFSet, inverted: Bool = false) -> NFClause {
        let isV4 = set.key == .ipv4
        precondition(isV4 || set.key == .ipv6, "\(set) does not hold addresses")
        return NFClause(
            family: isV4 ? .ipv4 : .ipv6, .conntrack(isV4 ? .ipv4Destination : .ipv6Destination, direction: .original, into: .first),
            .lookup(set: set.name, key: .first, inverted: inverted, into: nil))
    }
    package static func originalDestinationPort(_ port: UInt16, inverted: Bool = false) -> NFClause {
        NFClause(
            needsPorts: true, .conntrack(.destinationPort, direction: .original, into: .first),
            .compare(.first, inverted ? .notEqual : .equal, NFBytes.network(port)))
    }

    /// RTN_LOCAL of linux/rtnetlink.h.
    private static let localType = NFBytes.host(UInt32(2))
    /// The destination is an address of this host (`fib daddr type local`).
    package static func destinationIsLocal(inverted: Bool = false) -> NFClause {
        NFClause(
            .fib(.addressType, flags: .destination, into: .first),
            .compare(.first, inverted ? .notEqual : .equal, localType))
    }
    /// The source is an address of this host.
    package static func sourceIsLocal() -> NFClause {
        NFClause(.fib(.addressType, flags: .source, into: .first), .compare(.first, .equal, localType))
    }
    /// A socket of this host with IP_TRANSPARENT takes the packet.
    package static let socketIsTransparent = NFClause(.socket(.transparent, level: 0, into: .first), .compare(.first, .equal, [1]))

    private static func matching(_ set: NFSet, inverted: Bool, address: Address) -> NFClause {
        let isV4 = set.key == .ipv4
        precondition(isV4 || set.key == .ipv6, "\(set) does not hold addresses")
        return NFClause(
            family: isV4 ? .ipv4 : .ipv6, addressLoad(address, isV4 ? .v4 : .v6, into: .first),
            .lookup(set: set.name, key: .first, inverted: inverted, into: nil))
    }
    /// Offsets: RFC 791 §3.1, RFC 8200 §3.
    private static func addressLoad(_ which: Address, _ family: IPAddress.Family, into register: NFRegister) -> NFExpression {
        family == .v4
            ? .payload(.network, offset: which == .source ? 12 : 16, length: 4, into: register)
            : .payload(.network, offset: which == .source ? 8 : 24, length: 16, into: register)
    }
    /// TCP and UDP begin with the two ports (RFC 9293 §3.1, RFC 768).
    private static func portLoad(_ which: Port, into register: NFRegister) -> NFExpression {
        .payload(.transport, offset: which == .source ? 0 : 2, length: 2, into: register)
    }
}
