import MeshModel
import Platform
import Testing

@testable import Catalog

@Suite struct WireTests {
    private let authority = Fake.authority("a")
    private static let root = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="

    private func delta() throws -> OriginDelta {
        var core = CatalogCore.test("a")
        try core.putNode()
        try core.putEndpoint("reviews.default", "192.0.2.1:80", version: "v1 \"quoted\" ü")
        try core.putEndpoint("ratings.default", "192.0.2.1:81")
        core.commit(.at(0))
        core.delete(.endpoint("ratings.default/192.0.2.1:81"))
        core.commit(.at(0))
        return core.own!.delta(after: Position(generation: 1, version: 1))!
    }

    @Test func everyMessageSurvivesTheWire() throws {
        var keptBack = try delta()
        keptBack.records[0].payload = nil
        let messages: [CatalogMessage] = [
            .hello(node: "a", versions: 1...3, life: 7), .digest(["a": Position(generation: 1_800_000_000, version: .max)], parts: .all),
            .digest([:], parts: .none), .digest([:], parts: PartSet([0, 5, 63])), .parts((0..<64).map { UInt64.max - $0 }), .parts([]),
            .overview(CatalogOverview(position: Position(generation: 3, version: 4), others: 5, digest: .max, asks: true)),
            .want(["b": .none]), .delta([try delta(), keptBack]), .delta([]),
        ]
        for message in messages {
            let (type, payload) = CatalogWire.encode(message)
            #expect(try CatalogWire.decode(type.rawValue, payload, authority: authority) == message)
        }
    }

    @Test(arguments: [
        (0x20, #"{"node":"a","minimum":1,"maximum":2,"mood":"good"}"#, CatalogMessage.hello(node: "a", versions: 1...2, life: 0)),
        (0x21, #"{"origins":{"a":[1,2,"later"]},"parts":18446744073709551615,"x":null}"#, .digest(["a": Position(generation: 1, version: 2)], parts: .all)),
        (0x22, #"{"origins":{},"x":{"y":[]}}"#, .want([:])), (0x25, #"{"parts":[1,18446744073709551615],"x":1}"#, .parts([1, .max])),
        (
            0x24, #"{"position":[1,2,3],"others":4,"digest":5,"asks":false,"x":[]}"#,
            .overview(CatalogOverview(position: Position(generation: 1, version: 2), others: 4, digest: 5, asks: false))
        ),
        (0x23, #"{"deltas":[],"x":1}"#, .delta([])),
    ])
    func unknownFieldsAreIgnored(_ type: UInt8, _ text: String, _ message: CatalogMessage) throws {
        #expect(try CatalogWire.decode(type, Array(text.utf8), authority: authority) == message)
    }

    static let unreadable: [(UInt8, String)] = [
        (0x20, "{}"), (0x20, #"{"node":"a","minimum":0,"maximum":2}"#), (0x20, #"{"node":"a","minimum":3,"maximum":2}"#), (0x21, ""), (0x21, "\u{0}"),
        (0x21, #"{"origins":{"a":[1]},"parts":1}"#), (0x21, #"{"origins":{},"parts":-1}"#), (0x21, #"{"origins":{}}"#), (0x21, #"{"origins":{"a":[-1,2]},"parts":1}"#),
        (0x21, #"{"origins":{"a":[1e30,2]},"parts":1}"#), (0x22, "[]"), (0x24, "{}"), (0x24, #"{"position":[1,2],"others":4,"digest":-5,"asks":false}"#), (0x25, #"{"parts":[1e30]}"#), (0x25, "[]"), (0x23, #"{"deltas":[{}]}"#), (0x42, "{}"),
        (0x23, #"{"deltas":[{"origin":"a","generation":1,"version":1,"records":[],"chain":["%"],"signature":"","root":""}]}"#),
        (
            0x23,
            #"{"deltas":[{"origin":"a","generation":1,"version":1,"records":[["node","a",1,null]],"chain":[],"#
                + #""signature":"","root":"\#(root)"}]}"#
        ),
    ]

    @Test(arguments: unreadable)
    func framesThatCannotBeReadAreFaults(_ type: UInt8, _ text: String) {
        #expect(throws: WireFault.self) { try CatalogWire.decode(type, Array(text.utf8), authority: authority) }
    }

    @Test func everyTruncationIsAFaultAndNoDamageIsACrash() throws {
        let (type, whole) = CatalogWire.encode(.delta([try delta()]))
        for count in stride(from: 0, to: whole.count, by: 23) {
            #expect(throws: WireFault.self) { try CatalogWire.decode(type.rawValue, Array(whole[..<count]), authority: authority) }
        }
        var random = Seeded(7)
        for _ in 0..<100 {
            var bytes = whole
            for _ in 0..<4 { bytes[Int.random(in: 0..<bytes.count, using: &random)] = UInt8.random(in: 0...255, using: &random) }
            guard let message = try? CatalogWire.decode(type.rawValue, bytes, authority: authority) else { continue }
            var core = CatalogCore.test("z")
            core.connected("m", .at(0))
            core.received(message, from: "m", .at(0))
            // Only what says the same as the origin signed may be taken: a change outside of the signed parts.
            let same = message == .delta([try delta()])
            #expect(same || core.counters.deltasApplied == 0)
        }
    }

    @Test func theSameContentIsTheSameBytes() {
        let one = JSON.encode(["b": 1, "a": 2])
        #expect(one == JSON.encode(["a": 2, "b": 1]))
    }
}
