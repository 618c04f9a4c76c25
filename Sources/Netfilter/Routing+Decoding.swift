import CNetfilter
import Glibc
import Platform

extension IPAddress.Family {
    var number: UInt8 { UInt8(self == .v4 ? AF_INET : AF_INET6) }
    init?(number: UInt8) {
        switch CInt(number) {
        case AF_INET: self = .v4
        case AF_INET6: self = .v6
        default: return nil
        }
    }
}

extension Route {
    /// From RTM_NEWROUTE or RTM_DELROUTE.
    init?(_ message: NetlinkMessage) {
        guard message.payload.count >= MemoryLayout<rtmsg>.size else { return nil }
        let header = message.payload.loadUnaligned(as: rtmsg.self)
        // RTM_F_CLONED: a cache entry and no route.
        guard let family = IPAddress.Family(number: header.rtm_family), let kind = Kind(rawValue: header.rtm_type), header.rtm_flags & 0x200 == 0
        else { return nil }
        var destination = family == .v4 ? IPAddress.anyV4 : .anyV6
        var table = UInt32(header.rtm_table)
        var interface: UInt32?
        var gateway: IPAddress?
        var source: IPAddress?
        var metric: UInt32 = 0
        for attribute in message.attributes(after: MemoryLayout<rtmsg>.size) {
            switch rtattr_type_t(UInt32(attribute.type)) {
            case RTA_DST: destination = attribute.address ?? destination
            case RTA_TABLE: table = attribute.number(UInt32.self)
            case RTA_OIF: interface = attribute.number(UInt32.self)
            case RTA_GATEWAY: gateway = attribute.address
            case RTA_PREFSRC: source = attribute.address
            case RTA_PRIORITY: metric = attribute.number(UInt32.self)
            case RTA_MULTIPATH: return nil
            default: break
            }
        }
        guard let network = IPNetwork(destination, prefixLength: Int(header.rtm_dst_len)) else { return nil }
        self.init(
            network, kind: kind, table: table, interface: interface, gateway: gateway, source: source, scope: Scope(rawValue: header.rtm_scope),
            metric: metric,
            origin: header.rtm_protocol)
    }
}

extension PolicyRule {
    /// From RTM_NEWRULE or RTM_DELRULE.
    init?(_ message: NetlinkMessage) {
        guard message.payload.count >= MemoryLayout<fib_rule_hdr>.size else { return nil }
        let header = message.payload.loadUnaligned(as: fib_rule_hdr.self)
        guard let family = IPAddress.Family(number: header.family), header.action == UInt8(FR_ACT_TO_TBL) else { return nil }
        guard header.src_len == 0, header.dst_len == 0, header.tos == 0, header.flags & UInt32(FIB_RULE_INVERT) == 0 else { return nil }
        var rule = PolicyRule(family, priority: 0, mark: 0, mask: 0, table: UInt32(header.table), origin: 0)
        var hasMark = false
        for attribute in message.attributes(after: MemoryLayout<fib_rule_hdr>.size) {
            switch Int(attribute.type) {
            case Int(FRA_PRIORITY): rule.priority = attribute.number(UInt32.self)
            case Int(FRA_FWMARK):
                rule.mark = attribute.number(UInt32.self)
                hasMark = true
            case Int(FRA_FWMASK): rule.mask = attribute.number(UInt32.self)
            case Int(FRA_TABLE): rule.table = attribute.number(UInt32.self)
            case Int(FRA_PROTOCOL): rule.origin = attribute.number(UInt8.self)
            case Int(FRA_IIFNAME), Int(FRA_OIFNAME), Int(FRA_UID_RANGE), Int(FRA_IP_PROTO), Int(FRA_SPORT_RANGE), Int(FRA_DPORT_RANGE),
                Int(FRA_TUN_ID):
                return nil
            default: break
            }
        }
        guard hasMark else { return nil }
        self = rule
    }
}
