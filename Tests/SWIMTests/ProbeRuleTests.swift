import Platform
import Testing

@testable import SWIM

/// memberlist-protocol §12: the failure detector with Lifeguard.
@Suite struct ProbeRuleTests {
    /// A bench with peers a, b, c … at 10.0.0.2, .3, …; their answers are up to the test.
    static func bench(_ peers: Int, _ timers: SWIMTimers = .lan) -> Bench {
        var bench = Bench(timers)
        for number in 0..<peers { bench.alive(name(number), number + 2) }
        bench.clear()
        return bench
    }
    static func name(_ number: Int) -> String { String(UnicodeScalar(UInt8(97 + number))) }

    /// Runs to the next ping of ours; whom it asks and its sequence.
    static func nextPing(_ bench: inout Bench) -> (node: String, sequence: UInt32, to: SocketAddress)? {
        for _ in 0..<2000 {
            bench.sent = []
            bench.advance(.milliseconds(10))
            for (to, message) in bench.sent { if case .ping(let ping) = message { return (ping.node, ping.sequence, to) } }
        }
        return nil
    }
    static func acknowledge(_ bench: inout Bench, _ sequence: UInt32) { bench.receive(.ack(Ack(sequence: sequence, payload: nil))) }

    @Test func everyPeerIsProbedOncePerRound() throws {
        var bench = Self.bench(8)
        var seen: [String] = []
        for _ in 0..<16 {
            let ping = try #require(Self.nextPing(&bench))
            seen.append(ping.node)
            Self.acknowledge(&bench, ping.sequence)
        }
        // The first round began with other members known: look at a whole window after a shuffle.
        let windows = (0...8).map { Set(seen[$0..<$0 + 8]).count }
        #expect(windows.contains(8))
        for node in Set(seen) { #expect(seen.filter { $0 == node }.count <= 3) }
        #expect(bench.core.awareness == 0)
        #expect(bench.events.isEmpty)
    }

    @Test func aNewcomerIsProbedWithinTwoRounds() throws {
        for seed in 0..<20 as Range<UInt64> {
            var bench = Self.bench(6)
            bench.random = SWIMRandom(seed: seed)
            for _ in 0..<3 { Self.acknowledge(&bench, try #require(Self.nextPing(&bench)).sequence) }
            bench.alive("new", 40)
            var rounds = 0
            while true {
                let ping = try #require(Self.nextPing(&bench))
                Self.acknowledge(&bench, ping.sequence)
                rounds += 1
                if ping.node == "new" { break }
            }
            #expect(rounds <= 13)  // 2n − 1
        }
    }

    @Test func anAnswerInTimeIsSuccessAndTheNextProbeComesAtTheNextTick() throws {
        var bench = Self.bench(2)
        let first = try #require(Self.nextPing(&bench))
        let start = bench.now
        Self.acknowledge(&bench, first.sequence)
        _ = try #require(Self.nextPing(&bench))
        #expect((990...1020).contains((bench.now - start).milliseconds))
        #expect(bench.core.counters.probesFailed == 0)
    }

    @Test func silenceAsksHelpersAndTCPAtTheTimeout() throws {
        var bench = Self.bench(6)
        let ping = try #require(Self.nextPing(&bench))
        bench.clear()
        bench.advance(.milliseconds(480))
        #expect(bench.sent.isEmpty)
        bench.advance(.milliseconds(30))
        var helpers: Set<SocketAddress> = []
        for (to, message) in bench.sent {
            guard case .indirectPing(let indirect) = message else { continue }
            #expect(indirect.sequence == ping.sequence)
            #expect(indirect.node == ping.node)
            #expect(SocketAddress(indirect.target, port: indirect.port) == ping.to)
            #expect(indirect.wantsNack)
            helpers.insert(to)
        }
        #expect(helpers.count == 3)
        #expect(!helpers.contains(ping.to) && !helpers.contains(Bench.own))
        #expect(bench.dials.count == 1)
        #expect(bench.dials[0].to == ping.to)
        #expect(bench.dials[0].message == .ping(Ping(sequence: ping.sequence, node: ping.node, sender: Sender(address: Bench.own, name: "own"))))
    }

    @Test func aHelpersAnswerSavesTheTarget() throws {
        var bench = Self.bench(4)
        let ping = try #require(Self.nextPing(&bench))
        bench.advance(.milliseconds(700))
        Self.acknowledge(&bench, ping.sequence)
        bench.advance(.milliseconds(900))
        #expect(bench.state(ping.node) == .alive)
        #expect(bench.core.counters.probesFailed == 0)
    }

    @Test func anAnswerByTCPSavesTheTarget() throws {
        var bench = Self.bench(4)
        let ping = try #require(Self.nextPing(&bench))
        bench.advance(.milliseconds(600))
        let dial = try #require(bench.dials.first)
        let answer = try #require(bench.core.codec.seal(.ack(Ack(sequence: ping.sequence, payload: nil)), dialled: false))
        bench.step(.answer(dial.id, answer))
        bench.advance(.milliseconds(450))
        #expect(bench.state(ping.node) == .alive)
        #expect(bench.core.counters.probesByStreamOnly == 1)
    }

    @Test func silenceToTheEndOfTheRoundIsSuspicion() throws {
        var bench = Self.bench(4)
        let ping = try #require(Self.nextPing(&bench))
        bench.advance(.milliseconds(1010))
        #expect(bench.state(ping.node) == .suspect)
        let event = try #require(bench.events.first)
        #expect(event.kind == .suspected)
        #expect(event.by == "own")
        #expect(event.cause == .unanswered(helpers: 3))
        // A late answer to an ended round changes nothing.
        Self.acknowledge(&bench, ping.sequence)
        #expect(bench.state(ping.node) == .suspect)
    }

    @Test(arguments: [(0, 3), (1, 2), (3, 0)])
    func helpersThatSayNothingCountAgainstOurselves(_ nacks: Int, _ expected: Int) throws {
        var bench = Self.bench(4)
        let ping = try #require(Self.nextPing(&bench))
        bench.advance(.milliseconds(900))
        for _ in 0..<nacks { bench.receive(.nack(sequence: ping.sequence)) }
        // memberlist's helpers send theirs just after the round's end; it must still count.
        bench.advance(.milliseconds(150))
        #expect(bench.core.awareness == 0)
        #expect(bench.state(ping.node) == .suspect)
        while case let next = bench.core.probe, let next { Self.acknowledge(&bench, next) }
        bench.advance(.milliseconds(260))
        while case let next = bench.core.probe, let next { Self.acknowledge(&bench, next) }
        #expect(bench.core.awareness == expected)
    }

    @Test func aSuspectIsToldOfTheSuspicionWithItsPing() throws {
        var bench = Self.bench(1)
        bench.suspect("a", incarnation: 1)
        _ = (0..<10).map { _ in bench.news() }
        _ = try #require(Self.nextPing(&bench))
        #expect(bench.sent.contains { $0.message == .suspect(Accusation(incarnation: 1, node: "a", from: "own")) })
        #expect(bench.packets.last?.first == Wire.compound)
    }

    @Test func theScoreStretchesTheRoundAndNotTheTimeout() throws {
        var bench = Self.bench(4)
        bench.core.health.add(3)
        let ping = try #require(Self.nextPing(&bench))
        bench.clear()
        bench.advance(.milliseconds(510))
        #expect(bench.sent.contains { if case .indirectPing = $0.message { true } else { false } })
        bench.advance(.milliseconds(3400))
        #expect(bench.state(ping.node) == .alive)
        bench.advance(.milliseconds(110))
        #expect(bench.state(ping.node) == .suspect)
    }

    @Test func theScoreStaysInItsBounds() {
        var health = Awareness(maximum: 8)
        health.add(-5)
        #expect(health.score == 0)
        health.add(100)
        #expect(health.score == 7)
        #expect(health.scale(.seconds(1)) == .seconds(8))
    }

    // MARK: Our own lateness

    @Test func aRoundInWhichOurLoopStoodStillAccusesNobody() throws {
        var bench = Self.bench(4)
        let ping = try #require(Self.nextPing(&bench))
        bench.freeze(.seconds(60))
        bench.advance(.milliseconds(1))
        #expect(bench.state(ping.node) == .alive)
        #expect(bench.core.counters.probesDiscarded == 1)
        #expect(bench.core.awareness == 1)
    }

    @Test func aSuspicionThatRanOutWhileOurLoopStoodStillGetsAnotherMoment() throws {
        var bench = Self.bench(1)
        bench.suspect("a", incarnation: 1)
        bench.freeze(.seconds(60))
        bench.advance(.milliseconds(1))
        #expect(bench.state("a") == .suspect)
        bench.alive("a", 2, incarnation: 2)
        bench.advance(.milliseconds(900))
        #expect(bench.state("a") == .alive)

        bench.suspect("a", incarnation: 2)
        bench.freeze(.seconds(60))
        bench.advance(.seconds(3))
        #expect(bench.state("a") == .dead)
    }

    /// Each is a way to notice that we were late; a little is nothing.
    enum Sign: CaseIterable { case little, oldDatagram, lostDatagram }

    @Test(arguments: Sign.allCases)
    func aNodeThatReadsItsSocketLateAccusesNobodyAndAsksNobody(_ sign: Sign) throws {
        var bench = Self.bench(4)
        let ping = try #require(Self.nextPing(&bench))
        bench.clear()
        bench.advance(.milliseconds(300))
        let noise = PacketCodec.compound([Message.nack(sequence: 1).encoded])
        switch sign {
        case .little: bench.step(.datagram(noise, from: Bench.address(9), waited: .milliseconds(99)))
        case .oldDatagram: bench.step(.datagram(noise, from: Bench.address(9), waited: .milliseconds(101)))
        case .lostDatagram: bench.step(.overrun)
        }
        bench.advance(.milliseconds(300))
        #expect(bench.sent.contains { if case .indirectPing = $0.message { true } else { false } } == (sign == .little))
        bench.advance(.milliseconds(450))
        #expect(bench.state(ping.node) == (sign == .little ? .suspect : .alive))
        #expect(bench.core.counters.probesDiscarded == (sign == .little ? 0 : 1))
        bench.step(.check("b"))
        #expect(bench.core.counters.checks == (sign == .little ? 1 : 0))
    }

    @Test func anIllNodeBearsMoreLateness() throws {
        var bench = Self.bench(4)
        bench.core.health.add(3)
        let ping = try #require(Self.nextPing(&bench))
        bench.step(.datagram(PacketCodec.compound([Message.nack(sequence: 1).encoded]), from: Bench.address(9), waited: .milliseconds(399)))
        bench.advance(.milliseconds(4010))
        #expect(bench.state(ping.node) == .suspect)
    }

    @Test func aSuspicionWaitsForALateNodeOnlySoLong() throws {
        var bench = Self.bench(1)
        bench.suspect("a", incarnation: 1)
        var seconds = 0
        while bench.state("a") == .suspect, seconds < 600 {
            bench.step(.overrun)
            bench.advance(.seconds(1))
            seconds += 1
        }
        // Alone with it: 4 s, and as much again with what the last postponement may add.
        #expect((8...14).contains(seconds), "\(seconds)")
    }

    // MARK: Suspicion

    struct Wait: Sendable {
        var members: Int
        var confirmations: Int
        var seconds: Double
    }

    /// LAN numbers: k = 2, shortest 4 log10 n, longest six times that; in between by ln(c + 1) / ln 3.
    @Test(arguments: [
        Wait(members: 100, confirmations: 0, seconds: 48), Wait(members: 100, confirmations: 1, seconds: 22.762),
        Wait(members: 100, confirmations: 2, seconds: 8),
        Wait(members: 1000, confirmations: 0, seconds: 72), Wait(members: 1000, confirmations: 2, seconds: 12),
        Wait(members: 50, confirmations: 2, seconds: 6.795),
        // Nobody else could confirm.
        Wait(members: 3, confirmations: 0, seconds: 4), Wait(members: 2, confirmations: 0, seconds: 4),
        Wait(members: 4, confirmations: 0, seconds: 24),
    ])
    func aSuspicionWaitsAsLongAsLifeguardSays(_ wait: Wait) {
        var suspicion = Suspicion(by: "x", members: wait.members, timers: .lan, now: MonotonicTime(nanoseconds: 0))
        for number in 0..<wait.confirmations { _ = suspicion.confirm(by: "c\(number)") }
        #expect(suspicion.confirmations == wait.confirmations)
        #expect(abs(Double(suspicion.deadline.nanoseconds) / 1e9 - wait.seconds) < 0.01)
    }

    @Test func onlyNewSuspectersCountAndOnlyAsManyAsNeeded() {
        var suspicion = Suspicion(by: "x", members: 100, timers: .lan, now: MonotonicTime(nanoseconds: 0))
        let counted = ["x", "y", "y", "z", "w"].map { suspicion.confirm(by: $0) }
        #expect(counted == [false, true, false, true, false])
        #expect(suspicion.suspecters == ["x", "y", "z"])
    }

    @Test func confirmationsArePassedOnAndShortenTheWait() throws {
        var bench = Self.bench(20)
        bench.suspect("a", from: "b")
        let longest = try #require(bench.timers[.suspicion("a")])
        bench.suspect("a", from: "c")
        #expect(try #require(bench.timers[.suspicion("a")]) < longest)
        #expect(bench.news().contains(.suspect(Accusation(incarnation: 1, node: "a", from: "c"))))
        bench.suspect("a", from: "d")
        bench.advance(.seconds(6))
        let event = try #require(bench.events.first { $0.kind == .died && $0.member.name == "a" })
        #expect(event.cause == .suspicionExpired(confirmedBy: ["b", "c", "d"]))
        #expect(event.by == "own")
    }

    @Test func aRefutationEndsTheSuspicion() {
        var bench = Self.bench(3)
        bench.suspect("a")
        bench.alive("a", 2, incarnation: 2)
        #expect(bench.kinds == [.suspected, .recovered])
        #expect(bench.timers[.suspicion("a")] == nil)
    }

    // MARK: Helping

    @Test func aHelperPassesTheAnswerOnWithoutItsPayload() throws {
        var bench = Self.bench(3)
        let sender = Sender(address: Bench.address(2), name: "a")
        bench.receive(
            .indirectPing(IndirectPing(sequence: 77, target: Bench.address(3).ip, port: 7946, node: "b", wantsNack: true, sender: sender)), from: 2)
        guard case .ping(let ping)? = bench.sent.first(where: { $0.to == Bench.address(3) })?.message else { return #expect(Bool(false)) }
        #expect(ping.node == "b")
        #expect(ping.sequence != 77)
        bench.sent = []
        bench.receive(.ack(Ack(sequence: ping.sequence, payload: [1, 2, 3])), from: 3)
        #expect(bench.sent.contains { $0.to == Bench.address(2) && $0.message == .ack(Ack(sequence: 77, payload: nil)) })
        bench.sent = []
        bench.advance(.milliseconds(600))
        #expect(!bench.sent.contains { if case .nack = $0.message { true } else { false } })
    }

    @Test(arguments: [true, false])
    func aHelperSaysNoAfterFourFifthsOfTheTimeoutIfAsked(_ wanted: Bool) {
        var bench = Self.bench(3)
        bench.receive(
            .indirectPing(IndirectPing(sequence: 77, target: Bench.address(3).ip, port: 0, node: "b", wantsNack: wanted, sender: nil)), from: 2)
        // Port 0 is the helper's own.
        #expect(bench.sent.contains { $0.to == Bench.address(3) })
        bench.sent = []
        bench.advance(.milliseconds(390))
        #expect(!bench.sent.contains { if case .nack = $0.message { true } else { false } })
        bench.advance(.milliseconds(15))
        #expect(bench.sent.contains { $0.to == Bench.address(2) && $0.message == .nack(sequence: 77) } == wanted)
    }

    @Test func theRelaysAreBounded() {
        var bench = Self.bench(3)
        for number in 0..<300 as Range<UInt32> {
            bench.receive(
                .indirectPing(IndirectPing(sequence: number, target: Bench.address(3).ip, port: 0, node: "b", wantsNack: false, sender: nil)), from: 2
            )
        }
        #expect(bench.core.relays.count == SWIMLimits.relays)
        #expect(bench.core.counters[.full] == 300 - UInt64(SWIMLimits.relays))
        bench.advance(.seconds(1))
        #expect(bench.core.relays.isEmpty)
    }

    // MARK: Answering

    @Test func aPingIsAnsweredToItsSenderAndOnlyIfItIsForUs() {
        var bench = Self.bench(1)
        bench.receive(.ping(Ping(sequence: 5, node: "own", sender: nil)), from: 44)
        #expect(bench.sent.last?.to == Bench.address(44))
        #expect(bench.sent.contains { $0.message == .ack(Ack(sequence: 5, payload: nil)) })
        bench.clear()
        bench.receive(.ping(Ping(sequence: 6, node: "somebody else", sender: nil)), from: 44)
        #expect(bench.sent.isEmpty)
        #expect(bench.refusals == [.notForUs])
        bench.receive(.ping(Ping(sequence: 7, node: "", sender: nil)), from: 44)
        #expect(!bench.sent.isEmpty)
    }

    @Test func aStrangerGetsAnAnswerAndNoNews() {
        var bench = Self.bench(1)
        for number in 0..<30 { bench.alive("m\(number)", 100 + number) }
        bench.clear()
        bench.receive(.ping(Ping(sequence: 1, node: "own", sender: nil)), from: 44)
        #expect(bench.packets.map(\.count).max()! < 40)
        bench.receive(.ping(Ping(sequence: 1, node: "own", sender: Sender(address: Bench.address(2), name: "a"))), from: 2)
        #expect(bench.packets.map(\.count).max()! > 1000)
    }

    @Test func aSourceAddressThatIsNeitherTheSendersNorAMembersIsNotAnswered() {
        var bench = Self.bench(1)
        // The same host, another port: as told.
        bench.receive(
            .ping(Ping(sequence: 1, node: "own", sender: Sender(address: SocketAddress(Bench.address(44).ip, port: 1), name: "x"))), from: 44)
        #expect(bench.sent.last?.to == SocketAddress(Bench.address(44).ip, port: 1))
        // A member by its name: as told.
        bench.receive(.ping(Ping(sequence: 2, node: "own", sender: Sender(address: Bench.address(2), name: "a"))), from: 44)
        #expect(bench.sent.last?.to == Bench.address(2))
        // A victim: back to where it came from.
        bench.receive(.ping(Ping(sequence: 3, node: "own", sender: Sender(address: Bench.address(66), name: "victim"))), from: 44)
        #expect(bench.sent.last?.to == Bench.address(44))
    }

    @Test func aPacketNeverExceedsItsBudgetHoweverMuchNewsThereIs() {
        var bench = Bench()
        for number in 0..<200 { bench.alive("member-with-a-long-name-\(number)", 2 + number, meta: [UInt8](repeating: 7, count: 100)) }
        bench.packets = []
        bench.advance(.seconds(20))
        #expect(!bench.packets.isEmpty)
        #expect(bench.packets.allSatisfy { $0.count <= SWIMLimits.datagramBudget })
        #expect(bench.packets.contains { $0.count > 1200 })
    }
}
