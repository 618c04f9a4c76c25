import Platform
import Testing

@testable import SWIM

/// Push/pull, join, leave, reconnect, and the little of Serf (memberlist-protocol §8, §9, §10, §14).
@Suite struct ExchangeRuleTests {
    static func node(
        _ name: String, _ number: Int, _ state: MemberState = .alive, incarnation: UInt32 = 1, versions: ProtocolVersions = PoolKind.serf.versions
    )
        -> NodeState
    {
        NodeState(name: name, address: Bench.address(number), incarnation: incarnation, meta: [], state: state, versions: versions)
    }

    // MARK: Merging

    @Test func aCallerGetsOurStateBeforeItsOwnIsMerged() throws {
        var bench = Bench()
        bench.alive("a", 2)
        bench.merge([Self.node("b", 3)], from: 3)
        guard case .pushPull(let state)? = try #require(bench.replies.first).message else { return #expect(Bool(false)) }
        #expect(state.nodes.map(\.name) == ["own", "a"])
        #expect(!state.isJoin)
        #expect(bench.state("b") == .alive)
    }

    @Test(arguments: [(MemberState.alive, MemberState.alive), (.suspect, .suspect), (.dead, .suspect), (.left, .left)])
    func deadIsOnlyAHintWhenAnotherHoldsIt(_ told: MemberState, _ becomes: MemberState) {
        var bench = Bench()
        bench.alive("m", 2)
        bench.alive("other", 3)
        bench.merge([Self.node("m", 2, told)], from: 3)
        #expect(bench.state("m") == becomes)
        // Nobody learns of strangers from their obituaries.
        bench.merge([Self.node("stranger", 4, told)], from: 3)
        #expect(bench.state("stranger") == (told == .alive ? .alive : nil))
    }

    @Test func toBeHeldDeadByAPeerIsRefutedStraightToIt() {
        var bench = Bench()
        bench.merge([Self.node("peer", 2), Self.node("own", 1, .dead, incarnation: 4)], from: 2)
        #expect(bench.ownIncarnation == 5)
        #expect(bench.sent.contains { $0.to == Bench.address(2) })
    }

    @Test(arguments: [
        ("1,5,2,2,5,5", true), ("2,5,5,2,5,4", true), ("1,5,2,2,5,4", true), ("3,5,3,5,5,5", false), ("1,5,2,0,0,0", false), ("0,0,0,0,0,0", true),
    ])
    func aPoolRefusesWhoSpeaksNoCommonVersion(_ text: String, _ isAccepted: Bool) throws {
        let parts = text.split(separator: ",").compactMap { UInt8($0) }
        let versions = ProtocolVersions(parts[0], parts[1], parts[2], parts[3], parts[4], parts[5])
        var bench = Bench()
        bench.alive("a", 2)
        bench.step(
            .request(
                InboundID(number: 1),
                StreamMessage.pushPull(PushPull(isJoin: true, nodes: [Self.raw("b", 3, versions)], userState: [])).encoded, from: Bench.address(3)))
        if isAccepted {
            #expect(bench.refusals.isEmpty)
            #expect(bench.state("b") == .alive)
        } else {
            // It is told, unlike in memberlist, where a refused joiner believes that it joined.
            #expect(bench.refusals == [.incompatible])
            guard case .error(let text)? = try #require(bench.replies.first).message else { return #expect(Bool(false)) }
            #expect(text.contains("protocol"))
            #expect(bench.state("b") == nil)
        }
    }
    static func raw(_ name: String, _ number: Int, _ versions: ProtocolVersions) -> NodeState { node(name, number, versions: versions) }

    @Test func namesInSerfsStateHaveTheBoundOfNames() {
        var bench = Bench()
        var state = SerfState()
        state.statusTimes = [("n", 5), (String(repeating: "n", count: 100_000), 5)]
        bench.merge([], userState: state.encoded)
        #expect(bench.refusals == [.badName])
        state.statusTimes = []
        state.left = [String(repeating: "n", count: 256)]
        bench.merge([], userState: state.encoded)
        #expect(bench.refusals == [.badName, .badName])
    }

    @Test func statesAreExchangedWithARandomMemberAtEachInterval() {
        var bench = Bench()
        bench.alive("a", 2)
        bench.advance(.seconds(100))
        let exchanges = bench.dials.filter { if case .pushPull = $0.message { true } else { false } }
        #expect((3...4).contains(exchanges.count))
    }

    // MARK: Joining

    @Test func aJoinEndsWhenEveryAddressAnsweredOrFailed() throws {
        var bench = Bench()
        bench.step(.join(JoinID(number: 1), [Bench.address(2), Bench.address(3), Bench.address(4), Bench.own]))
        #expect(bench.dials.map(\.to) == [Bench.address(2), Bench.address(3), Bench.address(4)])
        guard case .pushPull(let state) = bench.dials[0].message else { return #expect(Bool(false)) }
        #expect(state.isJoin)
        bench.step(.dialFailed(bench.dials[0].id, .refused))
        let answer = StreamMessage.pushPull(PushPull(isJoin: true, nodes: [Self.node("c", 3)], userState: []))
        bench.step(.answer(bench.dials[1].id, answer.encoded))
        #expect(bench.finished.isEmpty)
        bench.step(.answer(bench.dials[2].id, StreamMessage.error("go away").encoded))
        let result = try #require(bench.finished.first)
        #expect(result.contacted == 1)
        #expect(
            result.failures == [
                JoinFailure(address: Bench.address(2), failure: .refused), JoinFailure(address: Bench.address(4), failure: .rejected("go away")),
            ])
        #expect(bench.state("c") == .alive)
        // The intent that clears an earlier leave in a Serf pool, and a second helping of state soon.
        #expect(bench.news().contains(.user(SerfMessage.intent(leave: false, time: 1, node: "own"))))
        bench.dials = []
        bench.advance(.seconds(5))
        #expect(bench.dials.filter { $0.to == Bench.address(3) }.count >= 3)
    }

    @Test func aJoinToNobodyEndsAtOnce() throws {
        var bench = Bench()
        bench.step(.join(JoinID(number: 1), []))
        bench.step(.join(JoinID(number: 2), [Bench.own, SocketAddress("0.0.0.0:7946")!]))
        #expect(bench.finished.map(\.contacted) == [0, 0])
        #expect(bench.finished[1].failures == [JoinFailure(address: SocketAddress("0.0.0.0:7946")!, failure: .unreachable)])
    }

    @Test func aSeedThatFailedIsCalledAgainUntilSomebodyHasItsAddress() {
        var bench = Bench()
        bench.step(.join(JoinID(number: 1), [Bench.address(2)]))
        bench.step(.dialFailed(bench.dials[0].id, .refused))
        bench.dials = []
        bench.advance(.seconds(120))
        #expect(bench.dials.count >= 2)
        #expect(bench.dials.allSatisfy { $0.to == Bench.address(2) })
        for dial in bench.dials { bench.step(.dialFailed(dial.id, .refused)) }
        bench.alive("a", 2)
        bench.dials = []
        let exchangesBefore = bench.core.dials.count
        #expect(exchangesBefore == 0)
        bench.step(.timer(.reconnect))
        #expect(bench.dials.isEmpty)
    }

    // MARK: Leaving

    @Test func aLeaveIsAnnouncedThenDoneThenAnsweredForAWhile() {
        var bench = Bench()
        bench.alive("a", 2)
        bench.clear()
        bench.step(.leave)
        #expect(bench.state("own") == .alive)
        bench.advance(.milliseconds(450))
        #expect(bench.sent.contains { $0.message == .user(SerfMessage.intent(leave: true, time: 1, node: "own")) })
        bench.advance(.milliseconds(900))
        #expect(bench.sent.contains { $0.message == .dead(Accusation(incarnation: 1, node: "own", from: "own")) })
        #expect(bench.state("own") == .left)
        #expect(!bench.hasLeft)
        // No argument about a death that we announced ourselves, and still an answer.
        bench.dead("own", incarnation: 1)
        #expect(bench.ownIncarnation == 1)
        bench.sent = []
        bench.receive(.ping(Ping(sequence: 3, node: "own", sender: nil)))
        #expect(bench.sent.contains { $0.message == .ack(Ack(sequence: 3, payload: nil)) })
        bench.advance(.seconds(2))
        #expect(bench.hasLeft)
        #expect(bench.core.counters.refutations == 0)
    }

    @Test func aLeaveFromAPoolOfOneIsDoneAtOnce() {
        var bench = Bench()
        bench.step(.leave)
        #expect(bench.hasLeft)
        bench.step(.leave)
    }

    // MARK: Serf

    @Test func anIntentIsPassedOnOnceAndAnOlderOneNever() {
        var bench = Bench()
        bench.alive("a", 2)
        let five = SerfMessage.intent(leave: false, time: 5, node: "x")
        bench.receive(.user(five))
        for _ in 0..<4 { #expect(bench.news().contains(.user(five))) }
        bench.receive(.user(five))
        bench.receive(.user(SerfMessage.intent(leave: true, time: 4, node: "x")))
        #expect(!bench.news().contains { if case .user = $0 { true } else { false } })
        bench.receive(.user(SerfMessage.intent(leave: true, time: 6, node: "x")))
        #expect(bench.news().contains(.user(SerfMessage.intent(leave: true, time: 6, node: "x"))))
    }

    @Test func aFalseLeaveIntentAboutUsIsContradictedAboveIt() {
        var bench = Bench()
        bench.alive("a", 2)
        bench.receive(.user(SerfMessage.intent(leave: true, time: 40, node: "own")))
        let news = bench.news()
        #expect(news.contains(.user(SerfMessage.intent(leave: false, time: 41, node: "own"))))
        #expect(!news.contains(.user(SerfMessage.intent(leave: true, time: 40, node: "own"))))
    }

    @Test func aFalseLeaveIsContradictedToo_whenAnExchangeBringsItsTimeFirst() {
        var bench = Bench()
        bench.alive("a", 2)
        var state = SerfState()
        state.time = 41
        state.statusTimes = [("own", 40)]
        bench.merge([], userState: state.encoded)
        bench.receive(.user(SerfMessage.intent(leave: true, time: 40, node: "own")))
        #expect(bench.news().contains(.user(SerfMessage.intent(leave: false, time: 41, node: "own"))))
        // Once is enough: the same message from others is older than the answer.
        bench.receive(.user(SerfMessage.intent(leave: true, time: 40, node: "own")))
        #expect(bench.core.counters.refutations == 1)
        // A later one of which only the time arrives, in an exchange, is nothing that we said either.
        state.statusTimes = [("own", 60)]
        bench.merge([], userState: state.encoded)
        #expect(bench.news().contains(.user(SerfMessage.intent(leave: false, time: 61, node: "own"))))
    }

    @Test func toBeListedAsLeftInAPeersStateIsContradicted() {
        var bench = Bench()
        bench.alive("a", 2)
        var state = SerfState()
        state.time = 90
        state.left = ["own"]
        state.statusTimes = [("own", 50)]
        bench.merge([], userState: state.encoded)
        #expect(bench.news().contains(.user(SerfMessage.intent(leave: false, time: 90, node: "own"))))
    }

    @Test func aUserEventIsPassedOnOnceAndAQueryThatMustNotBeIsNot() throws {
        var bench = Bench()
        bench.alive("a", 2)
        guard case .user(let event) = try #require(PacketCodec().open(Vector.named("plain-udp-hasCrc-compound-user-userEvent").bytes).messages.first)
        else {
            return
        }
        bench.receive(.user(event))
        #expect(bench.news().contains(.user(event)))
        for _ in 0..<5 { _ = bench.news() }
        bench.receive(.user(event))
        #expect(!bench.news().contains(.user(event)))

        var quiet = MessagePackWriter()
        quiet.bytes.append(4)
        quiet.map(2)
        quiet.key("Flags")
        quiet.unsigned(2)
        quiet.key("LTime")
        quiet.unsigned(1)
        bench.receive(.user(quiet.bytes))
        #expect(!bench.news().contains(.user(quiet.bytes)))
    }

    @Test func aBarePoolCarriesNoUserMessages() {
        var bench = Bench(pool: .bare)
        bench.alive("a", 2)
        bench.receive(.user([1, 2, 3]))
        #expect(bench.refusals == [.unsupported])
        #expect(bench.core.ownState(isJoin: false).userState.isEmpty)
        #expect(bench.core.member("own")?.versions.wire == [1, 5, 2, 0, 0, 0])
    }

    @Test func theClockThatAllShareNeverWraps() {
        var bench = Bench()
        bench.receive(.user(SerfMessage.intent(leave: true, time: .max, node: "own")))
        #expect(bench.refusals == [.malformed])
    }

    // MARK: Tags

    @Test func tagsAreSerfs() {
        let vector: [UInt8] = [0xff, 0x81, 0xa4] + Array("role".utf8) + [0xa4] + Array("mesh".utf8)
        #expect((["role": "mesh"] as Tags).meta == vector)
        #expect(Tags(meta: vector) == ["role": "mesh"])
        #expect(Tags(meta: Array("web".utf8)) == ["role": "web"])
        #expect(Tags(meta: []).isEmpty)
        #expect(Tags(meta: [0xff, 0xc1]).isEmpty)
        let many = Tags(Dictionary(uniqueKeysWithValues: (0..<20).map { ("k\($0)", "v\($0)") }))
        #expect(Tags(meta: many.meta) == many)
        #expect(many.meta == Tags(many.dictionary).meta)
    }
}
