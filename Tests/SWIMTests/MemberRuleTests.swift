import Platform
import Testing

@testable import SWIM

/// memberlist-protocol §10, rule by rule.
@Suite struct MemberRuleTests {
    /// What a claim does to a member held in a state at incarnation 5.
    struct Rule: Sendable, CustomTestStringConvertible {
        enum Claim: Sendable { case alive, suspect, dead, left }
        var held: MemberState
        var claim: Claim
        var incarnation: UInt32
        var becomes: MemberState
        init(_ held: MemberState, _ claim: Claim, _ incarnation: UInt32, _ becomes: MemberState) {
            self.held = held
            self.claim = claim
            self.incarnation = incarnation
            self.becomes = becomes
        }
        var testDescription: String { "\(held) at 5, told \(claim) at \(incarnation), is \(becomes)" }
    }

    static let rules: [Rule] = [
        Rule(.alive, .alive, 4, .alive), Rule(.alive, .alive, 5, .alive), Rule(.alive, .alive, 6, .alive),
        Rule(.alive, .suspect, 4, .alive), Rule(.alive, .suspect, 5, .suspect), Rule(.alive, .suspect, 6, .suspect),
        Rule(.alive, .dead, 4, .alive), Rule(.alive, .dead, 5, .dead), Rule(.alive, .left, 5, .left), Rule(.alive, .left, 4, .alive),
        Rule(.suspect, .alive, 5, .suspect), Rule(.suspect, .alive, 6, .alive), Rule(.suspect, .suspect, 6, .suspect),
        Rule(.suspect, .dead, 4, .suspect), Rule(.suspect, .dead, 5, .dead), Rule(.suspect, .left, 5, .left),
        Rule(.dead, .alive, 5, .dead), Rule(.dead, .alive, 6, .alive), Rule(.dead, .suspect, 6, .dead), Rule(.dead, .dead, 9, .dead),
        Rule(.dead, .left, 9, .dead),
        Rule(.left, .alive, 5, .left), Rule(.left, .alive, 6, .alive), Rule(.left, .suspect, 6, .left), Rule(.left, .dead, 6, .left),
    ]

    static func bench(holding state: MemberState) -> Bench {
        var bench = Bench()
        bench.alive("m", 2, incarnation: 5)
        switch state {
        case .alive: break
        case .suspect: bench.suspect("m", incarnation: 5)
        case .dead: bench.dead("m", incarnation: 5)
        case .left: bench.dead("m", incarnation: 5, from: "m")
        }
        bench.clear()
        return bench
    }

    @Test(arguments: rules)
    func aClaimOverridesOnlyWhatItMay(_ rule: Rule) {
        var bench = Self.bench(holding: rule.held)
        #expect(bench.state("m") == rule.held)
        _ = bench.news()
        switch rule.claim {
        case .alive: bench.alive("m", 2, incarnation: rule.incarnation)
        case .suspect: bench.suspect("m", incarnation: rule.incarnation)
        case .dead: bench.dead("m", incarnation: rule.incarnation)
        case .left: bench.dead("m", incarnation: rule.incarnation, from: "m")
        }
        #expect(bench.state("m") == rule.becomes)
        // Whoever sees a state change tells its reader once, and the pool.
        #expect(bench.events.isEmpty == (rule.held == rule.becomes))
        #expect(bench.core.liveCount == (rule.becomes.isLive ? 2 : 1))
    }

    @Test func newsIsPassedOnAndOldNewsIsNot() {
        var bench = Bench()
        bench.alive("m", 2, incarnation: 3)
        let alive = Message.alive(Alive(incarnation: 3, node: "m", address: Bench.address(2), meta: [], versions: PoolKind.serf.versions))
        #expect(bench.news().contains(alive))
        // One of each name waits: the accusation takes the place of the news that it contradicts.
        bench.suspect("m", incarnation: 3)
        let news = bench.news()
        #expect(!news.contains(alive))
        #expect(news.contains(.suspect(Accusation(incarnation: 3, node: "m", from: "judge"))))
        bench.suspect("stranger")
        bench.dead("stranger")
        #expect(!bench.news().contains { if case .suspect(let accusation) = $0 { accusation.node == "stranger" } else { false } })
        #expect(bench.core.members.count == 2)
    }

    @Test func newsIsSentALimitedNumberOfTimes() {
        var bench = Bench()
        bench.alive("m", 2)
        // Two members: 4 × ⌈log10 3⌉ = 4 transmissions.
        var times = 0
        for _ in 0..<20 {
            times += bench.news().filter { if case .alive(let alive) = $0 { alive.node == "m" } else { false } }.count
        }
        #expect(times == 4)
    }

    // MARK: About ourselves

    @Test(arguments: [MemberState.suspect, .dead, .left])
    func anAccusationAgainstUsIsRefutedAboveIt(_ state: MemberState) {
        var bench = Bench()
        bench.alive("peer", 9)
        bench.clear()
        switch state {
        case .suspect: bench.suspect("own", incarnation: 7)
        case .dead: bench.dead("own", incarnation: 7)
        default: bench.dead("own", incarnation: 7, from: "own")
        }
        #expect(bench.ownIncarnation == 8)
        #expect(bench.state("own") == .alive)
        #expect(bench.core.awareness == 1)
        #expect(bench.core.counters.refutations == 1)
        #expect(bench.news().contains { if case .alive(let alive) = $0 { alive.node == "own" && alive.incarnation == 8 } else { false } })
        // The accuser hears it first.
        #expect(bench.sent.contains { $0.to == Bench.address(9) })
    }

    @Test func anOldAccusationAgainstUsIsIgnored() {
        var bench = Bench()
        bench.step(.setMeta([1]))
        bench.suspect("own", incarnation: 1)
        #expect(bench.ownIncarnation == 2)
        #expect(bench.core.counters.refutations == 0)
    }

    @Test func anImpossibleIncarnationIsRefusedSoThatOursCannotWrap() {
        var bench = Bench()
        for _ in 0..<3 { bench.suspect("own", incarnation: .max) }
        #expect(bench.ownIncarnation == 1)
        #expect(bench.refusals == [.implausibleIncarnation, .implausibleIncarnation, .implausibleIncarnation])
        // The highest that is believed can still be refuted, and others will believe the refutation.
        bench.suspect("own", incarnation: SWIMLimits.incarnation - 1)
        #expect(bench.ownIncarnation == SWIMLimits.incarnation)
        #expect(bench.news().contains { if case .alive(let alive) = $0 { alive.incarnation == SWIMLimits.incarnation } else { false } })
    }

    @Test func somebodyElsesIdeaOfUsIsRefutedUnlessItIsOurs() {
        var bench = Bench()
        let own = bench.core.member("own")!
        bench.receive(.alive(Alive(incarnation: 1, node: "own", address: Bench.own, meta: own.meta, versions: own.versions)))
        #expect(bench.ownIncarnation == 1)
        bench.receive(.alive(Alive(incarnation: 1, node: "own", address: Bench.own, meta: [9], versions: own.versions)))
        #expect(bench.ownIncarnation == 2)
        bench.receive(.alive(Alive(incarnation: 6, node: "own", address: Bench.own, meta: own.meta, versions: own.versions)))
        #expect(bench.ownIncarnation == 7)
    }

    @Test func aRestartThatTheOldSelfOutlivedCatchesUpWithItsIncarnation() {
        // Others still hold us alive at 6 from before the restart.
        var bench = Bench()
        let state = NodeState(name: "own", address: Bench.own, incarnation: 6, meta: [], state: .alive, versions: PoolKind.serf.versions)
        bench.merge([state])
        #expect(bench.ownIncarnation == 7)
    }

    // MARK: Names and addresses

    @Test func aNameInUseAtAnotherAddressIsAConflict() {
        var bench = Bench()
        bench.alive("m", 2, incarnation: 1)
        bench.alive("m", 3, incarnation: 9)
        #expect(bench.core.member("m")?.address == Bench.address(2))
        #expect(bench.refusals == [.nameConflict])
        bench.receive(.alive(Alive(incarnation: 9, node: "own", address: Bench.address(4), meta: [], versions: PoolKind.serf.versions)))
        #expect(bench.ownIncarnation == 1)
        #expect(bench.core.counters[.nameConflict] == 2)
    }

    private static func pings(_ bench: Bench, to number: Int) -> [Ping] {
        bench.sent.compactMap { if case .ping(let ping) = $0.message, $0.to == Bench.address(number) { ping } else { nil } }
    }

    @Test func aClaimAsksBothOnceInAWhileAndIsToldWhenBothAnswer() throws {
        var bench = Bench()
        bench.alive("m", 2, incarnation: 1)
        bench.clear()
        bench.alive("m", 3, incarnation: 9)
        let (member, claimant) = (try #require(Self.pings(bench, to: 2).first), try #require(Self.pings(bench, to: 3).first))
        #expect(member.node == "m" && claimant.node == "m" && member.sequence != claimant.sequence)
        bench.alive("m", 3, incarnation: 9)
        bench.alive("m", 4, incarnation: 9)
        #expect(Self.pings(bench, to: 3).count == 1 && Self.pings(bench, to: 4).isEmpty, "one claimant, asked once in ten seconds")
        bench.receive(.ack(Ack(sequence: claimant.sequence, payload: nil)))
        #expect(bench.events.isEmpty, "the member may be gone")
        bench.receive(.ack(Ack(sequence: member.sequence, payload: nil)))
        #expect(bench.kinds == [.contested] && bench.events[0].cause == .claimed(by: Bench.address(3)) && bench.core.counters.contests == 1)
        bench.receive(.ack(Ack(sequence: claimant.sequence, payload: nil)))
        #expect(bench.kinds == [.contested], "an answer counts once")
    }

    @Test func aClaimOfWhichOnlyTheMemberAnswersIsOldNews() throws {
        var bench = Bench()
        bench.alive("m", 2, incarnation: 1)
        bench.clear()
        bench.alive("m", 3, incarnation: 9)
        let member = try #require(Self.pings(bench, to: 2).first)
        bench.receive(.ack(Ack(sequence: member.sequence, payload: nil)))
        bench.advance(.milliseconds(600))
        #expect(bench.core.claimants.isEmpty && bench.kinds.isEmpty && bench.core.contests(bench.now).isEmpty)
        #expect(bench.core.member("m")?.address == Bench.address(2))
    }

    @Test func aClaimTakesTheNameWhenTheMemberDiesAndItsTimeIsOver() throws {
        var bench = Bench()
        bench.alive("m", 2, incarnation: 7)
        bench.alive("m", 3, incarnation: 1, meta: [5])
        bench.dead("m", incarnation: 7)
        bench.advance(.milliseconds(4900))
        #expect(bench.state("m") == .dead)
        bench.advance(.milliseconds(200))
        #expect(bench.state("m") == .alive && bench.core.member("m")?.address == Bench.address(3) && bench.core.member("m")?.meta == [5])
        #expect(bench.news().contains { if case .alive(let alive) = $0 { alive.address == Bench.address(3) } else { false } }, "and others hear of it")
        // At once when the member says itself that it goes; never when the claim is minutes old.
        bench.alive("p", 4, incarnation: 1)
        bench.alive("p", 5, incarnation: 1)
        bench.dead("p", incarnation: 1, from: "p")
        #expect(bench.core.member("p")?.address == Bench.address(5) && bench.state("p") == .alive)
        bench.alive("q", 6, incarnation: 1)
        bench.alive("q", 7, incarnation: 1)
        bench.freeze(.seconds(121))
        bench.dead("q", incarnation: 1, from: "q")
        #expect(bench.state("q") == .left)
    }

    @Test func ourOwnNameAtAnAddressThatIsDesertedIsOutbidAndOneThatAnswersIsNot() throws {
        for answers in [false, true] {
            var bench = Bench()
            bench.receive(.alive(Alive(incarnation: 6, node: "own", address: Bench.address(4), meta: [], versions: PoolKind.serf.versions)))
            let ping = try #require(Self.pings(bench, to: 4).first)
            if answers { bench.receive(.ack(Ack(sequence: ping.sequence, payload: nil))) }
            bench.advance(.milliseconds(600))
            #expect(bench.ownIncarnation == (answers ? 1 : 7))
            #expect(bench.kinds == (answers ? [.contested] : []) && bench.core.awareness == 0)
        }
    }

    @Test func claimsAreBounded() {
        var bench = Bench()
        for number in 0..<100 { bench.alive("m\(number)", 100 + number) }
        bench.clear()
        for number in 0..<100 { bench.alive("m\(number)", 300 + number, incarnation: 2) }
        #expect(bench.core.claimants.count == SWIMLimits.checks && bench.core.counters.checks == UInt64(SWIMLimits.checks))
        #expect(bench.core.counters[.nameConflict] == 100)
        bench.advance(.seconds(1))
        #expect(bench.core.claimants.isEmpty)
    }

    @Test func aNameMayMoveWhenItsOwnerLeftOrIsDeadForLongEnough() {
        var left = Self.bench(holding: .left)
        left.alive("m", 3, incarnation: 1)
        #expect(left.core.member("m")?.address == Bench.address(3))
        #expect(left.state("m") == .alive)

        var dead = Self.bench(holding: .dead)
        dead.alive("m", 3, incarnation: 1)
        #expect(dead.state("m") == .dead)
        dead.freeze(.seconds(6))
        dead.alive("m", 3, incarnation: 1)
        #expect(dead.core.member("m")?.address == Bench.address(3))
        #expect(dead.kinds.last == .joined)
    }

    @Test func metadataChangesAreToldWithTheirOwner() {
        var bench = Bench()
        bench.alive("m", 2, incarnation: 1, meta: [1])
        bench.clear()
        bench.alive("m", 2, incarnation: 2, meta: [1])
        #expect(bench.events.isEmpty)
        bench.alive("m", 2, incarnation: 3, meta: [2])
        #expect(bench.kinds == [.updated])
        #expect(bench.events[0].member.meta == [2])
        #expect(bench.events[0].by == "m")
    }

    @Test func ourOwnMetadataAreAnnouncedAboveTheOld() {
        var bench = Bench()
        bench.step(.setMeta([1, 2]))
        #expect(bench.ownIncarnation == 2)
        bench.step(.setMeta([1, 2]))
        #expect(bench.ownIncarnation == 2)
        bench.step(.setMeta([UInt8](repeating: 0, count: SWIMLimits.metaBytes + 1)))
        #expect(bench.core.member("own")?.meta == [1, 2])
    }

    @Test(arguments: [
        ("10.0.0.2:0", Refusal.badAddress), ("0.0.0.0:7946", .badAddress), ("224.0.0.1:7946", .badAddress), ("[ff02::1]:7946", .badAddress),
    ])
    func anAddressNobodyCanBeReachedAtIsRefused(_ address: String, _ reason: Refusal) {
        var bench = Bench()
        bench.receive(.alive(Alive(incarnation: 1, node: "m", address: SocketAddress(address)!, meta: [], versions: PoolKind.serf.versions)))
        #expect(bench.refusals == [reason])
        #expect(bench.core.members.count == 1)
    }

    @Test(arguments: ["", "a\u{1}b", String(repeating: "n", count: 256)])
    func anImpossibleNameIsRefused(_ name: String) {
        var bench = Bench()
        bench.alive(name, 2)
        #expect(bench.refusals == [.badName])
    }

    @Test func contradictoryVersionsAreRefused() {
        var bench = Bench()
        bench.alive("m", 2, versions: ProtocolVersions(5, 1, 2, 0, 0, 0))
        #expect(bench.refusals == [.incompatible])
    }

    @Test func theMemberListIsBounded() {
        var bench = Bench()
        for number in 0..<(SWIMLimits.members + 50) { bench.alive("m\(number)", 2 + number) }
        #expect(bench.core.members.count == SWIMLimits.members)
        #expect(bench.core.counters[.full] == 51)
        #expect(bench.core.queuedBroadcasts <= SWIMLimits.members + 1)
    }

    @Test func whatTheMembersTakeInAnExchangeIsBoundedAndStillCanBeExchanged() throws {
        var bench = Bench()
        bench.alive("friend", 2)
        for number in 0..<1200 { bench.alive("m\(number)", 3 + number, meta: [UInt8](repeating: 1, count: SWIMLimits.acceptedMetaBytes)) }
        #expect(bench.core.counters[.full] > 100)
        // Nor can one who is in grow without a bound.
        let refused = bench.core.counters[.full]
        bench.alive("friend", 2, incarnation: 2, meta: [UInt8](repeating: 1, count: SWIMLimits.acceptedMetaBytes))
        #expect(bench.core.counters[.full] == refused + 1)
        #expect(bench.core.member("friend")?.incarnation == 1)
        // A newcomer is answered with what it can read.
        bench.merge([])
        guard case .pushPull(let state)? = try #require(bench.replies.last).message else { return #expect(Bool(false), "no state was sent") }
        #expect(state.nodes.count == bench.core.members.count)
        // Who is forgotten makes room.
        bench.receive(.dead(Accusation(incarnation: 1, node: "m0", from: "m0")))
        bench.advance(.seconds(100))
        #expect(bench.core.member("m0") == nil)
        bench.alive("late", 5000, meta: [1, 2])
        #expect(bench.core.member("late") != nil)
    }

    @Test func aMemberWithoutVersionsCanBePassedOn() throws {
        var bench = Bench()
        bench.alive("old", 3, versions: ProtocolVersions(0, 0, 0, 0, 0, 0))
        #expect(bench.core.member("old") != nil)
        bench.merge([])
        guard case .pushPull(let state)? = try #require(bench.replies.last).message else { return #expect(Bool(false), "the state cannot be read") }
        #expect(state.nodes.map(\.name) == ["own", "old"])
        #expect(bench.news().contains { if case .alive(let alive) = $0 { alive.node == "old" } else { false } })
    }

    // MARK: Forgetting

    @Test func theDeadAreForgottenAfterAWhileAndCalledAgain() {
        var bench = Self.bench(holding: .dead)
        bench.alive("other", 3)
        bench.advance(.seconds(28))
        #expect(bench.state("m") == .dead)
        bench.core.health = Awareness(maximum: 8)
        bench.advance(.seconds(5))
        #expect(bench.state("m") == nil)
        #expect(bench.kinds.contains(.forgotten))
        bench.dials = []
        bench.advance(.seconds(400))
        #expect(bench.dials.contains { $0.to == Bench.address(2) })
        // Back: joined, and called no more.
        bench.alive("m", 2, incarnation: 1)
        bench.dials = []
        #expect(bench.core.memory.departed.allSatisfy { $0.name != "m" })
    }
}
