import Platform
import Testing

@testable import Netfilter

@Suite("A rule made of clauses")
struct ClauseTests {
    private let table = NFTable(name: "t")
    private var chain: NFChain { table.chain("c") }
    private let isV4: [NFExpression] = [.meta(.networkProtocol, into: .first), .compare(.first, .equal, [2])]
    private let isTCP: [NFExpression] = [.meta(.transportProtocol, into: .first), .compare(.first, .equal, [6])]

    @Test func `matches family and protocol once, in front of the first clause that needs them`() {
        let set = table.set("s", key: .ipv4)
        let rule = chain.rule("r", .counter, .source(in: set), .tcp, .destination(in: set), .destinationPort(80), .reject(.tcpReset))
        #expect(rule.expressions.filter { $0 == .meta(.networkProtocol, into: .first) }.count == 1)
        #expect(rule.expressions.filter { $0 == .meta(.transportProtocol, into: .first) }.count == 1)
        #expect(Array(rule.expressions.prefix(3)) == [.counter] + isV4)
    }

    @Test func `needs no match of the family in a table of one family`() {
        let table = NFTable(family: .ipv4, name: "t")
        let rule = table.chain("c").rule("r", .destination(in: table.set("s", key: .ipv4)), .accept)
        #expect(!rule.expressions.contains(.meta(.networkProtocol, into: .first)))
    }

    @Test func `puts the fields of a concatenation side by side`() {
        let rule = chain.rule("r", .tcp, .destinationAndPort(in: table.set("s", key: .ipv4AndPort)))
        #expect(
            rule.expressions
                == isTCP + isV4 + [
                    .payload(.network, offset: 16, length: 4, into: .first), .payload(.transport, offset: 2, length: 2, into: NFRegister(word: 1)),
                    .lookup(set: "s", key: .first, inverted: false, into: nil),
                ])
    }

    @Test(arguments: [
        ("10.0.0.0/8", [0xff, 0, 0, 0] as [UInt8]), ("10.1.2.0/23", [0xff, 0xff, 0xfe, 0]), ("10.128.0.0/9", [0xff, 0x80, 0, 0]),
        ("0.0.0.0/0", [0, 0, 0, 0]),
    ])
    func `masks a network`(_ network: String, _ mask: [UInt8]) {
        let rule = chain.rule("r", .destination(IPNetwork(network)!))
        #expect(rule.expressions.contains(.bitwise(from: .first, into: .first, mask: mask, xor: [0, 0, 0, 0])))
    }

    @Test func `that contradicts itself is a programming error`() async {
        await #expect(processExitsWith: .failure) {
            let table = NFTable(name: "t")
            _ = table.chain("c").rule("r", .source(IPNetwork("10.0.0.0/8")!), .destination(IPNetwork("fd00::/8")!))
        }
        await #expect(processExitsWith: .failure) { _ = NFTable(name: "t").chain("c").rule("r", .destinationPort(80)) }
        await #expect(processExitsWith: .failure) { _ = NFTable(name: "t").chain("c").rule("r", .udp, .reject(.tcpReset)) }
    }

    @Test func `has registers in the numbers in which the kernel lists them`() {
        #expect([0, 1, 3, 4, 8, 12, 15].map { NFRegister(word: $0).number } == [1, 9, 11, 2, 3, 4, 23])
        for word in -1...15 { #expect(NFRegister(number: NFRegister(word: word).number) == NFRegister(word: word)) }
        // Four registers of the old kind begin where every fourth of the new kind does.
        #expect(NFRegister(number: 8) == .first)
        #expect(NFRegister(number: 99) == nil)
    }
}

@Suite("Drift")
struct DriftTests {
    private let table = NFTable(name: "t")
    private var chain: NFChain { table.baseChain("c", .filter, hook: .output, priority: 0) }
    private func ruleset(_ comments: [String]) -> NFRuleset {
        NFRuleset(table: table, chains: [chain], rules: comments.map { chain.rule($0, .counter) })
    }

    @Test func `is none between equals, whatever their elements are unless asked for`() {
        var actual = ruleset(["a", "b"])
        actual.elements["s"] = [NFElement(cgroup: 1)]
        #expect(ruleset(["a", "b"]).drift(from: actual) == [])
    }
    @Test func `is in the order and number of rules`() {
        #expect(ruleset(["a", "b"]).drift(from: ruleset(["b", "a"])) == ["chain inet t c has its rules in another order or number"])
        #expect(ruleset(["a", "b"]).drift(from: ruleset(["a", "b", "a"])) == ["chain inet t c has its rules in another order or number"])
        #expect(ruleset(["a", "b"]).drift(from: ruleset(["a"])) == ["rule inet t c \"b\" is missing or changed"])
        #expect(ruleset(["a"]).drift(from: ruleset(["a", "x"])) == ["rule inet t c \"x\" does not belong there"])
    }
    @Test func `is in the table itself`() {
        #expect(ruleset([]).drift(from: nil) == ["table inet t is missing"])
        var other = ruleset([])
        other.table.flags = .dormant
        #expect(ruleset([]).drift(from: other) == ["table inet t has other flags"])
    }
}
