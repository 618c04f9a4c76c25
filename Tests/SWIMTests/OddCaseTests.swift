import Platform
import Testing

@testable import SWIM

/// The odd cases of membership, each on whole pools in virtual time: what a user wants of them.
@Suite("Odd cases of membership")
struct OddCaseTests {
    static let fixed: [UInt64] = [1, 2]

    // MARK: Names in conflict

    @Test(arguments: fixed)
    func `of two nodes with one name the first stays, and both are told of`(_ seed: UInt64) throws {
        var simulation = try SimulationTests.pool(20, seed: seed)
        simulation.run(.seconds(5))
        let start = simulation.now
        let twin = simulation.addTwin(of: 4)
        simulation.join(twin, [0])
        simulation.run(.seconds(120))
        for observer in 0..<20 {
            #expect(simulation.address(of: 4, at: observer) == Simulation.address(4), "seed \(seed)")
            #expect(simulation.state(of: 4, at: observer) == .alive, "seed \(seed)")
        }
        #expect(simulation.events(.died, since: start) == 0 && simulation.events(.suspected, since: start) == 0, "seed \(seed)")
        // Who the other joined tells it within a second; each of the two learns it too; nobody repeats it within a minute.
        let told = simulation.nodes.indices.map { index in simulation.nodes[index].events.filter { $0.event.kind == .contested } }
        let first = try #require(told[0].first, "seed \(seed)")
        #expect(first.time - start < .seconds(1) && first.event.cause == .claimed(by: Simulation.address(twin)) && first.event.member.address == Simulation.address(4))
        #expect(!told[twin].isEmpty && told[twin][0].event.cause == .claimed(by: Simulation.address(4)), "seed \(seed)")
        #expect(!told[4].isEmpty, "seed \(seed)")
        for events in told {
            for (one, next) in zip(events, events.dropFirst()) { #expect(next.time - one.time >= .seconds(60), "seed \(seed)") }
        }
        let core = simulation.nodes[0].core
        #expect(core.contests(first.time) == [.init(name: "n4", address: Simulation.address(4), claimant: Simulation.address(twin))])
        #expect(core.counters.contests >= 1 && core.claimants.count <= SWIMLimits.checks)
        #expect(simulation.nodes[4].core.member("n4")!.incarnation < 10 && simulation.nodes[twin].core.member("n4")!.incarnation < 10, "they do not outbid each other")
        #expect(simulation.violation() == nil, "seed \(seed)")
        // The other one ends: no more is told, and nothing was lost.
        simulation.exit(twin)
        simulation.run(.seconds(300))
        for node in simulation.nodes[0..<20] { #expect(node.core.contests(simulation.now) == [] && node.core.liveCount == 20, "\(node.name), seed \(seed)") }
    }

    // MARK: A name that returns with a new address

    @Test(arguments: fixed, [false, true])
    func `a name that returns with a new address has it everywhere within seconds`(_ seed: UInt64, _ oldHostIsThere: Bool) throws {
        var simulation = try SimulationTests.pool(30, seed: seed)
        simulation.run(.seconds(3))
        // Some incarnations, so that the old life is ahead of the new.
        for number in 0..<4 { simulation.setTags(7, ["n": "\(number)"]) }
        simulation.run(.seconds(3))
        let start = simulation.now
        simulation.move(7, to: 900, oldHostIsThere: oldHostIsThere)
        simulation.join(7, [20])
        let time = simulation.run(atMost: .seconds(120)) { simulation in
            (0..<30).allSatisfy { simulation.address(of: 7, at: $0) == Simulation.address(900) && simulation.state(of: 7, at: $0) == .alive }
        }
        // A second to find out, the suspicion (none where the port refuses), five until a dead one's name is free, two to spread.
        #expect(try #require(time, "seed \(seed)") < .seconds(oldHostIsThere ? 12 : 22), "\(String(describing: time)), seed \(seed)")
        simulation.run(.seconds(60))
        #expect(simulation.agrees() && simulation.violation() == nil, "seed \(seed)")
        #expect(simulation.events(.contested, since: start) == 0, "only one of the two answers, seed \(seed)")
        for node in simulation.nodes {
            let events = node.events.filter { $0.time >= start && $0.event.kind == .died }
            #expect(events.allSatisfy { $0.event.member.name == "n7" } && events.count <= 1, "seed \(seed)")
        }
    }

    // MARK: A restart with lost state

    @Test(arguments: fixed)
    func `a restart with lost state is a member at once, with its new tags`(_ seed: UInt64) throws {
        var simulation = try SimulationTests.pool(30, seed: seed)
        for number in 0..<5 { simulation.setTags(7, ["n": "\(number)"]) }
        simulation.run(.seconds(3))
        #expect(simulation.nodes[3].core.member("n7")!.incarnation == 6)
        let start = simulation.now
        simulation.restart(7)
        simulation.setTags(7, ["life": "2"])
        simulation.join(7, [0])
        let time = simulation.run(atMost: .seconds(20)) { simulation in
            simulation.agrees() && simulation.nodes.allSatisfy { Tags(meta: $0.core.member("n7")!.meta)["life"] == "2" && $0.core.member("n7")!.incarnation > 6 }
        }
        #expect(try #require(time, "seed \(seed)") < .seconds(3), "seed \(seed)")
        simulation.run(.seconds(30))
        #expect(simulation.events(.died, since: start) == 0 && simulation.agrees() && simulation.violation() == nil, "seed \(seed)")
    }

    // MARK: A process paused for a minute

    @Test(arguments: fixed, [0, 2000])
    func `a process paused for a minute is back within seconds and has accused nobody`(_ seed: UInt64, _ backlog: Int) throws {
        var simulation = try SimulationTests.pool(30, seed: seed)
        // In the middle of a probe, whose answer the kernel keeps for it or not.
        simulation.backlogBound = backlog
        while simulation.nodes[4].core.probes.isEmpty { simulation.run(.microseconds(100)) }
        simulation.pause(4)
        simulation.run(.seconds(60))
        #expect(simulation.nodes.indices.allSatisfy { $0 == 4 || simulation.state(of: 4, at: $0) != .alive && simulation.state(of: 4, at: $0) != .suspect }, "seed \(seed)")
        let start = simulation.now
        simulation.resume(4)
        let time = simulation.run(atMost: .seconds(120)) { $0.agrees() }
        #expect(try #require(time, "seed \(seed)") < .seconds(30), "seed \(seed)")
        simulation.run(.seconds(30))
        #expect(simulation.agrees() && simulation.violation() == nil, "seed \(seed)")
        #expect(simulation.events(.died, since: start) == 0 && simulation.events(.suspected, since: start) == 0, "seed \(seed)")
    }

    // MARK: Two halves that were apart for an hour

    @Test(arguments: [1] as [UInt64])
    func `two halves that were apart for an hour are one pool again within two minutes`(_ seed: UInt64) throws {
        var simulation = try SimulationTests.pool(8, seed: seed)
        simulation.isLinked = { $0 / 4 == $1 / 4 }
        simulation.run(.seconds(3600))
        #expect(simulation.agrees(Array(0..<4)) && simulation.agrees(Array(4..<8)), "seed \(seed)")
        #expect(simulation.nodes[0].core.members.count == 4, "the others are not even listed any more")
        let start = simulation.now
        simulation.isLinked = { _, _ in true }
        let time = simulation.run(atMost: .seconds(300)) { $0.agrees() }
        #expect(try #require(time, "seed \(seed)") < .seconds(120), "seed \(seed)")
        simulation.run(.seconds(60))
        #expect(simulation.agrees() && simulation.events(.died, since: start) == 0 && simulation.violation() == nil, "seed \(seed)")
    }

    // MARK: Clock jumps

    @Test(arguments: [1, 60, 3600], fixed)
    func `a clock that jumps ahead accuses nobody and loses nobody`(_ seconds: Int, _ seed: UInt64) throws {
        var simulation = try SimulationTests.pool(20, seed: seed)
        simulation.run(.seconds(3))
        // In the middle of a probe, which is over its time at once.
        while simulation.nodes[4].core.probes.isEmpty { simulation.run(.microseconds(100)) }
        let start = simulation.now
        simulation.jump(4, by: .seconds(seconds))
        simulation.run(.seconds(60))
        #expect(simulation.agrees() && simulation.violation() == nil, "seed \(seed)")
        #expect(simulation.events(.died, since: start) == 0 && simulation.events(.suspected, since: start) == 0, "seed \(seed)")
        #expect(simulation.nodes[4].core.counters.probesDiscarded == 1, "seed \(seed)")
        // It still finds a real death, and not later than the others.
        simulation.crash(9)
        #expect(simulation.run(atMost: .seconds(40)) { $0.agrees() } != nil, "seed \(seed)")
    }

    @Test func `a jump while others are suspected or dead forgets nobody who is back`() throws {
        var simulation = try SimulationTests.pool(12, seed: 5)
        simulation.crash(3)
        simulation.run(.seconds(4))
        // It holds n3 suspected; an hour passes for its clock alone. Then n3 is back.
        simulation.jump(0, by: .seconds(3600))
        simulation.run(.seconds(1))
        simulation.restart(3)
        simulation.join(3, [1])
        #expect(simulation.run(atMost: .seconds(30)) { $0.agrees() } != nil)
        simulation.run(.seconds(60))
        #expect(simulation.agrees() && simulation.violation() == nil)
    }
}
