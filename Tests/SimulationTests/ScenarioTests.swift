import Catalog
import Platform
import SWIM
import Testing

@testable import Simulation

/// Small runs without optimisation; `make test` runs many more, and bigger ones, with it.
@Suite struct ScenarioTests {
    @Test func theSameSeedGivesTheSameRun() {
        func run(_ seed: UInt64) -> (UInt64, Figures) {
            var scenario = Scenario(seed: seed, nodes: 8, duration: .seconds(60))
            #expect(scenario.run() == nil, "seed \(seed)")
            return (scenario.world.trace, scenario.world.figures)
        }
        let (first, again, other) = (run(5), run(5), run(6))
        #expect(first == again)
        #expect(first.0 != other.0)
    }

    @Test(arguments: [1, UInt64.random(in: 1000...1_000_000)])
    func whateverHappensEveryInvariantHolds(_ seed: UInt64) {
        var scenario = Scenario(seed: seed, nodes: 10, duration: .seconds(120))
        let violation = scenario.run()
        #expect(violation == nil, "seed \(seed)")
        #expect(scenario.world.figures.convergences.count >= 2)
    }
}

/// Big meshes begin as if their joins were long ago.
@Suite struct FormedTests {
    @Test func everybodyKnowsEverybodyAndItStaysSo() {
        let world = World(count: 8, seed: 4)
        for node in 0..<8 { world.do(.write(node)) }
        world.form()
        #expect(world.disagreement() == nil)
        // Twice the time in which each probes all others, exchanges states and compares digests.
        world.run(.seconds(60))
        #expect(world.violation == nil)
        #expect(world.disagreement() == nil)
        #expect(world.figures.deaths == 0)
    }

    @Test(arguments: [2, UInt64.random(in: 1000...1_000_000)])
    func whateverHappensEveryInvariantHolds(_ seed: UInt64) {
        var scenario = Scenario(seed: seed, nodes: 10, duration: .seconds(90), formed: true)
        #expect(scenario.run() == nil, "seed \(seed)")
        #expect(scenario.world.figures.convergences.count >= 2)
        #expect(scenario.world.figures.convergences.first == .zero)
    }
}

/// An invariant that cannot be broken would be worth nothing.
@Suite struct InvariantTests {
    /// Three nodes that know each other, an instance of a service on each.
    static func world() -> World {
        let world = World(count: 3, seed: 1)
        for node in 0..<3 {
            world.nodes[node].declared[0] = Node.Declared(service: 0, port: 8000, version: node)
            world.do(.start(node, keepsState: false, moves: false))
        }
        world.run(.seconds(10))
        #expect(world.violation == nil)
        #expect(world.disagreement() == nil)
        return world
    }

    @Test func anIncarnationThatNobodyAnnouncedIsFound() {
        let world = Self.world()
        world.nodes[1].announced = 0
        world.run(.seconds(1))
        #expect(world.violation?.invariant == .nothingIsInvented)
    }

    @Test func aRefutationWithoutAnAccusationIsFound() {
        let world = Self.world()
        world.do(.tags(1, 7))
        world.do(.tags(1, 8))
        #expect(world.violation == nil)
        world.checkStep(world.nodes[1], .timer(.gossip), incarnation: 1)
        #expect(world.violation?.invariant == .refutesOnlyAccusations)
    }

    @Test func anIncarnationThatFallsIsFound() {
        let world = Self.world()
        world.checkStep(world.nodes[1], .timer(.gossip), incarnation: 9)
        #expect(world.violation?.invariant == .incarnationsOnlyGrow)
    }

    @Test func trafficToADeadNodeIsFound() {
        let world = Self.world()
        // Down by the world's word, and still answering: nobody will ever notice.
        world.nodes[2].downSince = world.now
        world.calmSince = world.now
        world.run(world.deathBound + .seconds(2))
        #expect(world.violation?.invariant == .theDeadGetNoTraffic)
    }

    @Test func aPositionThatFallsIsFound() {
        let world = Self.world()
        world.nodes[0].seen[1].version += 1
        world.run(.seconds(1))
        #expect(world.violation?.invariant == .positionsOnlyGrow)
    }

    @Test func whatIsNeverEndedIsFound() {
        let world = Self.world()
        for number in 0..<200 { world.nodes[1].timers[.relayEnd(UInt32(number))] = Node.Armed(number: 0, due: world.now) }
        world.run(.seconds(1))
        #expect(world.violation?.invariant == .nothingGrowsWithoutBound)
        #expect(world.violation?.node == "n1")
    }

    @Test func aMessageThatIsRefusedIsFound() {
        let world = Self.world()
        // An accusation whose incarnation nobody can have reached, as a node would send it whose counting went wrong.
        world.push(.zero, 1, life: nil, .datagram(Message.suspect(Accusation(incarnation: .max, node: "n2", from: "n0")).encoded, from: world.nodes[0].gossipAddress))
        world.run(.seconds(2))
        #expect(world.violation?.invariant == .honestNodesAreNotRefused)
        #expect(world.violation?.node == "n1")
    }

    @Test func aRecordThatIsRefusedIsFound() {
        let world = Self.world()
        let position = Position(generation: world.nodes[0].savedGeneration, version: 1000)
        let (chain, signature) = (CheapAuthority.make("n0").sign(SignedHead.signedBytes(origin: "n0", position: position, root: Self.root))) ?? ([], [])
        let head = SignedHead(origin: "n0", position: position, root: Self.root, chain: chain, signature: signature)
        let delta = OriginDelta(from: nil, head: head, records: [], tombstones: [])
        world.nodes[1].catalog.received(.delta([delta]), from: "n0", world.nodes[1].clock.local(world.now))
        world.perform(world.nodes[1])
        #expect(world.violation?.invariant == .honestNodesAreNotRefused)
    }

    /// Of no set of records.
    private static let root = RecordDigest(Array(repeating: 7, count: 32))!

    @Test func aSplitIsNoAgreement() {
        let world = Self.world()
        world.do(.divide([0, 0, 1]))
        world.run(.seconds(60))
        #expect(world.violation == nil)
        #expect(world.disagreement() != nil)
        world.do(.healPaths)
        world.run(world.convergenceBound)
        #expect(world.disagreement() == nil)
        #expect(world.violation == nil)
    }
}

@Suite struct EventQueueTests {
    @Test func eventsComeByTimeAndThenByNumber() {
        var random = SWIMRandom(seed: 3)
        var queue = EventQueue(capacity: 4)
        var expected: [(UInt64, UInt64)] = []
        for _ in 0..<500 {
            let time = UInt64.random(in: 0..<100, using: &random)
            expected.append((time, queue.push(.init(node: 0, life: nil, what: .tick), at: MonotonicTime(nanoseconds: time))))
        }
        expected.sort { $0 < $1 }
        for (time, number) in expected {
            let event = queue.pop(until: MonotonicTime(nanoseconds: 99))
            #expect(event?.time.nanoseconds == time && event?.number == number)
        }
        #expect(queue.count == 0)
    }

    @Test func aSkewedClockShowsAtItsTimeWhatItWasAskedFor() {
        var clock = SkewedClock(bootedFor: 5_000)
        clock.setRate(0.99, at: MonotonicTime(nanoseconds: 1_000_000))
        for wait in stride(from: UInt64(0), to: 10_000_000_000, by: 123_456_789) {
            let due = MonotonicTime(nanoseconds: 2_000_000 + wait)
            let shown = clock.local(clock.world(due))
            #expect(shown >= due || due.nanoseconds - shown.nanoseconds < 3)
        }
    }
}
