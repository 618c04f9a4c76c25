import CNetfilter
import Glibc
import Platform

/// What a `RouteMonitor` reports. `port` is the netlink address of the one who made the change (`Routing.port` for own ones; 0: the kernel itself).
package enum RouteEvent: Hashable, Sendable {
    case route(Route, isAddition: Bool, port: UInt32)
    case rule(PolicyRule, isAddition: Bool, port: UInt32)
    case address(IPAddress, interface: UInt32, isAddition: Bool)
    /// An interface appeared, disappeared, or went up or down. The kernel drops IPv4 routes of an interface that goes down without reporting each.
    case link(UInt32, name: String, isUp: Bool, isAddition: Bool)
    /// Events were lost: compare everything.
    case overflow
}

/// Reports changes to routes, ip rules, addresses and interfaces of the network namespace in which it was made, own changes included.
///
/// Watch `fd` for reading (level-triggered) and call `drain` when it is readable. Not thread-safe.
package final class RouteMonitor {
    private let socket: NetlinkSocket

    package init() throws(NetfilterError) {
        socket = try NetlinkSocket(protocol: NETLINK_ROUTE)
        socket.reserveReceive(NFMonitor.receiveBuffer)
        let groups = [
            RTNLGRP_LINK, RTNLGRP_IPV4_IFADDR, RTNLGRP_IPV6_IFADDR, RTNLGRP_IPV4_ROUTE, RTNLGRP_IPV6_ROUTE, RTNLGRP_IPV4_RULE, RTNLGRP_IPV6_RULE,
        ]
        for group in groups {
            do { try socket.join(group.rawValue) } catch { throw NetfilterError(.watch, .netlinkSocket, "rtnetlink", error) }
        }
    }

    package var fd: CInt { socket.fd }

    /// All events that wait, at most `NFMonitor.batch` or a few more; never blocks.
    package func drain() throws(NetfilterError) -> [RouteEvent] {
        try socket.drain("rtnetlink", most: NFMonitor.batch, overflow: .overflow, Self.event)
    }

    static func event(_ message: NetlinkMessage) -> RouteEvent? {
        let type = Int(message.type)
        switch type {
        case RTM_NEWROUTE, RTM_DELROUTE: return Route(message).map { .route($0, isAddition: type == RTM_NEWROUTE, port: message.port) }
        case RTM_NEWRULE, RTM_DELRULE: return PolicyRule(message).map { .rule($0, isAddition: type == RTM_NEWRULE, port: message.port) }
        case RTM_NEWADDR, RTM_DELADDR:
            guard message.payload.count >= MemoryLayout<ifaddrmsg>.size else { return nil }
            let header = message.payload.loadUnaligned(as: ifaddrmsg.self)
            let attributes = message.attributes(after: MemoryLayout<ifaddrmsg>.size)
            let attribute = attributes.first { $0.type == UInt16(IFA_LOCAL) } ?? attributes.first { $0.type == UInt16(IFA_ADDRESS) }
            return attribute?.address.map { .address($0, interface: header.ifa_index, isAddition: type == RTM_NEWADDR) }
        case RTM_NEWLINK, RTM_DELLINK:
            guard message.payload.count >= MemoryLayout<ifinfomsg>.size else { return nil }
            let header = message.payload.loadUnaligned(as: ifinfomsg.self)
            let name = message.attributes(after: MemoryLayout<ifinfomsg>.size).first { $0.type == UInt16(IFLA_IFNAME) }?.string ?? ""
            return .link(UInt32(bitPattern: header.ifi_index), name: name, isUp: header.ifi_flags & 1 != 0, isAddition: type == RTM_NEWLINK)
        default: return nil
        }
    }
}
