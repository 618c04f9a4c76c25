import Glibc
import Platform
import Testing

@testable import Netfilter

@Suite("Sets", .enabled(if: Lab.isPossible, Lab.reason))
struct SetTests {
    private let table = NFTable(name: "sets")

    @Test func `of ten thousand cgroups and ten thousand networks load in one transaction, and one element changes alone`() throws {
        try inNetworkNamespace {
            let tables = try NFTables()
            let cgroups = table.set("cgroups", key: .cgroup)
            let networks4 = table.set("networks4", key: .ipv4, flags: .interval)
            let networks6 = table.set("networks6", key: .ipv6, flags: .interval)
            let ids = (1...10_000).map { NFElement(cgroup: UInt64($0) << 20, comment: "unit-\($0).service") }
            // Every second /24, so that nothing touches, in an order that is not the kernel's.
            let four = (0..<5_000).map { NFElement(IPNetwork(IPAddress(v4: 0x0a00_0000 | UInt32(($0 * 7919) % 5_000) << 9), prefixLength: 24)!) }
            let six = (0..<5_000).map { NFElement(IPNetwork(IPAddress(high: 0x2001_0db8_0000_0000 | UInt64($0) << 1, low: 0), prefixLength: 64)!) }
            let start = MonotonicTime.now()
            try commit(tables) {
                $0.add(table)
                for set in [cgroups, networks4, networks6] { $0.add(set) }
                $0.add(ids, to: cgroups)
                $0.add(four, to: networks4)
                $0.add(six, to: networks6)
            }
            let loaded = MonotonicTime.now() - start
            #expect(loaded < .seconds(2), "loading took \(loaded)")
            #expect(Set(try tables.elements(cgroups)) == Set(ids))
            #expect(Set(try tables.elements(networks4)) == Set(four))
            #expect(Set(try tables.elements(networks6)) == Set(six))

            let monitor = try NFMonitor()
            var changed = ids
            changed[4_000] = NFElement(cgroup: 7)
            try commit(tables) { $0.update(cgroups, from: ids, to: changed) }
            var moved = four
            moved[17] = NFElement(IPNetwork("203.0.113.0/24")!)
            try commit(tables) { $0.update(networks4, from: four, to: moved) }
            #expect(Set(try tables.elements(cgroups)) == Set(changed))
            #expect(Set(try tables.elements(networks4)) == Set(moved))
            // One out and one in for each set: nothing else was touched.
            let touched = try monitor.drain().compactMap { event -> String? in
                if case .change(let change) = event { "\(change.isAddition ? "+" : "-")\(change.name)" } else { nil }
            }
            #expect(touched.filter { $0.hasSuffix("cgroups") }.sorted() == ["+cgroups", "-cgroups"])
            // A range is two entries in the kernel.
            #expect(touched.filter { $0.hasSuffix("networks4") }.count <= 4)
        }
    }

    @Test func `merge networks that overlap or touch`() throws {
        try inNetworkNamespace {
            let tables = try NFTables()
            let set = table.set("networks", key: .ipv4, flags: .interval)
            let networks = ["10.0.0.0/8", "10.1.0.0/16", "11.0.0.0/8", "127.0.0.1/32", "192.168.0.0/17", "192.168.128.0/17", "0.0.0.0/8"].map {
                IPNetwork($0)!
            }
            try commit(tables) {
                $0.add(table)
                $0.add(set)
                $0.add(NFElement.networks(networks, family: .v4), to: set)
            }
            let list = try nftList()
            for shown in ["0.0.0.0/8", "10.0.0.0/7", "127.0.0.1", "192.168.0.0/16"] { #expect(list.contains(shown)) }
            #expect(try tables.elements(set).count == 4)
        }
    }

    @Test(arguments: ["0.0.0.0/0", "255.255.255.255/32", "0.0.0.0/32", "128.0.0.0/1"])
    func `hold a network at the edge`(_ text: String) throws {
        try inNetworkNamespace {
            let tables = try NFTables()
            let set = table.set("networks", key: .ipv4, flags: .interval)
            let element = NFElement(IPNetwork(text)!)
            try commit(tables) {
                $0.add(table)
                $0.add(set)
                $0.add([element], to: set)
            }
            #expect(try tables.elements(set) == [element])
            try commit(tables) { $0.delete([element], from: set) }
            #expect(try tables.elements(set) == [])
        }
    }

    @Test func `that lie side by side are separate elements`() throws {
        try inNetworkNamespace {
            let tables = try NFTables()
            let set = table.set("networks", key: .ipv4, flags: .interval)
            let elements = ["10.0.0.0/24", "10.0.1.0/24", "10.0.2.0/24"].map { NFElement(IPNetwork($0)!, comment: $0) }
            try commit(tables) {
                $0.add(table)
                $0.add(set)
                $0.add([elements[0], elements[2]], to: set)
            }
            try commit(tables) { $0.add([elements[1]], to: set) }
            #expect(Set(try tables.elements(set)) == Set(elements))
            try commit(tables) { $0.delete([elements[1]], from: set) }
            #expect(Set(try tables.elements(set)) == [elements[0], elements[2]])
        }
    }

    @Test func `are emptied, and lose elements that may be missing`() throws {
        try inNetworkNamespace {
            let tables = try NFTables()
            let set = table.set("ids", key: .cgroup)
            try commit(tables) {
                $0.add(table)
                $0.add(set)
                $0.add((1...5).map { NFElement(cgroup: $0) }, to: set)
            }
            try commit(tables) { $0.destroy([NFElement(cgroup: 3), NFElement(cgroup: 99)], from: set) }
            #expect(try tables.elements(set).count == 4)
            try commit(tables) { $0.flush(set) }
            #expect(try tables.elements(set) == [])
        }
    }

    @Test func `change elements in place`() throws {
        try inNetworkNamespace {
            let tables = try NFTables()
            let networks = table.set("networks", key: .ipv4, flags: .interval)
            let ids = table.map("ids", key: .cgroup, to: .value(.mark))
            let old4 = [NFElement(IPNetwork("10.0.0.0/24")!, comment: "short"), NFElement(IPNetwork("10.9.0.0/16")!)]
            let new4 = [NFElement(IPNetwork("10.0.0.0/23")!, comment: "long"), NFElement(IPNetwork("10.9.0.0/16")!, comment: "named")]
            let oldIDs = [NFElement(cgroup: 1, data: .value([1, 0, 0, 0]))]
            let newIDs = [NFElement(cgroup: 1, data: .value([2, 0, 0, 0]), comment: "other")]
            try commit(tables) { $0.install(NFRuleset(table: table, sets: [networks, ids], elements: ["networks": old4, "ids": oldIDs])) }
            try commit(tables) {
                $0.update(networks, from: old4, to: new4)
                $0.update(ids, from: oldIDs, to: newIDs)
            }
            #expect(Set(try tables.elements(networks)) == Set(new4))
            #expect(try tables.elements(ids) == newIDs)
        }
    }

    @Test(arguments: [1, 2, 3] as [UInt64])
    func `of networks follow any sequence of changes`(_ seed: UInt64) throws {
        try inNetworkNamespace {
            var random = Seeded(state: seed)
            let tables = try NFTables()
            let set = table.set("networks", key: .ipv4, flags: .interval)
            try commit(tables) {
                $0.add(table)
                $0.add(set)
            }
            var current: [NFElement] = []
            for _ in 0..<40 {
                // Few bits, so that ranges meet, grow, shrink and swallow each other.
                let networks = (0..<Int.random(in: 0...40, using: &random)).map { _ in
                    IPNetwork(
                        IPAddress(v4: UInt32.random(in: 0...63, using: &random) << 26 | .random(in: 0...63, using: &random)),
                        prefixLength: Int.random(in: 3...32, using: &random))!
                }
                let wanted = NFElement.networks(networks, family: .v4)
                try commit(tables) { $0.update(set, from: current, to: wanted) }
                #expect(Set(try tables.elements(set)) == Set(wanted))
                current = wanted
            }
        }
    }

    @Test func `with verdicts send packets to chains`() throws {
        try inNetworkNamespace {
            let tables = try NFTables()
            let target = table.chain("target")
            let map = table.map("ports", key: .port, to: .verdict)
            let chain = table.baseChain("out", .filter, hook: .output, priority: 0)
            let elements = [NFElement(port: 80, data: .verdict(.jump("target"))), NFElement(port: 81, data: .verdict(.drop))]
            let load = NFExpression.payload(.transport, offset: 2, length: 2, into: .first)
            let rule = NFRule(
                chain: chain, clauses: [.tcp, NFClause(load, .lookup(set: "ports", key: .first, inverted: false, into: .verdict))], comment: "by port"
            )
            try commit(tables) {
                $0.install(NFRuleset(table: table, sets: [map], chains: [target, chain], rules: [rule], elements: ["ports": elements]))
            }
            #expect(try nftList().contains("tcp dport vmap @ports comment \"by port\""))
            #expect(Set(try tables.elements(map)) == Set(elements))
            #expect(try tables.sets(table.id) == [map])
        }
    }
}

/// SplitMix64.
private struct Seeded: RandomNumberGenerator {
    var state: UInt64
    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var z = state
        z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
        z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
        return z ^ (z >> 31)
    }
}

@Suite("Set elements")
struct ElementTests {
    @Test(arguments: [
        (["10.0.0.0/9", "10.128.0.0/9"], ["10.0.0.0-10.255.255.255"]),
        (["10.0.0.0/8", "10.1.2.3/32", "12.0.0.0/8"], ["10.0.0.0-10.255.255.255", "12.0.0.0-12.255.255.255"]),
        (["255.255.255.255/32", "255.255.255.254/32"], ["255.255.255.254-255.255.255.255"]),
        (["0.0.0.0/0", "1.2.3.4/32"], ["0.0.0.0-255.255.255.255"]),
        (["fd00::/8", "1.2.3.4/32"], ["1.2.3.4"]),
        ([], []),
    ])
    func `are made of networks without overlap`(_ networks: [String], _ expected: [String]) {
        let set = NFTable(name: "t").set("s", key: .ipv4, flags: .interval)
        #expect(NFElement.networks(networks.map { IPNetwork($0)! }, family: .v4).map { set.text(of: $0) } == expected)
    }

    @Test func `are named in errors as nft writes them`() {
        let table = NFTable(name: "t")
        #expect(table.set("s", key: .cgroup).text(of: NFElement(cgroup: 4242)) == "4242")
        #expect(table.set("s", key: .port).text(of: NFElement(ports: 80...90)) == "80-90")
        #expect(table.set("s", key: .ipv6AndPort).text(of: NFElement(SocketAddress("[fd77::1]:80")!)) == "fd77::1 . 80")
    }

    @Test func `have comments that are cut between characters`() {
        let comment = NFElement(cgroup: 1, comment: String(repeating: "é", count: 100) + "x").comment
        #expect(comment == String(repeating: "é", count: 60))
        #expect(NFElement(cgroup: 1, comment: "a" + String(repeating: "é", count: 100)).comment?.utf8.count == 119)
        #expect(NFElement(cgroup: 1, comment: "a\0b").comment == "a")
    }

    @Test func `have keys whose types pack into six bits each`() {
        #expect(NFKey.ipv4AndPort.typeNumber == 7 << 6 | 13)
        #expect(NFKey(typeNumber: NFKey.ipv6AndPort.typeNumber) == .ipv6AndPort)
        #expect(NFKey.ipv6AndPort.length == 20)
        #expect(NFKey(typeNumber: 63) == nil)
    }
}
