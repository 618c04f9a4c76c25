import Glibc
import Platform
import Testing

@testable import Netfilter

@Suite("Routing", .enabled(if: Lab.isPossible, Lab.reason))
struct RoutingTests {
    @Test(arguments: [
        ("240.240.0.0/16", 254 as UInt32, "192.0.2.7", "240.240.0.0/16 proto 87 scope link src 192.0.2.7"),
        ("240.240.0.0/16", 1000, "192.0.2.7", "240.240.0.0/16 proto 87 scope link src 192.0.2.7"),
        ("fd77:6566:7400::/48", 254, "2001:db8::7", "fd77:6566:7400::/48 proto 87 src 2001:db8::7 metric 1024 pref medium"),
    ])
    func `makes routes to loopback with a source, once however often, and removes them`(
        _ network: String, _ table: UInt32, _ source: String, _ shown: String
    ) throws {
        try inNetworkNamespace {
            try shell("ip address add \(source) dev lo nodad 2>/dev/null || ip address add \(source) dev lo")
            let routing = try Routing()
            let lo = try routing.interface(named: "lo")
            let route = Route(IPNetwork(network)!, table: table, interface: lo, source: IPAddress(source)!)
            let family: IPAddress.Family = network.contains(":") ? .v6 : .v4
            try routing.ensure(route)
            try routing.ensure(route)
            let list = { try shell("ip -o \(family == .v4 ? "-4" : "-6") route show dev lo table \(table)") }
            #expect(try list().split(separator: "\n").filter { $0.hasPrefix(network) }.map { $0.trimmed } == [shown])
            #expect(try routing.routes(family, table: table).filter { $0.origin == Route.weftProtocol } == [route])
            #expect(netfilterError { try routing.add(route) }?.errno.code == EEXIST)
            #expect(try routing.destroy(route) == true)
            #expect(try routing.destroy(route) == false)
            #expect(try list().contains(network) == false)
        }
    }

    @Test(arguments: ["0.0.0.0/0", "::/0"])
    func `makes everything local in a table of its own`(_ network: String) throws {
        try inNetworkNamespace {
            let routing = try Routing()
            let route = Route(IPNetwork(network)!, kind: .local, table: 5006, interface: try routing.interface(named: "lo"))
            let family: IPAddress.Family = network == "::/0" ? .v6 : .v4
            try routing.ensure(route)
            #expect(try shell("ip \(family == .v4 ? "-4" : "-6") route show table 5006").hasPrefix("local default dev lo proto 87"))
            #expect(try routing.routes(family, table: 5006) == [route])
            try routing.delete(route)
            #expect(try routing.routes(family, table: 5006) == [])
            #expect(try routing.routes(family, table: 7777) == [])
        }
    }

    @Test(arguments: [IPAddress.Family.v4, .v6])
    func `makes ip rules, once however often, and removes them`(_ family: IPAddress.Family) throws {
        try inNetworkNamespace {
            let routing = try Routing()
            let rule = PolicyRule(family, priority: 105, mark: 0x2000, mask: 0xf000, table: 5006)
            try routing.ensure(rule)
            try routing.ensure(rule)
            let list = { try shell("ip \(family == .v4 ? "-4" : "-6") rule show priority 105") }
            #expect(try list() == "105:\tfrom all fwmark 0x2000/0xf000 lookup 5006 proto 87\n")
            #expect(try routing.rules(family) == [rule])
            #expect(try routing.destroy(rule) == true)
            #expect(try routing.destroy(rule) == false)
            #expect(try list() == "")
        }
    }

    @Test func `leaves rules with other conditions out`() throws {
        try inNetworkNamespace {
            try shell("ip rule add fwmark 1 from 10.0.0.0/8 table 9; ip rule add not fwmark 1 table 9; ip rule add fwmark 1 iif lo table 9")
            #expect(try Routing().rules(.v4) == [])
        }
    }

    @Test func `knows the addresses of this host and the one that others see`() throws {
        try inNetworkNamespace {
            try shell("ip link add va type veth peer name vb; ip address add 192.0.2.7/24 dev va; ip address add 192.0.2.8/24 dev va")
            try shell("ip address add 2001:db8::7/64 dev va nodad; ip link set va up; ip link set vb up")
            let routing = try Routing()
            let va = try routing.interface(named: "va")
            let found = try routing.addresses().filter { $0.interface == va }.map { "\($0.address)/\($0.prefixLength)" }
            #expect(Set(["192.0.2.7/24", "192.0.2.8/24", "2001:db8::7/64"]).isSubset(of: found))
            #expect(try routing.defaultSource(.v4) == nil)
            #expect(try routing.sourceAddress(towards: IPAddress("192.0.2.99")!) == IPAddress("192.0.2.7"))
            try shell("ip route add default via 192.0.2.1 src 192.0.2.8; ip -6 route add default via 2001:db8::1")
            #expect(try routing.defaultSource(.v4) == IPAddress("192.0.2.8"))
            #expect(try routing.defaultSource(.v6) == IPAddress("2001:db8::7"))
        }
    }

    @Test func `reads a thousand routes of one table among others`() throws {
        try inNetworkNamespace {
            let batch = (0..<1000).map { "route add 10.\($0 / 256).\($0 % 256).0/24 dev lo table \($0 % 2 == 0 ? 300 : 301)" }.joined(separator: "\n")
            try shell("ip -batch - <<'END'\n\(batch)\nEND")
            #expect(try Routing().routes(.v4, table: 300).count == 500)
        }
    }

    @Test func `errors name the route, the rule and the interface`() throws {
        try inNetworkNamespace {
            let routing = try Routing()
            let route = Route(IPNetwork("240.240.0.0/16")!, interface: 1, source: IPAddress("203.0.113.9")!)
            let refused = try #require(netfilterError { try routing.add(route) })
            #expect((refused.kind, refused.errno.code) == (.route, EINVAL))
            #expect("\(refused)".hasPrefix("cannot add route 240.240.0.0/16 dev #1 src 203.0.113.9:"))
            // The kernel's own words travel along.
            #expect(refused.kernelText?.contains("prefsrc") == true)
            let missing = try #require(netfilterError { try routing.delete(Route(IPNetwork("10.9.0.0/16")!, interface: 1)) })
            #expect("\(missing)".hasPrefix("cannot delete route 10.9.0.0/16 dev #1: there is none"))
            let rule = try #require(netfilterError { try routing.delete(PolicyRule(.v4, priority: 5, mark: 1, table: 9)) })
            #expect("\(rule)".hasPrefix("cannot delete ip rule 5: fwmark 0x1/0xffffffff lookup 9: there is none"))
            let interface = try #require(netfilterError { _ = try routing.interface(named: "nosuch0") })
            #expect("\(interface)".hasPrefix("cannot look up link nosuch0: there is no such network interface"))
        }
    }
}

extension Substring {
    var trimmed: String {
        var text = self
        while text.last == " " { text.removeLast() }
        return String(text)
    }
}
