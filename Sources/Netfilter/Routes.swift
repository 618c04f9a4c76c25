import CNetfilter
import Glibc
import Platform

/// A route (rtnetlink(7), RTM_NEWROUTE).
package struct Route: Hashable, Sendable, CustomStringConvertible {
    /// RTN_*.
    package enum Kind: UInt8, Hashable, Sendable {
        case unicast = 1
        case local = 2
        case broadcast = 3
        case blackhole = 6
        case unreachable = 7
        case prohibit = 8
    }
    /// RT_SCOPE_*: how far away the destination is.
    package enum Scope: UInt8, Hashable, Sendable {
        case universe = 0
        case link = 253
        case host = 254
    }

    package static let mainTable: UInt32 = 254
    package static let localTable: UInt32 = 255

    package var destination: IPNetwork
    package var kind: Kind
    package var table: UInt32
    /// Index of the outgoing interface.
    package var interface: UInt32?
    package var gateway: IPAddress?
    /// The source address for sockets that are not bound to one.
    package var source: IPAddress?
    /// Of IPv4 routes; nil: as `ip` chooses it (host for local, link without a gateway, else universe). IPv6 has no scopes.
    package var scope: Scope?
    /// RTA_PRIORITY; lower wins. nil: the kernel's default (0 for IPv4, 1024 for IPv6).
    package var metric: UInt32?
    /// Who made it (RTPROT_*); Weft's routes carry `weftProtocol`, so that leftovers are known.
    package var origin: UInt8

    /// Free in iproute2's rt_protos.
    package static let weftProtocol: UInt8 = 87

    package init(
        _ destination: IPNetwork, kind: Kind = .unicast, table: UInt32 = mainTable, interface: UInt32? = nil, gateway: IPAddress? = nil,
        source: IPAddress? = nil, scope: Scope? = nil, metric: UInt32? = nil, origin: UInt8 = weftProtocol
    ) {
        self.destination = destination
        self.kind = kind
        self.table = table
        self.interface = interface
        self.gateway = gateway
        self.source = source
        self.scope =
            scope
            ?? (destination.base.isV4
                ? (kind == .local ? .host : kind == .unicast && gateway == nil && interface != nil ? .link : .universe) : .universe)
        self.metric = metric ?? (destination.base.isV4 ? 0 : 1024)
        self.origin = origin
    }

    /// As `ip route` writes it.
    package var description: String {
        var text = kind == .unicast ? "\(destination)" : "\(kind) \(destination)"
        if let gateway { text += " via \(gateway)" }
        if let interface { text += " dev #\(interface)" }
        if let source { text += " src \(source)" }
        return text + (table == Self.mainTable ? "" : " table \(table)")
    }
}

/// An ip rule (RTM_NEWRULE): which routing table packets with a mark use.
package struct PolicyRule: Hashable, Sendable, CustomStringConvertible {
    package var family: IPAddress.Family
    /// Lower runs earlier; unique only together with the rest.
    package var priority: UInt32
    package var mark: UInt32
    package var mask: UInt32
    package var table: UInt32
    /// Who made it, as in `Route`.
    package var origin: UInt8

    package init(_ family: IPAddress.Family, priority: UInt32, mark: UInt32, mask: UInt32 = .max, table: UInt32, origin: UInt8 = Route.weftProtocol) {
        self.family = family
        self.priority = priority
        self.mark = mark
        self.mask = mask
        self.table = table
        self.origin = origin
    }

    package var description: String {
        "\(priority): fwmark 0x\(String(mark, radix: 16))/0x\(String(mask, radix: 16)) lookup \(table)\(family == .v6 ? " (IPv6)" : "")"
    }
}

/// An address of an interface of this host.
package struct InterfaceAddress: Hashable, Sendable {
    package let address: IPAddress
    package let prefixLength: Int
    package let interface: UInt32
}
