import CLinux
import Glibc
import Platform
import Testing

@testable import Netfilter

@Suite("A table with an owner", .enabled(if: Lab.isPossible, Lab.reason))
struct OwnershipTests {
    private let ruleset = exampleRuleset(flags: .owner)

    @Test func `goes when its socket closes`() throws {
        try inNetworkNamespace {
            var tables: NFTables? = try NFTables()
            try commit(tables!) { $0.install(ruleset) }
            #expect(try nftList().contains("table inet example"))
            tables = nil
            #expect(try becomesEmpty())
        }
    }

    @Test func `is not kept alive by a program that was started meanwhile`() throws {
        try inNetworkNamespace {
            var tables: NFTables? = try NFTables()
            try commit(tables!) { $0.install(ruleset) }
            let child = popen("read line", "w")
            tables = nil
            #expect(try becomesEmpty())
            pclose(child)
        }
    }

    @Test func `can be applied twice by its owner`() throws {
        try inNetworkNamespace {
            let tables = try NFTables()
            try commit(tables) { $0.install(ruleset) }
            let once = try nftList()
            try commit(tables) { $0.install(ruleset) }
            #expect(try nftList() == once)
        }
    }

    @Test(arguments: [
        "flush ruleset", "delete table inet example", "flush table inet example", "add rule inet example filter drop",
        "delete set inet example marks",
    ])
    func `is closed to others`(_ command: String) throws {
        try inNetworkNamespace {
            let tables = try NFTables()
            try commit(tables) { $0.install(ruleset) }
            let before = try nftList()
            let refused = try shell("nft \(command) || true")
            // `flush ruleset` passes over tables of others in silence.
            #expect(command == "flush ruleset" || refused.contains("Operation not permitted"))
            #expect(try nftList() == before)
        }
    }

    @Test func `gives others an error that names the owner's part in it`() throws {
        try inNetworkNamespace {
            let tables = try NFTables()
            try commit(tables) { $0.install(ruleset) }
            let other = try NFTables()
            let error = netfilterError { try commit(other) { $0.destroy(ruleset.table.id) } }
            #expect(error?.errno.code == EPERM)
            #expect(error?.kind == .table)
            #expect(error?.name == "inet example")
            #expect("\(error!)".contains("the table belongs to another process"))
            #expect("\(error!)".contains("second agent"))
        }
    }
}

/// Whether the namespace's rules go within a second: between its start and its exec, a child that another test makes at this moment still holds a
/// copy of the socket.
private func becomesEmpty() throws -> Bool {
    for _ in 0..<100 {
        if try nftList() == "" { return true }
        usleep(10_000)
    }
    return false
}

@Suite("An error", .enabled(if: Lab.isPossible, Lab.reason))
struct ErrorTests {
    private let table = NFTable(name: "errors")

    private func failing(_ prepare: (inout NFTransaction) -> Void = { _ in }, _ build: (inout NFTransaction) -> Void) throws -> NetfilterError {
        try inNetworkNamespace {
            let tables = try NFTables()
            try commit(tables) {
                $0.add(table)
                prepare(&$0)
            }
            let before = try nftList()
            let error = try #require(netfilterError { try commit(tables, build) })
            // All or nothing.
            #expect(try nftList() == before)
            return error
        }
    }

    @Test func `names the table that is there already`() throws {
        let error = try failing { $0.add(table, exclusive: true) }
        #expect((error.kind, error.name, error.errno.code) == (.table, "inet errors", EEXIST))
    }
    @Test func `names the chain that is missing`() throws {
        let error = try failing { $0.delete(table.chain("nowhere")) }
        #expect((error.action, error.kind, error.name, error.errno.code) == (.delete, .chain, "inet errors nowhere", ENOENT))
        #expect("\(error)".contains("there is no such chain"))
    }
    @Test func `names the chain that rules still use`() throws {
        let error = try failing({
            $0.add(table.chain("used"))
            $0.add(table.chain("user"))
            $0.add(table.chain("user").rule("jumps", .jump(table.chain("used"))))
        }) { $0.delete(table.chain("used")) }
        #expect((error.kind, error.name, error.errno.code) == (.chain, "inet errors used", EBUSY))
        #expect("\(error)".contains("rules still use it"))
    }
    @Test func `names the rule among many by its comment`() throws {
        let chain = table.baseChain("out", .filter, hook: .output, priority: 0)
        let missing = table.set("missing", key: .ipv4)
        let error = try failing {
            $0.add(chain)
            $0.add(chain.rule("good", .counter))
            $0.add(chain.rule("bad", .destination(in: missing), .drop))
            $0.add(chain.rule("good too", .counter))
        }
        #expect((error.kind, error.name, error.errno.code) == (.rule, "inet errors out \"bad\"", ENOENT))
        #expect("\(error)".contains("a set or chain that it names does not exist"))
    }
    @Test func `names the rule that does not fit its chain`() throws {
        let chain = table.baseChain("out", .filter, hook: .output, priority: 0)
        let error = try failing {
            $0.add(chain)
            $0.add(chain.rule("redirect in a filter chain", .tcp, .redirect(to: 1)))
        }
        #expect((error.kind, error.name) == (.rule, "inet errors out \"redirect in a filter chain\""))
    }
    @Test func `names the rule that does not fit its chain in a new table too`() throws {
        let new = NFTable(name: "new")
        let chain = new.baseChain("out", .filter, hook: .output, priority: 0)
        let error = try failing {
            $0.install(
                NFRuleset(
                    table: new, chains: [chain],
                    rules: [chain.rule("good", .counter), chain.rule("tproxy on the way out", .tcp, .tproxy(to: SocketAddress("127.0.0.1:1")!))]))
        }
        #expect(error.name == "inet new out \"tproxy on the way out\"")
    }
    @Test func `names the element among thousands`() throws {
        let set = table.set("ids", key: .cgroup)
        let error = try failing({
            $0.add(set)
            $0.add([NFElement(cgroup: 3_333)], to: set)
        }) { $0.add((1...5_000).map { NFElement(cgroup: $0) }, to: set, exclusive: true) }
        #expect((error.kind, error.name, error.errno.code) == (.element, "inet errors ids 3333", EEXIST))
    }
    @Test func `names the network that overlaps another`() throws {
        let set = table.set("networks", key: .ipv4, flags: .interval)
        let error = try failing({
            $0.add(set)
            $0.add([NFElement(IPNetwork("10.0.0.0/8")!)], to: set)
        }) { $0.add([NFElement(IPNetwork("11.0.0.0/8")!), NFElement(IPNetwork("10.1.0.0/16")!)], to: set) }
        #expect(error.kind == .element)
        #expect(error.name == "inet errors networks 10.1.0.0-10.1.255.255")
        #expect("\(error)".contains("overlaps"))
    }
    @Test func `names the set that is missing`() throws {
        let set = table.set("nowhere", key: .cgroup)
        let error = try failing { $0.add([NFElement(cgroup: 1)], to: set) }
        #expect(error.name.hasPrefix("inet errors nowhere"))
        #expect(error.errno.code == ENOENT)
    }
    @Test func `names the table in a namespace that does not have it`() throws {
        let error = try failing { $0.add(NFTable(name: "other").chain("c")) }
        #expect((error.kind, error.name, error.errno.code) == (.chain, "inet other c", ENOENT))
    }
    @Test func `of a missing capability says so`() throws {
        try inNetworkNamespace {
            let tables = try NFTables()
            try commit(tables) { $0.add(table) }
            let routing = try Routing()
            try withoutNetAdmin {
                let own = try NFTables()
                let refused = [
                    netfilterError { try commit(own) { $0.delete(table.id) } },
                    netfilterError { _ = try own.tables() },
                    netfilterError { _ = try FeatureProbe.missing(own) },
                    netfilterError { _ = try Conntrack().usage() },
                    netfilterError { try routing.ensure(PolicyRule(.v4, priority: 1, mark: 1, table: 1)) },
                ]
                for error in refused {
                    #expect(error?.errno.code == EPERM)
                    #expect(error?.description.contains("the capability CAP_NET_ADMIN is missing") == true)
                    #expect(error?.description.contains("run the agent as root") == true)
                }
            }
            try commit(tables) { $0.delete(table.id) }
        }
    }

    @Test func `is found by a check that changes nothing`() throws {
        try inNetworkNamespace {
            let tables = try NFTables()
            var transaction = NFTransaction()
            transaction.add(table)
            transaction.add(table.chain("c"))
            #expect(try tables.check(transaction) == [])
            transaction.delete(table.chain("nowhere"))
            #expect(try tables.check(transaction).map(\.name) == ["inet errors nowhere"])
            #expect(try nftList() == "")
        }
    }
}

/// Runs `body` while this thread's effective capabilities lack CAP_NET_ADMIN (capabilities belong to threads, capabilities(7)).
private func withoutNetAdmin(_ body: () throws -> Void) throws {
    // Version 3 of the header, and two sets of effective, permitted and inheritable.
    var header: (UInt32, CInt) = (0x2008_0522, 0)
    var sets: (UInt32, UInt32, UInt32, UInt32, UInt32, UInt32) = (0, 0, 0, 0, 0, 0)
    guard capget(&header, &sets) == 0 else { throw LabFailure("capget") }
    let before = sets
    sets.0 &= ~(1 << 12)
    guard capset(&header, &sets) == 0 else { throw LabFailure("capset") }
    defer {
        var before = before
        if capset(&header, &before) != 0 { fatalError("cannot take CAP_NET_ADMIN back") }
    }
    try body()
}
@_silgen_name("capget") private func capget(_ header: UnsafeMutableRawPointer, _ sets: UnsafeMutableRawPointer) -> CInt
@_silgen_name("capset") private func capset(_ header: UnsafeMutableRawPointer, _ sets: UnsafeMutableRawPointer) -> CInt

@Suite("Kernel features", .enabled(if: Lab.isPossible, Lab.reason))
struct FeatureTests {
    @Test func `are asked for without a trace`() throws {
        try inNetworkNamespace {
            let tables = try NFTables()
            let monitor = try NFMonitor()
            #expect(try FeatureProbe.missing(tables).map(\.description) == [])
            #expect(try nftList() == "")
            #expect(try monitor.drain() == [])
        }
    }

    @Test func `are told from those that no kernel has`() throws {
        try inNetworkNamespace {
            let tables = try NFTables()
            let table = NFTable(name: "probe")
            var transaction = NFTransaction()
            transaction.add(table)
            // Only packets that leave can be routed again.
            transaction.add(table.baseChain("impossible", .route, hook: .input, priority: 0))
            transaction.add(table.baseChain("possible", .route, hook: .output, priority: 0))
            let errors = try tables.check(transaction)
            #expect(errors.map(\.name) == ["inet probe impossible"])
            #expect(errors.map(\.errno.code) == [EOPNOTSUPP])
        }
    }

    @Test func `are described with what brings them`() {
        let missing = FeatureProbe.Missing(feature: .socketCgroup, errno: Errno(ENOENT))
        #expect(missing.description.contains("socket cgroupv2"))
        #expect(missing.description.contains("5.13"))
    }
}
