import Glibc
import Platform
import Testing

@testable import Netfilter

/// A ruleset with one of everything that the mesh uses.
func exampleRuleset(flags: NFTable.Flags = []) -> NFRuleset {
    let table = NFTable(name: "example", flags: flags, comment: "made by a test")
    let cgroups = table.set("cgroups", key: .cgroup, comment: "captured cgroups")
    let networks4 = table.set("networks4", key: .ipv4, flags: .interval)
    let networks6 = table.set("networks6", key: .ipv6, flags: .interval)
    let ports = table.set("ports", key: .port, flags: .interval)
    let services4 = table.set("services4", key: .ipv4AndPort)
    let services6 = table.set("services6", key: .ipv6AndPort, flags: .interval)
    let marks = table.map("marks", key: .cgroup, to: .value(.mark))
    let output = table.baseChain("output", .nat, hook: .output, priority: -100)
    let filter = table.baseChain("filter", .filter, hook: .output, priority: 0)
    let route = table.baseChain("route", .route, hook: .output, priority: -150)
    let input = table.baseChain("input", .filter, hook: .input, priority: -1)
    let prerouting = table.baseChain("prerouting", .filter, hook: .prerouting, priority: -310)
    let captured = table.chain("captured")
    let timeouts = [
        NFConntrackTimeouts(table: table.id, name: "patient", family: .ipv4, [.established: 720, .finWait: 721, .closeWait: 722, .timeWait: 5]),
        NFConntrackTimeouts(
            table: table.id, name: "odd", family: .ipv6,
            [.synSent: 1, .synReceived: 2, .lastAck: 3, .close: 4, .synSent2: 5, .retransmitting: 6, .unacknowledged: 7]),
    ]
    return NFRuleset(
        table: table, sets: [cgroups, networks4, networks6, ports, services4, services6, marks],
        timeouts: timeouts, chains: [output, filter, route, input, prerouting, captured],
        rules: [
            output.rule("own traffic", .mark(0x100, mask: 0xf00), .counter, .return),
            output.rule("dns", .udp, .destinationPort(53), .redirect(to: 16053)),
            output.rule("excluded", .destination(in: networks4), .return),
            output.rule("excluded, IPv6", .destination(in: networks6), .return),
            output.rule("excluded ports", .tcp, .destinationPort(in: ports), .return),
            output.rule("local", .destinationIsLocal(), .return),
            output.rule("level 1", .tcp, .cgroup(level: 1, in: cgroups), .jump(captured)),
            output.rule("one cgroup", .tcp, .cgroup(level: 2, id: 77), .jump(captured)),
            output.rule("services", .tcp, .destinationAndPort(in: services4), .goto(captured)),
            output.rule("services, IPv6", .tcp, .destinationAndPort(in: services6), .goto(captured)),
            captured.rule("redirect", .tcp, .counter, .redirect(to: 16001)),
            filter.rule("user", .uid(1000), .outputInterface("lo", inverted: true), .counter, .accept),
            filter.rule("mesh only", .destination(IPNetwork("240.240.0.0/16")!), .reject(.tcpReset)),
            filter.rule("mesh only, UDP", .destination(IPNetwork("240.240.0.0/16")!), .udp, .reject(.portUnreachable)),
            filter.rule("mesh only, IPv6", .destination(IPNetwork("fd77:6566:7400::/48")!), .reject(.prohibited)),
            filter.rule("odd prefix", .source(IPNetwork("10.1.2.0/23")!, inverted: true), .counter),
            filter.rule("one address", .source(IPNetwork("2001:db8::1")!), .counter),
            filter.rule("few", .tcp, .destinationPorts(1000...2000), .limit(NFLimit(10, per: .second, burst: 20)), .accept),
            filter.rule("too many", .limit(NFLimit(5, per: .minute, over: true)), .drop),
            route.rule("restore", .conntrackMark(0x200, mask: 0xf00), .restoreMark(mask: 0xf00)),
            route.rule("part of the mark", .conntrackDirection(.reply), .setMark(0x300, mask: 0xf00)),
            input.rule("not redirected", .tcp, .destinationPort(16001), .conntrackStatus(.destinationNAT, inverted: true), .reject(.tcpReset)),
            input.rule("save", .conntrackState([.new, .related]), .inputInterface("lo"), .saveMark()),
            input.rule("original", .originalDestination(in: networks4, inverted: true), .tcp, .originalDestinationPort(80), .setConntrackMark(7)),
            input.rule("transparent", .socketIsTransparent, .setMark(9)),
            input.rule("own socket", .socketMark(0x100, mask: 0xf00), .accept),
            prerouting.rule("proxy", .tcp, .destinationAndPort(in: services4), .tproxy(to: SocketAddress("127.0.0.1:15001")!), .accept),
            prerouting.rule("proxy, IPv6", .udp, .sourcePort(99), .tproxy(to: SocketAddress("[2001:db8::5]:15001")!)),
            captured.rule("patient", .timeouts(timeouts[0])),
            captured.rule("odd", .timeouts(timeouts[1])),
            prerouting.rule("untracked", .sourceIsLocal(), .notrack),
        ],
        elements: [
            "cgroups": [NFElement(cgroup: 4242, comment: "shop-web.service"), NFElement(cgroup: 1)],
            "networks4": NFElement.networks(["10.0.0.0/8", "192.0.2.7", "255.255.255.0/24", "0.0.0.0/32"].map { IPNetwork($0)! }, family: .v4),
            "networks6": NFElement.networks(["fd00::/8", "::1", "ffff::/16"].map { IPNetwork($0)! }, family: .v6),
            "ports": [NFElement(port: 22), NFElement(ports: 8000...8100), NFElement(ports: 65000...65535)],
            "services4": [NFElement(SocketAddress("192.0.2.1:80")!), NFElement(SocketAddress("192.0.2.1:443")!, comment: "tls")],
            "services6": [NFElement(IPNetwork("2001:db8::/64")!, ports: 80...90), NFElement(SocketAddress("[2001:db8:1::1]:443")!)],
            "marks": [NFElement(cgroup: 5, data: .value(NFBytes.host(UInt32(0xabc))))],
        ])
}

@Suite("A ruleset in the kernel", .enabled(if: Lab.isPossible, Lab.reason))
struct RulesetTests {
    @Test func `is read back as it was written`() throws {
        try inNetworkNamespace {
            let tables = try NFTables()
            let wanted = exampleRuleset()
            try commit(tables) { $0.install(wanted) }
            let found = try #require(try tables.ruleset(wanted.table.id, elements: wanted.elements.keys))
            #expect(wanted.drift(from: found) == [])
            for (name, elements) in wanted.elements { #expect(Set(elements) == Set(found.elements[name] ?? []), "\(name)") }
            #expect(found.table == wanted.table)
        }
    }

    @Test func `is shown by nft in its own words`() throws {
        try inNetworkNamespace {
            let tables = try NFTables()
            try commit(tables) { $0.install(exampleRuleset()) }
            let lines = Set(try nftList().split(separator: "\n").map { $0.drop { $0 == "\t" || $0 == " " } })
            for line in shownByNFT where !lines.contains(Substring(line)) { Issue.record("nft does not show: \(line)") }
            #expect(!lines.contains { $0.contains("unknown") || $0.contains("@nh,") || $0.contains("@th,") })
        }
    }

    @Test func `is the same when it is applied twice`() throws {
        try inNetworkNamespace {
            let tables = try NFTables()
            try commit(tables) { $0.install(exampleRuleset()) }
            let once = try nftList()
            try commit(tables) { $0.install(exampleRuleset()) }
            #expect(try nftList() == once)
        }
    }

    @Test func `leaves nothing when it is removed, there or not`() throws {
        try inNetworkNamespace {
            let tables = try NFTables()
            let table = exampleRuleset().table
            try commit(tables) { $0.install(exampleRuleset()) }
            try commit(tables) { $0.delete(table.id) }
            #expect(try nftList() == "")
            try commit(tables) { $0.destroy(table.id) }
            #expect(try nftList() == "")
            #expect(try tables.ruleset(table.id) == nil)
        }
    }

    @Test func `loses one rule, chain or set at a time`() throws {
        try inNetworkNamespace {
            let tables = try NFTables()
            let wanted = exampleRuleset()
            try commit(tables) { $0.install(wanted) }
            let rule = try #require(try tables.rules(wanted.table.id, chain: "filter").first { $0.rule.comment == "too many" })
            let captured = try #require(wanted.chains.first { $0.name == "captured" })
            let marks = try #require(wanted.sets.first { $0.name == "marks" })
            try commit(tables) {
                $0.delete(rule)
                $0.flush(wanted.chains[0])
                $0.destroy(captured)
                $0.destroy(marks)
            }
            let drift = wanted.drift(from: try tables.ruleset(wanted.table.id))
            #expect(drift.contains("rule inet example filter \"too many\" is missing or changed"))
            #expect(drift.contains("rule inet example output \"dns\" is missing or changed"))
            #expect(drift.contains("chain inet example captured is missing"))
            #expect(drift.contains("set inet example marks is missing"))
        }
    }

    @Test func `says what others changed in it`() throws {
        try inNetworkNamespace {
            let tables = try NFTables()
            let wanted = exampleRuleset()
            try commit(tables) { $0.install(wanted) }
            try shell("nft add rule inet example filter drop comment '\"intruder\"'")
            try shell("nft delete element inet example networks4 '{ 10.0.0.0/8 }'")
            try shell("nft add element inet example ports '{ 9 }'")
            try shell("nft add chain inet example extra")
            try shell("nft 'add chain inet example input { policy drop; }'")
            try shell("nft 'add ct timeout inet example more { protocol tcp; l3proto ip; policy = { close : 3 }; }'")
            let found = try tables.ruleset(wanted.table.id, elements: wanted.elements.keys)
            #expect(
                wanted.drift(from: found) == [
                    "ct timeout inet example more does not belong there",
                    "chain inet example input was changed",
                    "chain inet example extra does not belong there",
                    "rule inet example filter \"intruder\" does not belong there",
                    "set inet example networks4 lacks 1 element",
                    "set inet example ports has 1 element too many",
                ])
            try commit(tables) { $0.install(wanted) }
            #expect(wanted.drift(from: try tables.ruleset(wanted.table.id, elements: wanted.elements.keys)) == [])
        }
    }

    @Test func `says when a connection's timeouts are others`() throws {
        try inNetworkNamespace {
            let tables = try NFTables()
            let table = NFTable(name: "example")
            func ruleset(_ seconds: UInt32) -> NFRuleset {
                NFRuleset(table: table, timeouts: [NFConntrackTimeouts(table: table.id, name: "patient", family: .ipv6, [.closeWait: seconds])])
            }
            try commit(tables) { $0.install(ruleset(720)) }
            #expect(ruleset(720).drift(from: try tables.ruleset(table.id)) == [])
            #expect(ruleset(700).drift(from: try tables.ruleset(table.id)) == ["ct timeout inet example patient was changed"])
            #expect(NFRuleset(table: table).drift(from: try tables.ruleset(table.id)) == ["ct timeout inet example patient does not belong there"])
        }
    }

    @Test func `takes rules before, after and instead of others`() throws {
        try inNetworkNamespace {
            let tables = try NFTables()
            let table = NFTable(name: "order")
            let chain = table.chain("c")
            func order() throws -> [String] { try tables.rules(table.id).compactMap(\.rule.comment) }
            func handle(_ comment: String) throws -> UInt64 { try #require(try tables.rules(table.id).first { $0.rule.comment == comment }).handle }
            try commit(tables) {
                $0.add(table)
                $0.add(chain)
                $0.add(chain.rule("b", .counter))
                $0.add(chain.rule("d", .counter))
            }
            let (b, d) = (try handle("b"), try handle("d"))
            try commit(tables) {
                $0.insert(chain.rule("a", .counter))
                $0.add(chain.rule("c", .counter), after: b)
                $0.insert(chain.rule("c2", .counter), before: d)
                $0.replace(d, with: chain.rule("e", .drop))
            }
            #expect(try order() == ["a", "b", "c", "c2", "e"])
        }
    }

    @Test func `counts packets`() throws {
        try inNetworkNamespace {
            let tables = try NFTables()
            let table = NFTable(name: "count")
            let chain = table.baseChain("out", .filter, hook: .output, priority: 0)
            try commit(tables) {
                $0.add(table)
                $0.add(chain)
                $0.add(chain.rule("discard", .udp, .destinationPort(9), .counter))
            }
            try shell("bash -c 'for i in 1 2 3; do echo > /dev/udp/127.0.0.1/9; done'")
            let rule = try #require(try tables.rules(table.id).first)
            #expect(rule.packets == 3)
            // IP and UDP headers and one byte, each.
            #expect(rule.bytes == 3 * 29)
        }
    }
}

/// What `nft -n -s list ruleset` shows of the example.
private let shownByNFT = [
    "comment \"made by a test\"",
    "type cgroupsv2",
    "comment \"captured cgroups\"",
    "192.0.2.1 . 443 comment \"tls\" }",
    "elements = { 22, 8000-8100, 65000-65535 }",
    "elements = { 2001:db8::/64 . 80-90,",
    "type cgroupsv2 : mark",
    "type nat hook output priority -100; policy accept;",
    "meta mark & 0x00000f00 == 0x00000100 counter return comment \"own traffic\"",
    "udp dport 53 redirect to :16053 comment \"dns\"",
    "ip daddr @networks4 return comment \"excluded\"",
    "ip6 daddr @networks6 return comment \"excluded, IPv6\"",
    "tcp dport @ports return comment \"excluded ports\"",
    "fib daddr type 2 return comment \"local\"",
    "meta l4proto 6 socket cgroupv2 level 1 @cgroups jump captured comment \"level 1\"",
    "ip daddr . tcp dport @services4 goto captured comment \"services\"",
    "meta skuid 1000 oifname != \"lo\" counter accept comment \"user\"",
    "ip daddr 240.240.0.0/16 meta l4proto 6 reject with tcp reset comment \"mesh only\"",
    "ip6 daddr fd77:6566:7400::/48 reject with icmpx 3 comment \"mesh only, IPv6\"",
    "ip saddr != 10.1.2.0/23 counter comment \"odd prefix\"",
    "tcp dport 1000-2000 limit rate 10/second burst 20 packets accept comment \"few\"",
    "limit rate over 5/minute drop comment \"too many\"",
    "ct mark & 0x00000f00 == 0x00000200 meta mark set ct mark & 0x00000f00 comment \"restore\"",
    "tcp dport 16001 ct status ! 0x20 reject with tcp reset comment \"not redirected\"",
    "ct state 0x4,0x8 iifname \"lo\" ct mark set meta mark comment \"save\"",
    "socket transparent 1 meta mark set 0x00000009 comment \"transparent\"",
    "socket mark & 0x00000f00 == 0x00000100 accept comment \"own socket\"",
    "ip daddr . tcp dport @services4 tproxy ip to 127.0.0.1:15001 accept comment \"proxy\"",
    "udp sport 99 meta nfproto 10 tproxy ip6 to [2001:db8::5]:15001 comment \"proxy, IPv6\"",
    "ct timeout patient {",
    "l3proto ip",
    "l3proto ip6",
    "policy = { established : 720, fin_wait : 721, close_wait : 722, time_wait : 5 }",
    "policy = { syn_sent : 1, syn_recv : 2, last_ack : 3, close : 4, syn_sent2 : 5, retrans : 6, unack : 7 }",
    "meta nfproto 2 ct timeout set \"patient\" comment \"patient\"",
    "fib saddr type 2 notrack comment \"untracked\"",
    "meta l4proto 6 counter redirect to :16001 comment \"redirect\"",
]
