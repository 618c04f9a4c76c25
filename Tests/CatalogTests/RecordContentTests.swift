import MeshModel
import Platform
import Testing

@testable import Catalog

@Suite struct RecordContentTests {
    private static let good =
        #"{"service":"reviews.default","port":9080,"address":"192.0.2.7:9080","identity":"spiffe://shop.example/ns/default/sa/reviews"}"#

    private func read(_ key: RecordKey, _ text: String, loopback: Bool = false) -> Result<RecordContent, Refusal> {
        var limits = CatalogLimits()
        limits.allowLoopback = loopback
        return Result { () throws(Refusal) in
            try RecordContent.read(key, Array(text.utf8), origin: "a", trustDomain: "shop.example", limits: limits)
        }
    }

    @Test func anEndpointNeedsFourFieldsAndIgnoresUnknownOnes() throws {
        let text = Self.good.dropLast() + #","futuristic":{"x":[1,2]},"health":"feverish"}"#
        guard case .endpoint(let endpoint, port: 9080) = try read(.endpoint("e"), String(text)).get() else { return #expect(Bool(false)) }
        #expect(endpoint.node == "a" && endpoint.weight == 1 && endpoint.health == .unknown)
    }

    /// Something in the good record, what it is replaced with, and a word of the reason.
    static let bad: [(String, String, String)] = [
        ("reviews.default\"", "reviews\"", "name.namespace"),
        ("reviews.default\"", "Reviews.default\"", "name.namespace"),
        ("\"port\":9080", "\"port\":0", "port"),
        ("\"port\":9080", "\"port\":70000", "JSON"),
        ("\"port\":9080", "\"port\":\"http\"", "wrong type"),
        ("\"port\":9080,", "", "missing"),
        ("192.0.2.7:9080", "192.0.2.7:0", "port 0"),
        ("192.0.2.7:9080", "192.0.2.7", "address:port"),
        ("192.0.2.7:9080", "reviews:9080", "address:port"),
        ("192.0.2.7:9080", "127.0.0.1:9080", "loopback"),
        ("192.0.2.7:9080", "[::1]:9080", "loopback"),
        ("192.0.2.7:9080", "[::ffff:127.0.0.1]:9080", "loopback"),
        ("192.0.2.7:9080", "0.0.0.0:9080", "one host"),
        ("192.0.2.7:9080", "[::]:9080", "one host"),
        ("192.0.2.7:9080", "224.0.0.1:9080", "one host"),
        ("192.0.2.7:9080", "[ff02::1]:9080", "one host"),
        ("192.0.2.7:9080", "255.255.255.255:9080", "one host"),
        ("192.0.2.7:9080", "[fe80::1]:9080", "link-local"),
        ("192.0.2.7:9080", "240.240.1.1:9080", "virtual"),
        ("192.0.2.7:9080", "[fd77:6566:7400::1]:9080", "virtual"),
        ("spiffe://shop.example/ns/default/sa/reviews", "spiffe://other.example/ns/default/sa/reviews", "trust domain"),
        ("spiffe://shop.example/ns/default/sa/reviews", "spiffe://shop.example/node/a", "not a workload"),
        ("spiffe://shop.example/ns/default/sa/reviews", "spiffe://shop.example/ns/bank/sa/reviews", "cannot serve"),
        ("spiffe://shop.example/ns/default/sa/reviews", "reviews", "not a workload"),
        ("\"port\"", "\"weight\":0,\"port\"", "weight"),
        ("\"port\"", "\"weight\":1000001,\"port\"", "weight"),
        ("\"port\"", "\"version\":\"v1\\u0007\",\"port\"", "control"),
        ("\"port\"", "\"labels\":{\"a\":\"\\u001b[2J\"},\"port\"", "control"),
        ("{", "", "JSON"),
    ]

    @Test(arguments: bad)
    func badEndpointsAreRefusedWithTheReason(_ part: String, _ replacement: String, _ word: String) throws {
        guard let range = Self.good.firstRange(of: part) else { return #expect(Bool(false), "the good record has no \(part)") }
        var text = Self.good
        text.replaceSubrange(range, with: replacement)
        guard case .failure(let refusal) = read(.endpoint("e"), text) else { return #expect(Bool(false), "accepted \(text)") }
        #expect(refusal.description.contains(word), "\(refusal)")
    }

    @Test func loopbackIsAllowedWhereConfigured() {
        let text = Self.good.replacing("192.0.2.7:9080", with: "127.0.0.1:9080")
        #expect(throws: Never.self) { try self.read(.endpoint("e"), text, loopback: true).get() }
    }

    @Test(arguments: [
        (#"{"name":"a","tunnel":"192.0.2.1:15008"}"#, "a", true), (#"{"name":"b","tunnel":"192.0.2.1:15008"}"#, "a", false),
        (#"{"name":"a","tunnel":"192.0.2.1:15008"}"#, "b", false), (#"{"name":"a","tunnel":"240.240.0.9:15008"}"#, "a", false),
        (#"{"name":"a","tunnel":"192.0.2.1:0"}"#, "a", false), (#"{"name":"a"}"#, "a", false), ("[]", "a", false), ("", "a", false),
    ])
    func aNodeDescribesItselfOnly(_ text: String, _ key: String, _ isGood: Bool) {
        let result = read(.node(key), text)
        #expect(((try? result.get()) != nil) == isGood)
    }

    @Test func kindsOfTheFutureAreKeptAndPassedOn() throws {
        var pair = Pair()
        let payload = Array(#"{"anything":["goes"]}"#.utf8)
        try pair.a.put(RecordKey(kind: "rollout", name: "x"), payload: payload)
        try pair.a.putEndpoint("reviews.default", "192.0.2.1:80")
        pair.a.commit(pair.now)
        pair.connect()
        #expect(pair.b.view().services.count == 1)
        var far = Pair(pair.b, .test("c"))
        far.a.disconnected("a", far.now)
        far.connect()
        #expect(far.b.logs["a"]?.records[RecordKey(kind: "rollout", name: "x")]?.payload == payload)
        #expect(throws: Refusal.self) { try pair.a.put(RecordKey(kind: "rollout", name: "x"), payload: [0xff, 0xfe]) }
    }

    // MARK: A bad record among good ones

    /// An origin whose own checks are looser: it publishes a record that others refuse.
    private func careless() throws -> CatalogCore {
        var limits = CatalogLimits()
        limits.allowLoopback = true
        var core = CatalogCore.test("a", limits: limits)
        try core.putEndpoint("reviews.default", "127.0.0.1:80")
        try core.putEndpoint("ratings.default", "192.0.2.1:81")
        core.commit(.at(0))
        return core
    }

    @Test func aBadRecordIsRefusedAndTheRestIsUsed() throws {
        var pair = Pair(try careless())
        pair.connect()
        #expect(pair.b.view().services.map(\.service.name.description) == ["ratings.default"])
        #expect(pair.b.counters.refused["invalid_record"] == 1)
        let named = pair.b.events.contains {
            if case .refused(.invalidRecord(.endpoint("reviews.default/127.0.0.1:80"), _), origin: "a", peer: "a") = $0 { true } else { false }
        }
        #expect(named)
        #expect(pair.b.positions["a"] == pair.a.positions["a"], "it is not asked for again")
    }

    @Test func aBadRecordIsNeverPassedOn() throws {
        var pair = Pair(try careless())
        pair.connect()
        var next = Pair(pair.b, .test("c"))
        next.a.disconnected("a", next.now)
        next.connect()
        let record = next.b.logs["a"]?.records[.endpoint("reviews.default/127.0.0.1:80")]
        #expect(record != nil && record?.payload == nil)
        #expect(next.b.view().services.map(\.service.name.description) == ["ratings.default"])
        #expect(next.b.counters.withheld == 1)
    }

    @Test func whatAPeerKeptBackIsAskedOfTheOrigin() throws {
        var limits = CatalogLimits()
        limits.allowLoopback = true
        var pair = Pair(try careless())
        pair.connect()
        var next = Pair(pair.b, .test("c", limits: limits))
        next.a.disconnected("a", next.now)
        next.connect()
        #expect(next.b.view().services.count == 1)
        // A stream to the origin: for this node the record is good.
        var direct = Pair(pair.a, next.b)
        direct.a.disconnected("b", direct.now)
        direct.b.disconnected("b", direct.now)
        direct.connect()
        #expect(direct.b.view().services.count == 2)
    }

    // MARK: Conflicts

    @Test func whenNodesDisagreeOnAPortTheSmallestNameDecidesAndItIsSaidOnce() throws {
        var core = CatalogCore.test("z")
        for (name, port) in [("b", UInt16(9080)), ("c", 9090), ("d", 9080)] {
            var origin = CatalogCore.test(name)
            try origin.putEndpoint("reviews.default", "192.0.2.1:80", port: port)
            origin.commit(.at(0))
            core.restore([origin.own!.whole], .at(0))
        }
        let view = core.view()
        #expect(view.services[0].service.port == 9080)
        #expect(view.services[0].endpoints.count == 3)
        let conflict = CatalogEvent.portConflict(ServiceName("reviews.default")!, chosen: 9080, others: [9090: ["c"]])
        #expect(core.events.filter { $0 == conflict }.count == 1)
        core.effects = []
        core.liveness("d", .dead, .at(1))
        _ = core.view()
        #expect(!core.events.contains(conflict))
        #expect(conflict.description.contains("c said 9090"))
    }
}
