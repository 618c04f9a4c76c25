import Platform
import Testing

@testable import SWIM

/// Whole pools in virtual time. Some seeds are fixed, some fresh at each run; a failure prints its seed, which replays it.
@Suite struct SimulationTests {
    /// For what has a bound in time: gossip is a lottery, and one draw in a hundred takes longer than any bound worth having.
    static let fixed: [UInt64] = [1, 2]
    /// For what must come true in every run.
    static let seeds: [UInt64] = [3, UInt64.random(in: 1000...UInt64.max)]

    static func pool(_ count: Int, seed: UInt64, timers: SWIMTimers = .lan) throws -> Simulation {
        var simulation = Simulation(count, seed: seed, timers: timers)
        simulation.joinAll()
        let joined = simulation.run(atMost: .seconds(15)) { $0.agrees() }
        try #require(joined != nil, "no agreement after the join, seed \(seed)")
        return simulation
    }

    @Test(arguments: fixed)
    func fiftyNodesThatJoinOneAgreeWithinSeconds(_ seed: UInt64) throws {
        var simulation = Simulation(50, seed: seed)
        simulation.joinAll()
        let time = try #require(simulation.run(atMost: .seconds(15)) { $0.agrees() }, "seed \(seed)")
        #expect(time < .seconds(3), "seed \(seed)")  // memberlist: 2.0–2.8 s
        #expect(simulation.violation() == nil, "seed \(seed)")
    }

    @Test(arguments: fixed)
    func aCrashIsKnownToAllAndNobodyElseIsAccused(_ seed: UInt64) throws {
        var simulation = try Self.pool(40, seed: seed)
        simulation.run(.seconds(3))
        let start = simulation.now
        simulation.crash(7)
        let time = try #require(simulation.run(atMost: .seconds(40)) { $0.agrees() }, "seed \(seed)")
        // One second and a half to find it, 6.4 s of suspicion with two confirmations, some for the word to spread.
        #expect((.seconds(6))...(.seconds(20)) ~= time, "\(time), seed \(seed)")
        for node in simulation.running.map({ simulation.nodes[$0] }) {
            #expect(node.events.allSatisfy { $0.time < start || $0.event.member.name == "n7" }, "seed \(seed)")
        }
        #expect(simulation.violation() == nil, "seed \(seed)")
        // Back with nothing remembered, by joining anybody.
        simulation.restart(7)
        simulation.join(7, [20])
        #expect(simulation.run(atMost: .seconds(10)) { $0.agrees() } != nil, "seed \(seed)")
    }

    @Test(arguments: fixed)
    func aLeaveIsKnownToAllAtOnceAndIsNotADeath(_ seed: UInt64) throws {
        var simulation = try Self.pool(30, seed: seed)
        simulation.leave(3)
        let time = simulation.run(atMost: .seconds(5)) { simulation in
            simulation.nodes[3].hasLeft && simulation.running.allSatisfy { simulation.state(of: 3, at: $0) == .left }
        }
        #expect(time != nil, "seed \(seed)")
        simulation.run(.seconds(20))
        #expect(simulation.events(.died, since: MonotonicTime(nanoseconds: 0)) == 0, "seed \(seed)")
        #expect(simulation.violation() == nil, "seed \(seed)")
    }

    @Test(arguments: seeds)
    func aTenthOfTheDatagramsLostKillsNobody(_ seed: UInt64) throws {
        var simulation = try Self.pool(40, seed: seed)
        simulation.loss = 0.1
        let start = simulation.now
        simulation.run(.seconds(60))
        #expect(simulation.events(.died, since: start) == 0, "seed \(seed)")
        #expect(simulation.agrees(), "seed \(seed)")
        #expect(simulation.violation() == nil, "seed \(seed)")
        // And a real death is still found.
        simulation.crash(5)
        #expect(simulation.run(atMost: .seconds(40)) { $0.agrees() } != nil, "seed \(seed)")
    }

    @Test(arguments: [5, 40, 200])
    func twoHalvesFindEachOtherAfterASplitOfAnyLength(_ seconds: Int) throws {
        let seed = Self.seeds[seconds % 2]
        var simulation = try Self.pool(20, seed: seed)
        simulation.isLinked = { $0 / 10 == $1 / 10 }
        simulation.run(.seconds(seconds))
        #expect(simulation.violation() == nil, "seed \(seed)")
        if seconds >= 40 {
            #expect(simulation.agrees(Array(0..<10)), "seed \(seed)")
            #expect(simulation.agrees(Array(10..<20)), "seed \(seed)")
        }
        simulation.isLinked = { _, _ in true }
        let time = simulation.run(atMost: .seconds(150)) { $0.agrees() }
        #expect(time != nil, "seed \(seed)")
        simulation.run(.seconds(30))
        #expect(simulation.agrees(), "seed \(seed)")
        #expect(simulation.violation() == nil, "seed \(seed)")
    }

    @Test(arguments: seeds)
    func aLinkThatIsCutBetweenTwoNodesKillsNeither(_ seed: UInt64) throws {
        var simulation = try Self.pool(20, seed: seed)
        // 3 and 4 cannot talk, either way; their helpers can.
        simulation.isLinked = { !(($0 == 3 && $1 == 4) || ($0 == 4 && $1 == 3)) }
        let start = simulation.now
        simulation.run(.seconds(60))
        #expect(simulation.events(.died, since: start) == 0, "seed \(seed)")
        #expect(simulation.agrees(), "seed \(seed)")
    }

    @Test(arguments: seeds)
    func aNodeThatSleptForAMinuteAccusesNobodyAndComesBack(_ seed: UInt64) throws {
        var simulation = try Self.pool(20, seed: seed)
        simulation.pause(4)
        simulation.run(.seconds(60))
        #expect(simulation.agrees(Array(0..<4) + Array(5..<20)), "seed \(seed)")
        let start = simulation.now
        simulation.resume(4)
        #expect(simulation.run(atMost: .seconds(60)) { $0.agrees() } != nil, "seed \(seed)")
        for index in simulation.running {
            #expect(simulation.nodes[index].events.allSatisfy { $0.time < start || $0.event.kind != .died }, "seed \(seed)")
        }
    }

    @Test(arguments: seeds)
    func aPoolThatAllSleptTogetherLosesNobody(_ seed: UInt64) throws {
        var simulation = try Self.pool(20, seed: seed)
        for index in 0..<20 { simulation.pause(index) }
        simulation.run(.seconds(30))
        let start = simulation.now
        for index in 0..<20 { simulation.resume(index) }
        simulation.run(.seconds(30))
        #expect(simulation.events(.died, since: start) == 0, "seed \(seed)")
        #expect(simulation.agrees(), "seed \(seed)")
    }

    @Test(arguments: fixed)
    func newTagsReachAllWithinASecondOrTwo(_ seed: UInt64) throws {
        var simulation = try Self.pool(40, seed: seed)
        simulation.run(.seconds(5))
        simulation.setTags(9, ["version": "2"])
        let time = simulation.run(atMost: .seconds(10)) { simulation in
            simulation.nodes.allSatisfy { Tags(meta: $0.core.member("n9")?.meta ?? [])["version"] == "2" }
        }
        #expect(try #require(time) < .seconds(2), "seed \(seed)")
    }

    @Test(arguments: seeds)
    func aNodeThatIsRestartedWhileItIsSuspectedIsAMemberAgain(_ seed: UInt64) throws {
        var simulation = try Self.pool(10, seed: seed)
        simulation.exit(2)
        simulation.run(.seconds(4))
        simulation.restart(2)
        simulation.join(2, [0])
        #expect(simulation.run(atMost: .seconds(20)) { $0.agrees() } != nil, "seed \(seed)")
        simulation.run(.seconds(30))
        #expect(simulation.agrees(), "seed \(seed)")
    }

    /// Everything at once, at random; after it the network is well, and the pool must be too.
    @Test(arguments: [4] + (0..<3).map { _ in UInt64.random(in: 1000...UInt64.max) })
    func whateverHappensTheInvariantsHoldAndThePoolComesTogether(_ seed: UInt64) throws {
        var simulation = try Self.pool(12, seed: seed)
        var random = SWIMRandom(seed: seed)
        for _ in 0..<60 {
            let node = Int.random(in: 0..<12, using: &random)
            let life = simulation.nodes[node].life
            switch Int.random(in: 0..<8, using: &random) {
            case 0: if life == .running { simulation.crash(node) }
            case 1: if life == .running { simulation.exit(node) }
            case 2: if life == .running { simulation.pause(node) }
            case 3:
                if life == .paused { simulation.resume(node) }
                if life == .crashed || life == .exited {
                    simulation.restart(node)
                    simulation.join(node, [0, 1, 2].filter { $0 != node })
                }
            case 4: simulation.loss = Double.random(in: 0...0.4, using: &random)
            case 5:
                let cut = Int.random(in: 0..<12, using: &random)
                simulation.isLinked = { $0 != cut || $1 < cut }  // one way
            case 6:
                let border = Int.random(in: 1..<12, using: &random)
                simulation.isLinked = { ($0 < border) == ($1 < border) }
            default: simulation.isLinked = { _, _ in true }
            }
            for _ in 0..<4 {
                simulation.run(.seconds(1))
                let violation = simulation.violation()
                try #require(violation == nil, "seed \(seed)")
            }
        }
        simulation.loss = 0
        simulation.isLinked = { _, _ in true }
        for node in 0..<12 {
            switch simulation.nodes[node].life {
            case .running: break
            case .paused: simulation.resume(node)
            case .crashed, .exited:
                simulation.restart(node)
                simulation.join(node, [0, 1, 2].filter { $0 != node })
            }
        }
        #expect(simulation.run(atMost: .seconds(300)) { $0.agrees() } != nil, "seed \(seed)")
        simulation.run(.seconds(60))
        #expect(simulation.agrees(), "seed \(seed)")
        let violation = simulation.violation()
        #expect(violation == nil, "seed \(seed)")
    }

    @Test func anIdlePoolSendsOnePingAndOneAnswerPerSecondAndNode() throws {
        var simulation = try Self.pool(30, seed: 3)
        simulation.run(.seconds(20))
        let before = (simulation.datagrams, simulation.bytes)
        simulation.run(.seconds(60))
        let perNode = (Double(simulation.datagrams - before.0) / 1800, Double(simulation.bytes - before.1) / 1800)
        #expect((1.9...2.1).contains(perNode.0))
        #expect(perNode.1 < 93)  // memberlist: 93 bytes a second
    }

    @Test func theSameSeedGivesTheSameRun() throws {
        func trace(_ seed: UInt64) -> UInt64 {
            var simulation = Simulation(15, seed: seed)
            simulation.joinAll()
            simulation.loss = 0.2
            simulation.run(.seconds(10))
            simulation.crash(3)
            simulation.run(.seconds(20))
            return simulation.trace
        }
        #expect(trace(5) == trace(5))
        #expect(trace(5) != trace(6))
    }
}
