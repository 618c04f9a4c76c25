import MeshModel
import Platform
import Testing

@testable import Catalog

@Suite struct CoreTests {
    @Test func localRecordsAreVisibleAtOnceAndSentWithTheCommit() throws {
        var core = CatalogCore.test("a")
        try core.putEndpoint("reviews.default", "192.0.2.7:9080", port: 9080)
        #expect(core.effects.contains(.viewChanged))
        #expect(core.view().service(ServiceName("reviews.default")!)?.service.port == 9080)
        #expect(core.knownPositions.isEmpty)
        core.commit(.at(0))
        #expect(core.knownPositions == ["a": Position(generation: 1, version: 1)])
        #expect(core.sent.isEmpty, "nobody is connected")
    }

    @Test func whatIsThereAlreadyIsNotWrittenAgain() throws {
        var core = CatalogCore.test("a")
        try core.putEndpoint("reviews.default", "192.0.2.7:9080")
        core.commit(.at(0))
        try core.putEndpoint("reviews.default", "192.0.2.7:9080")
        #expect(!core.isDirty)
        core.commit(.at(1))
        #expect(core.positions["a"]?.version == 1)
    }

    @Test func aRecordThatIsDeletedBeforeTheCommitIsNeverSent() throws {
        var core = CatalogCore.test("a")
        try core.putEndpoint("reviews.default", "192.0.2.7:9080")
        #expect(core.delete(.endpoint("reviews.default/192.0.2.7:9080")) == true)
        #expect(core.delete(.endpoint("reviews.default/192.0.2.7:9080")) == false)
        #expect(!core.isDirty)
        #expect(core.view().services.isEmpty)
    }

    @Test func connectedPeersExchangeEverythingBothWays() throws {
        var pair = Pair()
        try pair.a.putNode("192.0.2.1:15008")
        try pair.a.putEndpoint("reviews.default", "192.0.2.1:9080")
        try pair.b.putNode("192.0.2.2:15008")
        pair.a.commit(pair.now)
        pair.b.commit(pair.now)
        pair.connect()
        #expect(pair.a.knownPositions == pair.b.knownPositions)
        #expect(pair.b.view().services.map(\.service.name.description) == ["reviews.default"])
        #expect(pair.b.view().services[0].endpoints[0].endpoint.node == "a")
        #expect(pair.a.view().nodes.map(\.info.name) == ["a", "b"])
        #expect(pair.a.nodeAddresses == ["b": SocketAddress("192.0.2.2:15008")!])
    }

    @Test func aChangeIsPushedAsJustThatChange() throws {
        var pair = Pair()
        for host in 1...50 { try pair.a.putEndpoint("reviews.default", "192.0.2.\(host):80") }
        pair.a.commit(pair.now)
        pair.connect()
        try pair.a.putEndpoint("reviews.default", "192.0.2.7:80", health: .unhealthy)
        pair.a.commit(pair.now)
        let deltas = pair.a.sentDeltas
        #expect(deltas.count == 1 && deltas[0].records.count == 1 && deltas[0].from == 50)
        pair.settle()
        let usable = pair.b.view().services[0].endpoints.filter(\.usable)
        #expect(usable.count == 49)
    }

    @Test func deletionsReachPeersAsTombstones() throws {
        var pair = Pair()
        try pair.a.putEndpoint("reviews.default", "192.0.2.1:80")
        try pair.a.putEndpoint("ratings.default", "192.0.2.1:81")
        pair.a.commit(pair.now)
        pair.connect()
        pair.a.delete(.endpoint("reviews.default/192.0.2.1:80"))
        pair.a.commit(pair.now)
        pair.settle()
        #expect(pair.b.view().services.map(\.service.name.description) == ["ratings.default"])
        #expect(pair.b.logs["a"]?.tombstones.count == 1)
        // A peer that was away gets the deletion too.
        var late = CatalogCore.test("c")
        late.connected("b", pair.now)
        pair.b.connected("c", pair.now)
        pair.b.effects = []
        pair.b.received(.want(["a": Position(generation: 1, version: 2)]), from: "c", pair.now)
        #expect(pair.b.sentDeltas.first?.tombstones.map(\.key) == [.endpoint("reviews.default/192.0.2.1:80")])
    }

    @Test func whoseTombstonesAreForgottenSendsTheWholeSet() throws {
        var pair = Pair()
        try pair.a.putEndpoint("reviews.default", "192.0.2.1:80")
        try pair.a.putEndpoint("ratings.default", "192.0.2.1:81")
        pair.a.commit(pair.now)
        pair.connect()
        // b is cut off while a deletes, and the deletion's life passes.
        pair.b.disconnected("a", pair.now)
        pair.a.disconnected("b", pair.now)
        pair.a.delete(.endpoint("reviews.default/192.0.2.1:80"))
        pair.a.commit(pair.now)
        pair.a.tick(.at(3601))
        #expect(pair.a.own?.tombstones.isEmpty == true)
        pair.a.liveness("b", .alive, pair.now)
        pair.connect()
        #expect(pair.b.view().services.map(\.service.name.description) == ["ratings.default"])
    }

    @Test func aLostPushIsNoticedAndAskedFor() throws {
        var pair = Pair()
        try pair.a.putEndpoint("reviews.default", "192.0.2.1:80")
        pair.a.commit(pair.now)
        pair.connect()
        try pair.a.putEndpoint("ratings.default", "192.0.2.1:81")
        pair.a.commit(pair.now)
        _ = pair.a.drain()
        try pair.a.putEndpoint("details.default", "192.0.2.1:82")
        pair.a.commit(pair.now)
        pair.settle()
        #expect(pair.b.positions["a"]?.version == 3)
        #expect(pair.b.view().services.count == 3)
    }

    @Test func aHigherGenerationReplacesTheWholeOrigin() throws {
        var pair = Pair()
        try pair.a.putEndpoint("reviews.default", "192.0.2.1:80")
        try pair.a.putEndpoint("ratings.default", "192.0.2.1:81")
        pair.a.commit(pair.now)
        pair.connect()
        pair.b.disconnected("a", pair.now)
        pair.a = .test("a", generation: 2)
        try pair.a.putEndpoint("ratings.default", "192.0.2.1:81")
        pair.a.commit(pair.now)
        pair.connect()
        #expect(pair.b.view().services.map(\.service.name.description) == ["ratings.default"])
        #expect(pair.b.positions["a"] == Position(generation: 2, version: 1))
    }

    /// A copied machine, or a clock that was set back: both lives come to the same number, the same versions, and other records.
    @Test func twoLivesOfTheSameMomentAreToldApart() throws {
        for (first, second) in [(4, 9), (9, 4)] as [(UInt64, UInt64)] {
            var pair = Pair(.test("a", generation: Generation.after(0, seconds: 700, salt: first)))
            try pair.a.putEndpoint("reviews.default", "192.0.2.1:80")
            pair.a.commit(pair.now)
            pair.connect()
            pair.b.disconnected("a", pair.now)
            pair.a = .test("a", generation: Generation.after(0, seconds: 700, salt: second))
            try pair.a.putEndpoint("ratings.default", "192.0.2.1:81")
            pair.a.commit(pair.now)
            pair.connect()
            #expect(pair.b.view().services.map(\.service.name.description) == ["ratings.default"], "salts \(first) and \(second)")
        }
    }

    @Test func aNodeThatLostItsStateJumpsAboveWhatPeersRemember() throws {
        var pair = Pair(.test("a", generation: 500 << 20 | 9))
        try pair.a.putEndpoint("reviews.default", "192.0.2.1:80")
        pair.a.commit(pair.now)
        pair.connect()
        pair.b.disconnected("a", pair.now)
        // The clock went back and the state directory is gone.
        pair.a = .test("a", generation: 3 << 20 | 5)
        try pair.a.putEndpoint("ratings.default", "192.0.2.1:81")
        pair.a.commit(pair.now)
        pair.connect()
        let next: UInt64 = 501 << 20 | 5
        #expect(pair.a.effects.contains(.saveGeneration(next)))
        #expect(pair.a.events.contains(.generationJumped(from: 500 << 20 | 9, to: next)))
        #expect(pair.b.positions["a"]?.generation == next)
        #expect(pair.b.view().services.map(\.service.name.description) == ["ratings.default"])
        #expect(pair.a.counters.generationJumps == 1)
    }

    @Test func withoutACertificateChangesWaitAndAreSaidOnce() throws {
        var core = CatalogCore(
            node: "a", trustDomain: "shop.example", generation: 1, limits: CatalogLimits(), authority: Fake.authority("a", canSign: false))
        try core.putEndpoint("reviews.default", "192.0.2.1:80")
        core.commit(.at(0))
        core.tick(.at(1))
        #expect(core.isDirty)
        #expect(core.events.filter { $0 == .cannotSign }.count == 1)
        #expect(core.view().services.count == 1, "it works locally")
    }

    @Test func aNewCertificateSignsEverythingAgainWithoutSendingTheRecords() throws {
        var pair = Pair()
        for host in 1...20 { try pair.a.putEndpoint("reviews.default", "192.0.2.\(host):80") }
        pair.a.commit(pair.now)
        pair.connect()
        pair.a.resign(pair.now)
        #expect(pair.a.sentDeltas.first?.records.isEmpty == true)
        pair.settle()
        #expect(pair.b.positions["a"]?.version == 21)
        #expect(pair.b.view().services[0].endpoints.count == 20)
    }

    @Test func onlyOnePeerIsAskedForTheSameThing() throws {
        var core = CatalogCore.test("z")
        let theirs = ["x": Position(generation: 1, version: 5)]
        for peer in ["a", "b", "c"] {
            core.connected(peer, .at(0))
            core.received(.digest(theirs, parts: .all), from: peer, .at(0))
        }
        #expect(core.sent.filter { if case .want = $0 { true } else { false } }.count == 1)
        // The one that was asked goes away: another is asked what it has.
        core.effects = []
        core.disconnected("a", .at(0.1))
        #expect(core.sent.count == 1)
        // Or never answers.
        core.effects = []
        core.received(.digest(theirs, parts: .all), from: "b", .at(0.2))
        core.received(.digest(theirs, parts: .all), from: "c", .at(1))
        core.received(.digest(theirs, parts: .all), from: "c", .at(2.3))
        #expect(core.sent.filter { if case .want = $0 { true } else { false } }.count == 2)
    }

    @Test func aLargeAnswerIsSplitIntoMessages() throws {
        var limits = CatalogLimits()
        limits.messageBytes = 4_000
        var core = CatalogCore.test("z", limits: limits)
        for number in 0..<20 {
            var origin = CatalogCore.test("n\(number)")
            for host in 1...5 { try origin.putEndpoint("reviews.default", "192.0.2.\(host):80") }
            origin.commit(.at(0))
            core.restore([origin.own!.whole], .at(0))
        }
        core.connected("p", .at(0))
        core.effects = []
        core.received(.want(core.knownPositions.mapValues { _ in Position.none }), from: "p", .at(0))
        #expect(core.sent.count > 3)
        #expect(core.sentDeltas.count == 20)
    }
}
