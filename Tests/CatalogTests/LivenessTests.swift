import MeshModel
import Platform
import Testing

@testable import Catalog

@Suite struct LivenessTests {
    private func connected() throws -> Pair {
        var pair = Pair()
        try pair.a.putNode("192.0.2.1:15008")
        try pair.a.putEndpoint("reviews.default", "192.0.2.1:80")
        pair.a.commit(pair.now)
        pair.connect()
        return pair
    }

    @Test(arguments: [(Liveness.alive, true), (.suspect, true), (.dead, false), (.left, false)])
    func membershipDecidesOnTraffic(_ liveness: Liveness, _ reachable: Bool) throws {
        var pair = try connected()
        pair.b.liveness("a", liveness, pair.now)
        let view = pair.b.view()
        #expect(view.services[0].endpoints[0].reachable == reachable)
        #expect(view.nodes.first { $0.info.name == "a" }?.liveness == liveness)
    }

    @Test func whatOnlyGivesMoreCanWaitAndALossCannot() throws {
        var pair = try connected()
        func effects(_ liveness: Liveness) -> [CatalogEffect] {
            pair.b.effects = []
            pair.b.liveness("a", liveness, pair.now)
            return pair.b.drain()
        }
        #expect(effects(.alive) == [.viewImproved])
        #expect(effects(.suspect) == [.viewImproved], "it keeps its traffic")
        #expect(effects(.dead) == [.viewChanged])
        #expect(effects(.alive) == [.viewImproved])
        #expect(effects(.left) == [.viewChanged])
    }

    @Test func aNewLifeThatSaysTheSameChangesNothing() throws {
        var pair = try connected()
        let before = pair.b.view()
        var again = CatalogCore.test("a", generation: 9)
        try again.putNode("192.0.2.1:15008")
        try again.putEndpoint("reviews.default", "192.0.2.1:80")
        again.commit(pair.now)
        pair.b.effects = []
        pair.b.received(.delta([again.own!.whole]), from: "a", pair.now)
        #expect(pair.b.drain() == [.save("a")])
        #expect(pair.b.positions["a"] == Position(generation: 9, version: 2))
        #expect(pair.b.view().services == before.services)
        // What is another in a later one counts, and what is missing.
        var third = CatalogCore.test("a", generation: 10)
        try third.putNode("192.0.2.1:15008")
        try third.putEndpoint("reviews.default", "192.0.2.1:80", health: .unhealthy)
        third.commit(pair.now)
        pair.b.received(.delta([third.own!.whole]), from: "a", pair.now)
        #expect(pair.b.drain().contains(.viewChanged))
        #expect(pair.b.view().services[0].endpoints.map(\.usable) == [false])
    }

    @Test func theRecordsOfADeadNodeStayForTheGracePeriodAndDoNotComeBack() throws {
        var pair = try connected()
        pair.b.liveness("a", .dead, pair.now)
        pair.b.disconnected("a", pair.now)
        pair.b.tick(.at(3599))
        #expect(pair.b.view().services.count == 1)
        pair.b.tick(.at(3600))
        #expect(pair.b.view().services.isEmpty)
        #expect(pair.b.counters.originsDropped == 1)
        // A peer that still has them does not bring them back.
        pair.b.connected("c", .at(3601))
        pair.b.effects = []
        pair.b.received(.digest(["a": Position(generation: 1, version: 2)], parts: .all), from: "c", .at(3601))
        #expect(!pair.b.sent.contains { if case .want = $0 { true } else { false } })
        pair.b.received(.delta([pair.a.own!.whole]), from: "c", .at(3601))
        #expect(pair.b.view().services.isEmpty)
        // Its return does.
        pair.b.liveness("a", .alive, .at(3602))
        pair.b.received(.digest(["a": Position(generation: 1, version: 2)], parts: .all), from: "c", .at(3603))
        pair.b.received(.delta([pair.a.own!.whole]), from: "c", .at(3603))
        #expect(pair.b.view().services.count == 1)
    }

    @Test func aNewLifeOfADroppedNodeIsTakenAtOnce() throws {
        var pair = try connected()
        pair.b.liveness("a", .dead, pair.now)
        pair.b.disconnected("a", pair.now)
        pair.b.tick(.at(3600))
        var again = CatalogCore.test("a", generation: 9)
        try again.putEndpoint("reviews.default", "192.0.2.1:80")
        again.commit(.at(3601))
        pair.b.connected("c", .at(3601))
        pair.b.received(.delta([again.own!.whole]), from: "c", .at(3601))
        #expect(pair.b.view().services.count == 1)
    }

    @Test func aNodeUnknownToMembershipIsTrustedForAMinuteWithoutAStream() throws {
        var pair = try connected()
        #expect(pair.b.view().services[0].endpoints[0].reachable)
        pair.b.tick(.at(500))
        #expect(pair.b.view().services[0].endpoints[0].reachable, "the stream is up")
        pair.b.disconnected("a", .at(500))
        pair.b.tick(.at(559))
        #expect(pair.b.view().services[0].endpoints[0].reachable)
        pair.b.tick(.at(560))
        #expect(!pair.b.view().services[0].endpoints[0].reachable)
        pair.b.liveness("a", .alive, .at(561))
        #expect(pair.b.view().services[0].endpoints[0].reachable)
    }

    @Test func whatWasOnDiskIsStaleUntilTheNodeIsHeardOf() throws {
        let pair = try connected()
        let saved = pair.b.remote
        #expect(saved.map(\.origin) == ["a"])
        var restarted = CatalogCore.test("b", generation: 2)
        restarted.restore(saved, .at(0))
        #expect(
            restarted.view().services[0].endpoints[0]
                == .init(endpoint: pair.b.index.endpoint("a", "reviews.default/192.0.2.1:80")!, reachable: true, stale: true))
        // That others have the same proves nothing: they may have it from their disks.
        restarted.connected("c", .at(1))
        restarted.received(.digest(["a": Position(generation: 1, version: 2)], parts: .all), from: "c", .at(1))
        #expect(restarted.view().services[0].endpoints[0].stale)
        restarted.liveness("a", .alive, .at(2))
        #expect(!restarted.view().services[0].endpoints[0].stale)
    }

    @Test func aNodeFromDiskThatNobodyKnowsLosesTrafficAndIsDropped() throws {
        let pair = try connected()
        var restarted = CatalogCore.test("b", generation: 2)
        restarted.restore(pair.b.remote, .at(0))
        restarted.tick(.at(60))
        #expect(!restarted.view().services[0].endpoints[0].reachable)
        restarted.tick(.at(3600))
        #expect(restarted.view().services.isEmpty)
    }
}

extension CatalogIndex {
    func endpoint(_ origin: String, _ key: String) -> Endpoint? {
        var copy = self
        var conflicts: [CatalogEvent] = []
        return copy.build({ _ in .init(reachable: true, stale: false) }, conflicts: &conflicts).flatMap(\.endpoints).map(\.endpoint)
            .first { $0.node == origin && "\($0.service)/\($0.address)" == key }
    }
}
