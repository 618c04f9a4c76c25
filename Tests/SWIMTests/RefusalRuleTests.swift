import Platform
import Testing

@testable import SWIM

/// A process that is gone while its host is there: its ports refuse, and two members that saw it are believed.
@Suite struct RefusalRuleTests {
    private static func pings(_ bench: Bench) -> [Ping] { bench.sent.compactMap { if case .ping(let ping) = $0.message { ping } else { nil } } }

    /// A bench that was told to look at `a`, at once, and found its port refusing.
    private static func afterRefusal(_ peers: Int = 6) throws -> Bench {
        var bench = ProbeRuleTests.bench(peers)
        bench.step(.check("a"))
        let dial = try #require(bench.dials.first)
        bench.step(.dialFailed(dial.id, .refused))
        return bench
    }

    @Test func aCheckPingsByBothWaysAtOnceAndOutOfTurn() throws {
        var bench = ProbeRuleTests.bench(6)
        bench.step(.check("a"))
        #expect(Self.pings(bench).map(\.node) == ["a"])
        #expect(bench.dials.map(\.to) == [Bench.address(2)])
        ProbeRuleTests.acknowledge(&bench, Self.pings(bench)[0].sequence)
        bench.advance(.milliseconds(999))
        #expect(bench.state("a") == .alive)
        #expect(bench.core.counters.checks == 1)
        #expect(bench.core.probes.count <= 1)
    }

    @Test func checksAreBoundedForEachMemberAndAltogether() throws {
        var bench = ProbeRuleTests.bench(26)
        for _ in 0..<5 { bench.step(.check("a")) }
        #expect(bench.core.counters.checks == 1)
        for number in 1..<26 { bench.step(.check(ProbeRuleTests.name(number))) }
        #expect(bench.core.counters.checks == UInt64(SWIMLimits.checks))
        bench.step(.check("own"))
        bench.step(.check("stranger"))
        #expect(bench.core.probes.count <= SWIMLimits.checks + 1)
    }

    @Test func oneWitnessIsSuspicionAndTwoAreDeath() throws {
        var bench = try Self.afterRefusal()
        #expect(bench.state("a") == .alive, "an answer by UDP may be under way")
        bench.advance(.milliseconds(110))
        #expect(bench.state("a") == .suspect)
        #expect(bench.events.last?.cause == .refused(seenBy: ["own"]))
        #expect(bench.news().contains(.suspect(Accusation(incarnation: 1, node: "a", from: "own", sawRefusal: true))))
        // Others that found silence, and the same witness again, are confirmations and no more.
        bench.suspect("a", from: "b")
        bench.receive(.suspect(Accusation(incarnation: 1, node: "a", from: "own", sawRefusal: true)))
        #expect(bench.state("a") == .suspect)
        bench.receive(.suspect(Accusation(incarnation: 1, node: "a", from: "c", sawRefusal: true)))
        #expect(bench.state("a") == .dead)
        #expect(bench.events.last?.cause == .refused(seenBy: ["own", "c"]))
        #expect(bench.news().contains { if case .dead(let accusation) = $0 { accusation.node == "a" } else { false } })
    }

    @Test func twoWitnessesAreBelievedByWhoSawNothing() throws {
        var bench = ProbeRuleTests.bench(6)
        bench.suspect("a", from: "d")
        for witness in ["b", "c"] {
            #expect(bench.state("a") == .suspect)
            bench.receive(.suspect(Accusation(incarnation: 1, node: "a", from: witness, sawRefusal: true)))
        }
        #expect(bench.state("a") == .dead)
    }

    @Test func aSightingOfASuspectedMemberIsLookedIntoToo() throws {
        // With three members everybody who hears of a sighting looks.
        var bench = ProbeRuleTests.bench(2)
        bench.suspect("a", from: "b")
        #expect(bench.core.counters.checks == 0, "silence alone is no sighting")
        bench.receive(.suspect(Accusation(incarnation: 1, node: "a", from: "c", sawRefusal: true)))
        #expect(bench.core.counters.checks == 1 && bench.state("a") == .suspect)
        let dial = try #require(bench.dials.last { $0.to == Bench.address(2) })
        bench.step(.dialFailed(dial.id, .refused))
        bench.advance(.milliseconds(110))
        #expect(bench.state("a") == .dead, "both have seen it")
    }

    @Test func everyConfirmationIsToldWithWhoAndWhy() throws {
        var bench = ProbeRuleTests.bench(8)
        bench.suspect("a", from: "b")
        bench.clear()
        bench.suspect("a", from: "c")
        bench.suspect("a", from: "c")
        bench.receive(.suspect(Accusation(incarnation: 1, node: "a", from: "d", sawRefusal: true)))
        #expect(bench.events.map(\.kind) == [.confirmed, .confirmed], "the same member again confirms nothing")
        #expect(bench.events.map(\.by) == ["c", "d"] && bench.events.map(\.cause) == [.gossip, .refused(seenBy: ["d"])])
        bench.suspect("a", from: "e")
        #expect(bench.events.count == 2, "two were needed: who comes later changes nothing")
        #expect(bench.events.allSatisfy { $0.member.state == .suspect })
    }

    @Test func anAnswerByUDPOutweighsARefusalByTCP() throws {
        var bench = try Self.afterRefusal()
        ProbeRuleTests.acknowledge(&bench, Self.pings(bench)[0].sequence)
        bench.advance(.milliseconds(900))
        #expect(bench.state("a") == .alive)
    }

    @Test func aRefutationClearsTheWitnesses() throws {
        var bench = try Self.afterRefusal()
        bench.advance(.milliseconds(110))
        bench.alive("a", 2, incarnation: 2)
        bench.receive(.suspect(Accusation(incarnation: 2, node: "a", from: "c", sawRefusal: true)))
        #expect(bench.state("a") == .suspect)
    }

    @Test func ourOwnHealthDoesNotSufferFromARefusal() throws {
        var bench = try Self.afterRefusal()
        bench.advance(.milliseconds(900))
        #expect(bench.core.awareness == 0)
    }

    @Test func aFewOfThoseWhoHearOfARefusalLookToo() throws {
        var looked = 0
        for seed in 0..<200 as Range<UInt64> {
            var bench = ProbeRuleTests.bench(20)
            bench.random = SWIMRandom(seed: seed)
            bench.receive(.suspect(Accusation(incarnation: 1, node: "a", from: "b", sawRefusal: true)))
            looked += bench.dials.count
        }
        // Three of twenty-one on average.
        #expect((12...50).contains(looked), "\(looked) of 200")
    }
}
