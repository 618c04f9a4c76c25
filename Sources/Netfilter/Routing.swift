import CNetfilter
import Glibc
import Platform

/// Routes, ip rules and addresses (rtnetlink) of the network namespace in which it was made. Changes need CAP_NET_ADMIN. Not thread-safe.
package final class Routing {
    private let socket: NetlinkSocket
    private var request = NetlinkRequest(capacity: 1024)

    package init() throws(NetfilterError) {
        socket = try NetlinkSocket(protocol: NETLINK_ROUTE, strict: true)
        socket.reserveReceive(1 << 20)
    }

    /// The address of the socket, by which `RouteEvent.port` tells own changes.
    package var port: UInt32 { socket.port }

    // MARK: Routes

    /// Makes the route, or replaces the one of the same destination, metric and table.
    package func ensure(_ route: Route) throws(NetfilterError) { try change(route, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE, .add) }
    /// Makes the route; EEXIST when there is one of the same destination, metric and table.
    package func add(_ route: Route) throws(NetfilterError) { try change(route, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL, .add) }
    package func delete(_ route: Route) throws(NetfilterError) { try change(route, RTM_DELROUTE, 0, .delete) }
    /// Deletes the route if it is there; whether it was.
    @discardableResult
    package func destroy(_ route: Route) throws(NetfilterError) -> Bool {
        try unlessMissing { () throws(NetfilterError) in try delete(route) }
    }

    /// The routes of one table and family. Kinds that this module does not know, and routes with several next hops, are left out.
    package func routes(_ family: IPAddress.Family, table: UInt32) throws(NetfilterError) -> [Route] {
        var message = rtmsg()
        message.rtm_family = family.number
        message.rtm_table = UInt8(table < 256 ? table : 0)
        return try list(.route, RTM_GETROUTE, message, { $0.put(Int(RTA_TABLE.rawValue), table) }) {
            Route($0).flatMap { $0.table == table ? $0 : nil }
        }
    }

    private func change(_ route: Route, _ type: Int, _ flags: Int32, _ action: NetfilterError.Action) throws(NetfilterError) {
        var message = rtmsg()
        message.rtm_family = route.destination.base.family.number
        message.rtm_dst_len = UInt8(route.destination.prefixLength)
        message.rtm_table = UInt8(route.table < 256 ? route.table : 0)
        message.rtm_protocol = action == .delete ? 0 : route.origin
        message.rtm_type = route.kind.rawValue
        message.rtm_scope = action == .delete && route.scope == nil ? 255 : (route.scope ?? .universe).rawValue
        try perform(type, flags, message, action, .route, "\(route)") { request in
            if route.destination.prefixLength > 0 { request.put(Int(RTA_DST.rawValue), route.destination.base.bytes) }
            if let interface = route.interface { request.put(Int(RTA_OIF.rawValue), interface) }
            if let gateway = route.gateway { request.put(Int(RTA_GATEWAY.rawValue), gateway.bytes) }
            if let source = route.source { request.put(Int(RTA_PREFSRC.rawValue), source.bytes) }
            if let metric = route.metric, metric != 0 { request.put(Int(RTA_PRIORITY.rawValue), metric) }
            request.put(Int(RTA_TABLE.rawValue), route.table)
        }
    }

    // MARK: ip rules

    /// Makes the rule unless there is an equal one.
    package func ensure(_ rule: PolicyRule) throws(NetfilterError) {
        // The kernel takes NLM_F_EXCL into account for equal rules only, so EEXIST means that it is there.
        do throws(NetfilterError) { try add(rule) } catch {
            guard error.errno.code == EEXIST else { throw error }
        }
    }
    package func add(_ rule: PolicyRule) throws(NetfilterError) { try change(rule, RTM_NEWRULE, NLM_F_CREATE | NLM_F_EXCL, .add) }
    package func delete(_ rule: PolicyRule) throws(NetfilterError) { try change(rule, RTM_DELRULE, 0, .delete) }
    /// Deletes the rule if it is there; whether it was.
    @discardableResult
    package func destroy(_ rule: PolicyRule) throws(NetfilterError) -> Bool {
        try unlessMissing { () throws(NetfilterError) in try delete(rule) }
    }
    /// The rules that match a mark and look up a table, in order; those that also match something else are left out.
    package func rules(_ family: IPAddress.Family) throws(NetfilterError) -> [PolicyRule] {
        var message = rtmsg()
        message.rtm_family = family.number
        return try list(.policyRule, RTM_GETRULE, message, { _ in }) { PolicyRule($0) }
    }

    private func change(_ rule: PolicyRule, _ type: Int, _ flags: Int32, _ action: NetfilterError.Action) throws(NetfilterError) {
        // struct fib_rule_hdr has the layout of struct rtmsg up to the flags.
        var message = fib_rule_hdr()
        message.family = rule.family.number
        message.table = UInt8(rule.table < 256 ? rule.table : 0)
        message.action = UInt8(FR_ACT_TO_TBL)
        try perform(type, flags, message, action, .policyRule, "\(rule)") { request in
            request.put(Int(FRA_PRIORITY), rule.priority)
            request.put(Int(FRA_FWMARK), rule.mark)
            request.put(Int(FRA_FWMASK), rule.mask)
            request.put(Int(FRA_TABLE), rule.table)
            request.put(Int(FRA_PROTOCOL), rule.origin)
        }
    }

    // MARK: Interfaces and addresses

    /// The index of an interface.
    package func interface(named name: String) throws(NetfilterError) -> UInt32 {
        let sequence = socket.nextSequence()
        request.begin(type: UInt16(RTM_GETLINK), flags: 0, sequence: sequence)
        request.put(fixed: ifinfomsg())
        request.put(Int(IFLA_IFNAME), String(name.utf8.prefix(15)) ?? "")
        var index: UInt32 = 0
        do throws(Errno) {
            let refused = try socket.single(request, sequence: sequence) { answer in
                if answer.payload.count >= MemoryLayout<ifinfomsg>.size {
                    index = UInt32(bitPattern: answer.payload.loadUnaligned(as: ifinfomsg.self).ifi_index)
                }
            }
            if let refused { throw refused }
        } catch {
            throw NetfilterError(.look, .link, name, error)
        }
        return index
    }
    /// The addresses of all interfaces, IPv6 ones that are still being checked for duplicates included.
    package func addresses() throws(NetfilterError) -> [InterfaceAddress] {
        try list(.address, RTM_GETADDR, ifaddrmsg(), { _ in }) { message in
            guard message.payload.count >= MemoryLayout<ifaddrmsg>.size else { return nil }
            let header = message.payload.loadUnaligned(as: ifaddrmsg.self)
            var address: IPAddress?
            var local: IPAddress?
            for attribute in message.attributes(after: MemoryLayout<ifaddrmsg>.size) {
                if attribute.type == UInt16(IFA_ADDRESS) { address = attribute.address }
                // On point-to-point links the address is the far end's, and this ours.
                if attribute.type == UInt16(IFA_LOCAL) { local = attribute.address }
            }
            return (local ?? address).map { InterfaceAddress(address: $0, prefixLength: Int(header.ifa_prefixlen), interface: header.ifa_index) }
        }
    }
    /// The source address that the kernel would use towards `destination`; nil when there is no route.
    package func sourceAddress(towards destination: IPAddress) throws(NetfilterError) -> IPAddress? {
        var message = rtmsg()
        message.rtm_family = destination.family.number
        message.rtm_dst_len = destination.isV4 ? 32 : 128
        let sequence = socket.nextSequence()
        request.begin(type: UInt16(RTM_GETROUTE), flags: 0, sequence: sequence)
        request.put(fixed: message)
        request.put(Int(RTA_DST.rawValue), destination.bytes)
        var found: IPAddress?
        do throws(Errno) {
            let refused = try socket.single(request, sequence: sequence) { answer in
                for attribute in answer.attributes(after: MemoryLayout<rtmsg>.size) where attribute.type == UInt16(RTA_PREFSRC.rawValue) {
                    found = attribute.address
                }
            }
            if let refused {
                if [ENETUNREACH, EHOSTUNREACH, ESRCH].contains(refused.code) { return nil }
                throw refused
            }
        } catch {
            throw NetfilterError(.look, .route, "\(destination)", error)
        }
        return found
    }
    /// The source address of the default route: how other hosts see this one. nil when there is none.
    package func defaultSource(_ family: IPAddress.Family) throws(NetfilterError) -> IPAddress? {
        // TEST-NET-3 and the documentation prefix (RFC 5737, RFC 3849): routed by the default route alone.
        try sourceAddress(towards: family == .v4 ? IPAddress(v4: 0xcb00_7101) : IPAddress(high: 0x2001_0db8_0000_0000, low: 1))
    }

    // MARK: Messages

    private func unlessMissing(_ body: () throws(NetfilterError) -> Void) throws(NetfilterError) -> Bool {
        do throws(NetfilterError) {
            try body()
            return true
        } catch {
            if [ESRCH, ENOENT].contains(error.errno.code) { return false }
            throw error
        }
    }

    private func perform<Header: BitwiseCopyable>(
        _ type: Int, _ flags: Int32, _ header: Header, _ action: NetfilterError.Action, _ kind: NetfilterError.Kind, _ name: String,
        _ fill: (inout NetlinkRequest) -> Void
    ) throws(NetfilterError) {
        let sequence = socket.nextSequence()
        request.begin(type: UInt16(type), flags: NLM_F_ACK | flags, sequence: sequence)
        request.put(fixed: header)
        fill(&request)
        do throws(NetlinkSocket.Refusal) {
            try socket.exchange(request, sequence: sequence, dump: false) { _ in }
        } catch {
            throw NetfilterError(action, kind, name, error.errno, kernelText: error.text)
        }
    }

    private func list<Header: BitwiseCopyable, T>(
        _ kind: NetfilterError.Kind, _ type: Int, _ header: Header, _ fill: (inout NetlinkRequest) -> Void, _ parse: (NetlinkMessage) -> T?
    ) throws(NetfilterError) -> [T] {
        for attempt in 1... {
            var items: [T] = []
            let sequence = socket.nextSequence()
            request.begin(type: UInt16(type), flags: NLM_F_DUMP, sequence: sequence)
            request.put(fixed: header)
            fill(&request)
            do throws(NetlinkSocket.Refusal) {
                try socket.exchange(request, sequence: sequence, dump: true) { message in
                    if let item = parse(message) { items.append(item) }
                }
                return items
            } catch {
                if error.errno.code == EINTR, attempt < NetlinkSocket.dumpAttempts { continue }
                // The kernel refuses to list a table that was never used.
                if kind == .route, error.errno.code == ENOENT { return [] }
                throw NetfilterError(.list, kind, "", error.errno, kernelText: error.text)
            }
        }
        return []
    }
}
