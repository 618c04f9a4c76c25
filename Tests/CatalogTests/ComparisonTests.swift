import MeshModel
import Platform
import Testing

@testable import Catalog

/// Several cores with perfect streams between all of them.
private struct Crowd {
    var cores: [String: CatalogCore] = [:]
    var now = MonotonicTime.at(0)
    var told: [String: Int] = [:]
    /// Those that do not answer.
    var silent: Set<String> = []

    /// Nodes of which each knows all.
    init(agreeing count: Int) throws {
        for number in 0..<count {
            var core = CatalogCore.test(Self.name(number))
            try core.putNode("192.0.2.\(number + 1):15008")
            core.commit(now)
            cores[core.node] = core
        }
        let logs = cores.values.map { $0.own!.whole }
        for name in cores.keys {
            cores[name]!.restore(logs, now)
            cores[name]!.effects = []
        }
        for a in cores.keys { for b in cores.keys where a != b { cores[a]!.connected(b, now) } }
        settle()
        told = [:]
    }

    static func name(_ number: Int) -> String { number < 10 ? "n0\(number)" : "n\(number)" }

    mutating func join(_ core: CatalogCore) {
        cores[core.node] = core
        for name in cores.keys.sorted() where name != core.node {
            cores[name]!.connected(core.node, now)
            cores[core.node]!.connected(name, now)
        }
    }

    /// Carries messages until nobody has anything to say.
    mutating func settle() {
        for _ in 0..<1_000 {
            var letters: [(from: String, to: String, message: CatalogMessage)] = []
            for name in cores.keys.sorted() where !silent.contains(name) {
                for effect in cores[name]!.drain() {
                    switch effect {
                    case .send(let message, let to): letters.append((name, to, message))
                    case .broadcast(let message): letters += cores[name]!.connectedPeers.map { (name, $0, message) }
                    default: break
                    }
                }
            }
            if letters.isEmpty { return }
            for letter in letters {
                told[Self.kind(letter.message), default: 0] += 1
                cores[letter.to]!.received(letter.message, from: letter.from, now)
            }
        }
        preconditionFailure("they never stop talking")
    }

    private static func kind(_ message: CatalogMessage) -> String {
        switch message {
        case .hello: "hello"
        case .overview: "overview"
        case .parts: "parts"
        case .digest: "digest"
        case .want: "want"
        case .delta: "delta"
        }
    }

    var agree: Bool {
        let known = cores.filter { !silent.contains($0.key) }.values.map(\.knownPositions)
        return known.allSatisfy { $0 == known[0] }
    }
}

@Suite struct ComparisonTests {
    @Test func whoAgreeFindThatOutWithTwoOverviews() throws {
        var crowd = try Crowd(agreeing: 5)
        #expect(crowd.agree)
        crowd.cores["n03"]!.exchange(crowd.now, random: 7)
        crowd.settle()
        #expect(crowd.told == ["overview": 2])
    }

    @Test func whoStartsLearnsEverythingFromOneAndAsksTheOthersOnlyWhetherThereIsMore() throws {
        var crowd = try Crowd(agreeing: 40)
        var late = CatalogCore.test("late")
        try late.putEndpoint("reviews.default", "192.0.2.99:80")
        late.commit(crowd.now)
        crowd.join(late)
        crowd.settle()
        #expect(crowd.agree)
        #expect(crowd.told["digest"] == 1, "\(crowd.told)")
        #expect(crowd.told["parts"] == 1, "\(crowd.told)")
        // One from each end of each stream, and a question with its answer for each that had to wait.
        #expect(try #require(crowd.told["overview"]) <= 40 * 4, "\(crowd.told)")
    }

    @Test func whatOneOfTheOthersKnowsMoreIsLearnedToo() throws {
        var crowd = try Crowd(agreeing: 10)
        // Of an origin that nobody has a stream to, the last but one alone has news; of another, nobody else has anything.
        for (holder, origin) in [("n08", "far"), ("n03", "off")] {
            var lone = CatalogCore.test(origin)
            try lone.putEndpoint("reviews.default", "192.0.2.77:80")
            lone.commit(crowd.now)
            crowd.cores[holder]!.restore([lone.own!.whole], crowd.now)
        }
        crowd.join(.test("zz"))
        crowd.settle()
        let known = crowd.cores["zz"]!.knownPositions
        #expect(known["far"] != nil && known["off"] != nil && known.count == 12, "\(known.keys.sorted())")
        // Whom it has compared with knows the one's news through it.
        #expect(crowd.cores.values.filter { $0.knownPositions["far"] != nil }.count >= 2)
    }

    @Test func onlyThePartsThatDifferAreNamed() throws {
        var crowd = try Crowd(agreeing: 50)
        var lone = CatalogCore.test("lone")
        try lone.putEndpoint("reviews.default", "192.0.2.77:80")
        lone.commit(crowd.now)
        crowd.cores["n30"]!.restore([lone.own!.whole], crowd.now)
        var ours = crowd.cores["n01"]!
        var theirs = crowd.cores["n30"]!
        theirs.effects = []
        ours.received(.overview(overview(of: theirs, for: "n01")), from: "n30", crowd.now)
        guard case .parts(let parts)? = ours.sent.last else { return #expect(Bool(false), "\(ours.sent)") }
        theirs.received(.parts(parts), from: "n01", crowd.now)
        guard case .digest(let positions, let set)? = theirs.sent.last else { return #expect(Bool(false), "\(theirs.sent)") }
        #expect(set == PartSet([SetDigest.part(of: "lone")]))
        #expect(positions["lone"] != nil && positions.count < 10, "\(positions.keys.sorted())")
    }

    @Test func bothSidesOfADifferenceLearn() throws {
        for (first, second) in [("n00", "n05"), ("n05", "n00")] {
            var crowd = try Crowd(agreeing: 6)
            for (holder, origin) in [("n00", "left"), ("n05", "right")] {
                var lone = CatalogCore.test(origin)
                try lone.putEndpoint("reviews.default", "192.0.2.77:80")
                lone.commit(crowd.now)
                crowd.cores[holder]!.restore([lone.own!.whole], crowd.now)
            }
            let peers = crowd.cores[first]!.connectedPeers
            crowd.cores[first]!.exchange(crowd.now, random: UInt64(peers.firstIndex(of: second)!))
            crowd.settle()
            #expect(crowd.cores[first]!.knownPositions == crowd.cores[second]!.knownPositions, "\(first) asks")
            #expect(crowd.cores[first]!.knownPositions.count == 8)
        }
    }

    @Test func aPeerThatDoesNotAnswerIsPassedOver() throws {
        var crowd = try Crowd(agreeing: 6)
        crowd.silent = ["n00"]
        crowd.join(.test("zz"))
        crowd.cores["zz"]!.received(.overview(overview(of: crowd.cores["n00"]!, for: "zz")), from: "n00", crowd.now)
        crowd.settle()
        #expect(crowd.cores["zz"]!.comparing?.peer == "n00")
        crowd.now = .at(2)
        crowd.cores["zz"]!.tick(crowd.now)
        crowd.settle()
        #expect(crowd.cores["zz"]!.knownPositions.count == 6, "n00's own records come from others")
    }

    @Test(arguments: [(3, 1 << 20), (5_000, 3)])
    func aDifferenceThatStaysIsNoEndlessConversation(_ origins: Int, _ bytesPerOrigin: Int) throws {
        var limits = CatalogLimits()
        limits.origins = origins
        limits.bytesPerOrigin = bytesPerOrigin
        var crowd = try Crowd(agreeing: 10)
        // It never has all of it, and every overview differs.
        crowd.join(.test("zz", limits: limits))
        crowd.settle()
        #expect(crowd.cores["zz"]!.knownPositions.count <= 3)
        crowd.told = [:]
        crowd.now = .at(3)
        crowd.cores["zz"]!.tick(crowd.now)
        crowd.settle()
        #expect(crowd.told.isEmpty, "\(crowd.told)")
    }

    @Test func whoAsksTooOftenIsNotAnswered() {
        var core = CatalogCore.test("a")
        core.connected("m", .at(0))
        core.effects = []
        let question = CatalogMessage.overview(CatalogOverview(position: .none, others: 0, digest: 1, asks: true))
        for _ in 0..<150 { core.received(question, from: "m", .at(0)) }
        #expect(core.sent.filter { if case .overview = $0 { true } else { false } }.count == 100)
        #expect(core.counters.questionsIgnored == 50)
        core.received(.parts([]), from: "m", .at(0))
        core.received(.digest([:], parts: .all), from: "m", .at(0))
        #expect(core.counters.questionsIgnored == 52)
        core.received(.parts([]), from: "m", .at(1))
        #expect(core.counters.refused["malformed"] == 1, "no such number of parts")
    }

    @Test func whoStillAnswersIsNotReplaced() throws {
        var limits = CatalogLimits()
        limits.longestRequest = .seconds(10)
        var core = CatalogCore.test("z", limits: limits)
        var origins: [CatalogCore] = []
        for number in 0..<20 {
            var origin = CatalogCore.test(Crowd.name(number))
            try origin.putNode()
            origin.commit(.at(0))
            origins.append(origin)
        }
        for peer in ["p", "q"] { core.connected(peer, .at(0)) }
        let theirs = Dictionary(uniqueKeysWithValues: origins.map { ($0.node, $0.own!.position) })
        core.received(.digest(theirs, parts: .none), from: "p", .at(0))
        for second in 1...9 {
            core.received(.delta([origins[second].own!.whole]), from: "p", .at(Double(second)))
            core.tick(.at(Double(second)))
            #expect(core.requests.count == 20 - second, "at \(second) s")
        }
        core.tick(.at(10))
        #expect(core.requests.isEmpty, "not for ever")
    }

    private func overview(of core: CatalogCore, for peer: String) -> CatalogOverview {
        var core = core
        core.effects = []
        core.sendOverview(to: peer, asks: false)
        guard case .overview(let overview)? = core.sent.first else { preconditionFailure() }
        return overview
    }
}
