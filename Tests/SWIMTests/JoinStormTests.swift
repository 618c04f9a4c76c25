import Platform
import Testing

@testable import SWIM

/// What keeps a join of hundreds at one moment short and cheap.
@Suite struct JoinStormTests {
    private static func answer(_ bench: inout Bench, _ nodes: [NodeState]) throws {
        let dial = try #require(exchanges(bench).last)
        let message = StreamMessage.pushPull(PushPull(isJoin: false, nodes: nodes, userState: []))
        bench.step(.answer(dial.id, try #require(bench.core.codec.seal(message, dialled: false))))
        bench.dials = []
    }

    /// Exchanges that were begun; probes use streams too.
    private static func exchanges(_ bench: Bench) -> [(id: DialID, to: SocketAddress, message: StreamMessage)] {
        bench.dials.filter { if case .pushPull = $0.message { true } else { false } }
    }

    /// Runs until one is begun, for a second at most.
    private static func nextExchange(_ bench: inout Bench) -> Bool {
        for _ in 0..<50 where exchanges(bench).isEmpty { bench.advance(.milliseconds(20)) }
        return !exchanges(bench).isEmpty
    }

    private static func nodes(_ numbers: ClosedRange<Int>) -> [NodeState] { numbers.map { ExchangeRuleTests.node("n\($0)", $0) } }

    @Test func aNewcomerAsksItsSeedAgainAndThenOthersUntilNobodyHasNews() throws {
        var bench = Bench()
        bench.step(.join(JoinID(number: 1), [Bench.address(2)]))
        try Self.answer(&bench, Self.nodes(2...4))
        #expect(bench.finished.map(\.contacted) == [1])
        #expect(Self.nextExchange(&bench))
        #expect(Self.exchanges(bench).map(\.to) == [Bench.address(2)], "all who join at this moment told it of themselves")
        try Self.answer(&bench, Self.nodes(2...20))
        var rounds = 0
        for _ in 0..<20 where rounds < 10 {
            guard Self.nextExchange(&bench) else { break }
            rounds += 1
            try Self.answer(&bench, Self.nodes(2...20))
        }
        #expect((1...3).contains(rounds), "\(rounds) rounds without news")
    }

    @Test func extraExchangesAreBoundedEvenIfEachBringsNews() throws {
        var bench = Bench()
        bench.step(.join(JoinID(number: 1), [Bench.address(2)]))
        try Self.answer(&bench, Self.nodes(2...4))
        var rounds = 0
        for round in 1...20 {
            guard Self.nextExchange(&bench) else { break }
            rounds += 1
            try Self.answer(&bench, Self.nodes((2 + 10 * round)...(8 + 10 * round)))
        }
        #expect(rounds == SWIMCore.mostCatchUps)
    }

    /// How often an item is sent before it is gone, when `heard` copies of it come from others meanwhile.
    private static func transmissions(_ bench: inout Bench, of name: String, heard: Int, _ alive: Message) -> Int {
        var sent = 0
        for round in 0..<10_000 {
            if round < heard { bench.receive(alive) }
            let news = bench.news()
            if news.isEmpty { break }
            sent += news.count { if case .alive(let alive) = $0 { alive.node == name } else { false } }
        }
        return sent
    }

    @Test func newsThatComesBackIsSentLessOftenWhenMuchIsToTell() throws {
        let alive = Message.alive(
            Alive(incarnation: 1, node: "n5", address: Bench.address(5), meta: [], versions: PoolKind.serf.versions))
        var counts: [Int] = []
        for (heard, others) in [(0, 0), (2, 0), (2, 200)] {
            var bench = Bench()
            while !bench.news().isEmpty {}
            bench.receive(alive)
            for number in 0..<others { bench.alive("other\(number)", 20 + number) }
            counts.append(Self.transmissions(&bench, of: "n5", heard: heard, alive))
        }
        // One member besides us: 4 times. With two hundred: 12, of which two were heard.
        #expect(counts == [4, 4, 10])
    }

    @Test func whatAnExchangeSaysOfThirdMembersIsSentAFewTimesOnly() throws {
        var bench = Bench()
        for number in 100..<300 { bench.alive("m\(number)", number) }
        while !bench.news().isEmpty {}
        // The caller is n2, at 10.0.0.2.
        bench.merge(Self.nodes(2...3), from: 2)
        var sent = ["n2": 0, "n3": 0]
        while case let news = bench.news(), !news.isEmpty {
            for case .alive(let alive) in news { sent[alive.node, default: 0] += 1 }
        }
        #expect(sent["n2"] == 12, "itself it tells of to all")
        #expect(sent["n3"] == 6)
    }
}
