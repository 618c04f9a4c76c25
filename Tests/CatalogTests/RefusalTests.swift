import MeshModel
import Platform
import Testing

@testable import Catalog

@Suite struct RefusalTests {
    /// What origin `a` signed: one endpoint.
    private func honest(_ change: (inout CatalogCore) throws -> Void = { try $0.putEndpoint("reviews.default", "192.0.2.1:80") }) rethrows
        -> OriginDelta
    {
        var origin = CatalogCore.test("a")
        try change(&origin)
        origin.commit(.at(0))
        return origin.own!.whole
    }
    private func receiver(_ limits: CatalogLimits = CatalogLimits()) -> CatalogCore {
        var core = CatalogCore.test("z", limits: limits)
        core.connected("m", .at(0))
        core.effects = []
        return core
    }

    /// Ways to tamper with what another node signed, and the reason that they are refused for.
    static let forgeries: [(String, String, @Sendable (inout OriginDelta) -> Void)] = [
        (
            "a changed record", "incomplete",
            { delta in
                let key = delta.records[0].key
                let payload = CatalogCore.endpointPayload("reviews.default", "198.51.100.66:80")
                let digest = Fake.authority("m").digest(key: key, version: delta.records[0].version, payload: payload)
                delta.records[0] = Record(key: key, version: delta.records[0].version, payload: payload, digest: digest)
            }
        ),
        (
            "an added record", "incomplete",
            { delta in
                let key = RecordKey.endpoint("evil.default/198.51.100.66:80")
                let payload = CatalogCore.endpointPayload("evil.default", "198.51.100.66:80")
                delta.records.append(
                    Record(key: key, version: 1, payload: payload, digest: Fake.authority("m").digest(key: key, version: 1, payload: payload)))
            }
        ),
        ("a record left out", "incomplete", { $0.records.removeLast() }),
        ("a deletion made up", "incomplete", { $0.tombstones.append(Tombstone(key: $0.records[0].key, version: $0.position.version)) }),
        (
            "a version raised", "bad_signature",
            { delta in
                delta.head = SignedHead(
                    origin: "a", position: Position(generation: 1, version: 1 << 40), root: delta.head.root, chain: delta.head.chain,
                    signature: delta.head.signature)
            }
        ),
        (
            "signed by the peer itself", "not_signer",
            { delta in
                let (chain, signature) = Fake.authority("m").sign(
                    SignedHead.signedBytes(origin: "a", position: delta.position, root: delta.head.root))!
                delta.head = SignedHead(origin: "a", position: delta.position, root: delta.head.root, chain: chain, signature: signature)
            }
        ),
        (
            "no certificate", "bad_signature",
            { delta in
                delta.head = SignedHead(origin: "a", position: delta.position, root: delta.head.root, chain: [], signature: delta.head.signature)
            }
        ),
        (
            "a name that is no node name", "bad_origin",
            { delta in
                delta.head = SignedHead(origin: "../etc", position: delta.position, root: delta.head.root, chain: [], signature: [])
            }
        ),
        (
            "generation 0", "bad_version",
            { delta in
                let position = Position(generation: 0, version: 1)
                let (chain, signature) = Fake.authority("a").sign(SignedHead.signedBytes(origin: "a", position: position, root: delta.head.root))!
                delta.head = SignedHead(origin: "a", position: position, root: delta.head.root, chain: chain, signature: signature)
            }
        ),
    ]

    @Test(arguments: forgeries.indices)
    func nobodyCanChangeWhatAnotherNodeSigned(_ index: Int) throws {
        let (name, code, forge) = Self.forgeries[index]
        var delta = try honest {
            try $0.putEndpoint("reviews.default", "192.0.2.1:80"); try $0.putEndpoint("ratings.default", "192.0.2.1:81")
        }
        forge(&delta)
        var core = receiver()
        core.connected("n", .at(0))
        core.effects = []
        core.received(.delta([delta]), from: "m", .at(1))
        #expect(core.counters.refused[code] == 1, "\(name): \(core.counters.refused.filter { $0.value > 0 })")
        #expect(core.view().services.isEmpty, "\(name)")
        #expect(core.knownPositions.isEmpty, "\(name)")
        let named = core.events.contains { if case .refused(_, origin: let origin, peer: "m") = $0 { origin == delta.origin } else { false } }
        #expect(named, "the event names origin and peer")
        // Nobody hears of it from here, asked or not.
        #expect(core.sentDeltas.isEmpty, "\(name)")
        core.effects = []
        core.received(.want([delta.origin: .none]), from: "n", .at(2))
        core.received(.digest([:], parts: .all), from: "n", .at(2))
        core.tick(.at(3))
        #expect(core.sent.allSatisfy { if case .digest(let positions, _) = $0 { positions[delta.origin] == nil } else { false } }, "\(name): \(core.sent)")
    }

    @Test func aForgeryDoesNotHideWhatIsTrue() throws {
        var core = receiver()
        core.connected("n", .at(0))
        // The peer claims to know far more of a than a ever said.
        core.received(.digest(["a": Position(generation: 1, version: 1 << 40)], parts: .none), from: "m", .at(0))
        var forged = try honest()
        forged.head = SignedHead(
            origin: "a", position: Position(generation: 1, version: 1 << 40), root: forged.head.root, chain: forged.head.chain,
            signature: forged.head.signature)
        core.received(.delta([forged]), from: "m", .at(0))
        core.received(.delta([try honest()]), from: "n", .at(0.1))
        #expect(core.view().services.count == 1)
        // And is not asked for it again at once.
        core.effects = []
        core.received(.digest(["a": Position(generation: 1, version: 1 << 40)], parts: .none), from: "m", .at(5))
        #expect(core.sent.isEmpty)
    }

    @Test func nobodyElseCanSpeakForThisNode() throws {
        var core = CatalogCore.test("a")
        try core.putEndpoint("reviews.default", "192.0.2.1:80")
        core.commit(.at(0))
        core.connected("m", .at(0))
        core.effects = []
        let position = Position(generation: 99, version: 9)
        let root = Fake.authority("m").digest([])
        let (chain, signature) = Fake.authority("m").sign(SignedHead.signedBytes(origin: "a", position: position, root: root))!
        let head = SignedHead(origin: "a", position: position, root: root, chain: chain, signature: signature)
        core.received(.delta([OriginDelta(from: nil, head: head, records: [], tombstones: [])]), from: "m", .at(1))
        #expect(core.counters.refused["not_signer"] == 1)
        #expect(core.positions["a"] == Position(generation: 1, version: 1))
        #expect(core.view().services.count == 1)
    }

    @Test func aPeerThatSendsNothingButRubbishIsCutOff() throws {
        var limits = CatalogLimits()
        limits.refusalsPerPeer = 10
        var core = receiver(limits)
        for index in 0..<11 { core.receivedMalformed("not JSON", from: "m", .at(Double(index) / 100)) }
        #expect(core.effects.contains(.disconnect("m")))
        #expect(core.counters.refused["malformed"] == 11)
    }

    // MARK: Bounds

    @Test func anOriginWithTooManyRecordsIsRefused() throws {
        let delta = try honest { for host in 1...20 { try $0.putEndpoint("reviews.default", "192.0.2.\(host):80") } }
        var limits = CatalogLimits()
        limits.recordsPerOrigin = 19
        var core = receiver(limits)
        core.received(.delta([delta]), from: "m", .at(1))
        #expect(core.counters.refused["too_many_records"] == 1)
    }

    @Test func anOriginWithTooManyBytesIsRefusedAndKeepsItsLastGoodState() throws {
        var limits = CatalogLimits()
        limits.bytesPerOrigin = 4_000
        var core = receiver(limits)
        var origin = CatalogCore.test("a")
        try origin.putEndpoint("reviews.default", "192.0.2.1:80")
        origin.commit(.at(0))
        core.received(.delta([origin.own!.whole]), from: "m", .at(1))
        for host in 2...30 { try origin.putEndpoint("reviews.default", "192.0.2.\(host):80") }
        origin.commit(.at(0))
        core.received(.delta([origin.own!.whole]), from: "m", .at(1))
        #expect(core.counters.refused["origin_too_large"] == 1)
        #expect(core.view().services[0].endpoints.count == 1)
    }

    @Test func moreOriginsThanTheBoundAreRefused() throws {
        var limits = CatalogLimits()
        limits.origins = 3
        var core = receiver(limits)
        for number in 0..<5 {
            var origin = CatalogCore.test("n\(number)")
            try origin.putEndpoint("reviews.default", "192.0.2.\(number + 1):80")
            origin.commit(.at(0))
            core.received(.delta([origin.own!.whole]), from: "m", .at(1))
        }
        #expect(core.knownPositions.count == 3)
        #expect(core.counters.refused["too_many_origins"] == 2)
    }

    @Test func anOriginThatChangesTooFastIsHeldBackAndCatchesUp() throws {
        var limits = CatalogLimits()
        limits.burstPerOrigin = 20
        limits.ratePerOrigin = 10
        var core = receiver(limits)
        core.connected("a", .at(0))
        var origin = CatalogCore.test("a")
        for round in 0..<40 {
            try origin.putEndpoint("reviews.default", "192.0.2.1:80", version: "v\(round)")
            origin.commit(.at(0))
            core.received(.delta([origin.own!.whole]), from: "a", .at(0))
        }
        #expect(core.counters.refused["too_fast"] == 30)
        #expect(core.positions["a"]?.version == 10)
        core.received(.delta([origin.own!.whole]), from: "a", .at(10))
        #expect(core.positions["a"]?.version == 40)
    }

    @Test func aRecordOfTenMegabytesIsRefusedAtTheEdgeAndFromOthers() throws {
        var origin = CatalogCore.test("a")
        let huge = [UInt8](repeating: 0x20, count: 10 << 20)
        #expect(throws: Refusal.recordTooLarge(.endpoint("x"), limit: 16 << 10)) { try origin.put(.endpoint("x"), payload: huge) }
        var limits = CatalogLimits()
        limits.bytesPerRecord = 100 << 20
        limits.bytesPerOrigin = 100 << 20
        var careless = CatalogCore.test("a", limits: limits)
        try careless.put(RecordKey(kind: "novel", name: "x"), payload: huge)
        careless.commit(.at(0))
        var core = receiver()
        core.received(.delta([careless.own!.whole]), from: "m", .at(1))
        #expect(core.counters.refused["origin_too_large"] == 1)
        #expect(core.knownPositions.isEmpty)
        // Whose it is and who sent it is told, and nobody gets it from here.
        #expect(core.effects.contains(.event(.refused(.originTooLarge(limit: CatalogLimits().bytesPerOrigin), origin: "a", peer: "m"))))
        #expect(core.effects.allSatisfy { if case .send(.delta, _) = $0 { false } else if case .broadcast = $0 { false } else { true } })
        core.connected("q", .at(2))
        core.effects = []
        core.received(.want(["a": .none]), from: "q", .at(2))
        #expect(core.effects.isEmpty)
    }
}

@Suite struct RefusalEventTests {
    @Test func wordsOfPeersCannotWriteOnTheTerminal() {
        let refusal = Refusal.invalidRecord(.endpoint("\u{1b}[2Jevil\n"), "\u{9b}31m" + String(repeating: "x", count: 5_000))
        #expect(!refusal.description.unicodeScalars.contains { $0.value < 32 || 0x7f...0x9f ~= $0.value })
        #expect(refusal.description.count <= 512)
        #expect(!CatalogEvent.refused(.malformed("a"), origin: "\u{1b}c", peer: "m").description.contains("\u{1b}"))
    }

    @Test func aFloodOfRefusalsIsCountedButNotToldOneByOne() {
        var core = CatalogCore.test("z")
        core.connected("m", .at(0))
        for index in 0..<500 { core.receivedMalformed("\(index)", from: "m", .at(Double(index) / 1_000)) }
        #expect(core.counters.refused["malformed"] == 500)
        #expect(core.events.count == 20)
        #expect(core.counters.untold == 480)
    }

    @Test func deletionsAreRememberedUpToTheBound() throws {
        var limits = CatalogLimits()
        limits.tombstonesPerOrigin = 16
        var core = CatalogCore.test("a", limits: limits)
        for host in 1...100 {
            try core.putEndpoint("reviews.default", "192.0.2.\(host):80")
            core.commit(.at(0))
            core.delete(.endpoint("reviews.default/192.0.2.\(host):80"))
            core.commit(.at(0))
        }
        #expect(core.own!.tombstones.count <= 16)
        #expect(core.own!.floor > 100)
        // Who knew an early version gets everything, who knew a late one only the rest.
        #expect(core.own!.delta(after: Position(generation: 1, version: 50))?.from == nil)
        #expect(core.own!.delta(after: Position(generation: 1, version: 198))?.from == 198)
    }

    @Test func whatGrowsOnTheWireIsNotTaken() {
        var core = CatalogCore.test("a")
        #expect(throws: Refusal.self) { try core.put(RecordKey(kind: "blob", name: "x"), payload: [UInt8](repeating: 1, count: 100)) }
    }
}
