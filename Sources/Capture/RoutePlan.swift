import Glibc
import MeshModel
import Netfilter
import Platform

/// Which routes and ip rules there should be. Pure.
struct RoutePlan: Equatable {
    let routes: [Route]
    let rules: [PolicyRule]

    /// `lo` has this index in every network namespace.
    static let loopback: UInt32 = 1

    /// - Parameters:
    ///   - addresses: those of this host's interfaces. A configured node address that is not among them cannot be a source yet, and the
    ///     loopback address takes its place: the connection is led to this host anyway.
    ///   - hasV6: whether `lo` speaks IPv6.
    init(_ settings: CaptureSettings, addresses: Set<IPAddress>, hasV6: Bool) {
        var routes: [Route] = []
        var rules: [PolicyRule] = []
        func add(_ virtual: IPNetwork, _ node: IPAddress?, _ fallback: IPAddress, _ everything: IPNetwork) {
            let source = node.flatMap { addresses.contains($0) ? $0 : nil } ?? fallback
            // connect() to a virtual address needs a route before netfilter sees the packet.
            routes.append(Route(virtual, interface: Self.loopback, source: source))
            // Answers of flows with a client's source address carry the spoofed mark and end here.
            routes.append(Route(everything, kind: .local, table: settings.routingTable, interface: Self.loopback))
            rules.append(
                PolicyRule(
                    virtual.base.family, priority: settings.rulePriority, mark: settings.spoofedMark, mask: settings.markMask,
                    table: settings.routingTable))
        }
        add(VirtualIP.v4Network, settings.nodeAddressV4, .loopbackV4, IPNetwork(.anyV4, prefixLength: 0)!)
        if hasV6 { add(VirtualIP.v6Network, settings.nodeAddressV6, .loopbackV6, IPNetwork(.anyV6, prefixLength: 0)!) }
        self.routes = routes
        self.rules = rules
    }
}

/// Keeps the plan's routes and rules in the kernel. One thread.
final class RouteKeeper {
    private let settings: CaptureSettings
    private let routing: Routing
    /// IPv6 was there at the start, so that its absence later is drift and no decision of the operator's.
    private let wantsV6: Bool

    private static let v6Switch = "/proc/sys/net/ipv6/conf/lo/disable_ipv6"

    init(_ settings: CaptureSettings) throws(NetfilterError) {
        self.settings = settings
        routing = try Routing()
        wantsV6 = TextFile.read(Self.v6Switch)?.first == "0"
    }

    /// By which own changes are told from others'.
    var port: UInt32 { routing.port }

    /// What is not as it should be.
    struct Drift {
        var lines: [String] = []
        fileprivate var routes: [Route] = []
        fileprivate var rules: [PolicyRule] = []
        /// Of ours, but not wanted any more.
        fileprivate var staleRoutes: [Route] = []
        fileprivate var staleRules: [PolicyRule] = []
        fileprivate var v6IsOff = false
        var isEmpty: Bool { lines.isEmpty }
    }

    func drift() throws(NetfilterError) -> Drift {
        var drift = Drift()
        if wantsV6, TextFile.read(Self.v6Switch)?.first == "1" {
            drift.v6IsOff = true
            drift.lines.append("sysctl net.ipv6.conf.lo.disable_ipv6 was 1")
        }
        let plan = RoutePlan(settings, addresses: Set(try routing.addresses().map(\.address)), hasV6: wantsV6)
        var present: Set<Route> = []
        var rules: Set<PolicyRule> = []
        for family in wantsV6 ? [IPAddress.Family.v4, .v6] : [.v4] {
            let found = try routing.rules(family)
            rules.formUnion(found)
            // An agent with other settings may have left a rule and its table.
            let leftover = found.filter { $0.origin == Route.weftProtocol }.map(\.table)
            for table in Set(leftover).union([Route.mainTable, settings.routingTable]) { present.formUnion(try routing.routes(family, table: table)) }
        }
        drift.routes = plan.routes.filter { !present.contains($0) }
        drift.rules = plan.rules.filter { !rules.contains($0) }
        drift.staleRules = rules.filter { $0.origin == Route.weftProtocol && !plan.rules.contains($0) }
        drift.staleRoutes = present.filter { route in
            // One of the same destination, table and metric is replaced.
            let isReplaced = plan.routes.contains { $0.destination == route.destination && $0.table == route.table && $0.metric == route.metric }
            return route.origin == Route.weftProtocol && !isReplaced
        }
        drift.lines += drift.routes.map { "route \($0) was missing or changed" } + drift.rules.map { "\($0) was missing" }
        drift.lines += drift.staleRoutes.map { "route \($0) was left over" } + drift.staleRules.map { "\($0) was left over" }
        return drift
    }

    /// Puts in place what is not there, takes out what was left over, and touches nothing else.
    func repair(_ drift: Drift) throws(NetfilterError) {
        if drift.v6IsOff {
            do throws(Errno) { try TextFile.write(Self.v6Switch, "0\n") } catch {
                throw NetfilterError(.replace, .link, "net.ipv6.conf.lo.disable_ipv6", error)
            }
        }
        for rule in drift.staleRules { try routing.destroy(rule) }
        for route in drift.staleRoutes { try routing.destroy(route) }
        for route in drift.routes { try routing.ensure(route) }
        for rule in drift.rules { try routing.ensure(rule) }
    }

    /// Removes everything of Weft's, by its mark of origin: also what older settings left.
    static func remove() throws(NetfilterError) {
        let routing = try Routing()
        for family in [IPAddress.Family.v4, .v6] {
            var tables: Set<UInt32> = [Route.mainTable]
            do throws(NetfilterError) {
                for rule in try routing.rules(family) where rule.origin == Route.weftProtocol {
                    tables.insert(rule.table)
                    try routing.destroy(rule)
                }
                for table in tables {
                    for route in try routing.routes(family, table: table) where route.origin == Route.weftProtocol { try routing.destroy(route) }
                }
            } catch {
                // A host without IPv6 has none of it to remove.
                guard family == .v6, [EOPNOTSUPP, EAFNOSUPPORT].contains(error.errno.code) else { throw error }
            }
        }
    }

    /// Whether the event can concern the plan. Own changes are not drift.
    func concerns(_ event: RouteEvent) -> Bool {
        switch event {
        case .overflow: true
        case .link(let index, _, _, _): index == RoutePlan.loopback
        case .address(let address, let index, _):
            index == RoutePlan.loopback || address == settings.nodeAddressV4 || address == settings.nodeAddressV6
        case .route(let route, _, let port):
            port != self.port
                && (route.origin == Route.weftProtocol || route.table == settings.routingTable || VirtualIP.isVirtual(route.destination.base))
        case .rule(let rule, _, let port): port != self.port && (rule.origin == Route.weftProtocol || rule.table == settings.routingTable)
        }
    }
}
