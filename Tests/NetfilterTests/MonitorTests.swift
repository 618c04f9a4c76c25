import CLinux
import Glibc
import Platform
import Testing

@testable import Netfilter

@Suite("A monitor", .enabled(if: Lab.isPossible, Lab.reason))
struct MonitorTests {
    @Test func `of nftables sees what others do, and tells it from one's own`() throws {
        try inNetworkNamespace {
            let monitor = try NFMonitor()
            let tables = try NFTables()
            let table = NFTable(name: "watched")
            let set = table.set("ids", key: .cgroup)
            let chain = table.chain("c")
            try commit(tables) {
                $0.add(table)
                $0.add(chain)
                $0.add(set)
                $0.add([NFElement(cgroup: 1)], to: set)
                $0.add(chain.rule("first", .counter))
            }
            let own = try monitor.drain()
            let changes = own.compactMap { if case .change(let change) = $0 { change } else { nil } }
            #expect(changes.allSatisfy { $0.port == tables.port && $0.table == table.id && $0.isAddition })
            #expect(changes.map(\.kind) == [.table, .chain, .set, .element, .rule])
            #expect(changes.map(\.name) == ["", "c", "ids", "ids", "c"])
            #expect(changes.last?.comment == "first")
            guard case .committed(_, let port, let thread, _) = try #require(own.last) else {
                Issue.record("the transaction has no end")
                return
            }
            #expect(port == tables.port)
            #expect(thread == UInt32(clinux_gettid()))

            try shell("nft flush chain inet watched c")
            let foreign = try monitor.drain()
            #expect(foreign.count == 2)
            guard case .change(let change) = foreign.first, case .committed(_, let who, _, let name) = foreign.last else {
                Issue.record("unexpected: \(foreign)")
                return
            }
            #expect((change.kind, change.isAddition, change.comment) == (.rule, false, "first"))
            #expect(change.port != tables.port)
            #expect(who == change.port)
            #expect(name == "nft")
            #expect(try monitor.drain() == [])
        }
    }

    @Test func `of nftables reports an overflow and goes on`() throws {
        try inNetworkNamespace {
            let monitor = try NFMonitor()
            let tables = try NFTables()
            let table = NFTable(name: "storm")
            let chain = table.chain("c")
            try commit(tables) {
                $0.add(table)
                $0.add(chain)
            }
            for _ in 0..<12 {
                try commit(tables) { for number in 0..<2_000 { $0.add(chain.rule("rule \(number)", .counter, .counter, .counter, .counter)) } }
                try commit(tables) { $0.flush(chain) }
            }
            var events: [NFEvent] = []
            while true {
                let more = try monitor.drain()
                if more.isEmpty { break }
                #expect(more.count <= NFMonitor.batch + 16)
                events += more
            }
            #expect(events.contains(.overflow))
            try shell("nft delete table inet storm")
            #expect(try monitor.drain().isEmpty == false)
        }
    }

    @Test func `of routes sees routes, rules, addresses and interfaces of others`() throws {
        try inNetworkNamespace {
            let routing = try Routing()
            let route = Route(IPNetwork("240.240.0.0/16")!, interface: 1)
            let rule = PolicyRule(.v6, priority: 7, mark: 1, mask: 3, table: 5006)
            try routing.ensure(route)
            try routing.ensure(rule)
            let monitor = try RouteMonitor()
            try shell(
                "ip route delete 240.240.0.0/16; ip -6 rule delete priority 7; ip address add 192.0.2.9/32 dev lo; ip link add veth9 type veth"
            )
            let events = try monitor.drain()
            #expect(events.contains { if case .route(route, false, let port) = $0 { port != routing.port } else { false } })
            #expect(events.contains { if case .rule(rule, false, let port) = $0 { port != routing.port } else { false } })
            #expect(events.contains(.address(IPAddress("192.0.2.9")!, interface: 1, isAddition: true)))
            #expect(events.contains { if case .link(_, "veth9", false, true) = $0 { true } else { false } })
            try routing.ensure(route)
            #expect(try monitor.drain().contains(.route(route, isAddition: true, port: routing.port)))
            try routing.ensure(rule)
            #expect(try monitor.drain() == [.rule(rule, isAddition: true, port: routing.port)])
            try shell("ip link set lo down")
            #expect(try monitor.drain().contains { if case .link(1, "lo", false, true) = $0 { true } else { false } })
        }
    }
}
