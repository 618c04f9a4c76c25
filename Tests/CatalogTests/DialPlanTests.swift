import Platform
import Testing

@testable import Catalog

@Suite struct DialPlanTests {
    private let b = SocketAddress("192.0.2.2:15008")!
    private let seed = SocketAddress("192.0.2.9:15008")!

    @Test func theSmallerNameDialsAndTheOtherWaits() {
        var small = DialPlan(node: "a")
        small.setNodes(["b": b], .at(0))
        #expect(small.due(.at(0)) == [.init(target: .node("b"), address: b)])
        #expect(small.due(.at(0)).isEmpty, "it is under way")
        var large = DialPlan(node: "c")
        large.setNodes(["b": b, "c": seed], .at(0))
        #expect(large.due(.at(4.9)).isEmpty)
        #expect(large.due(.at(5)).map(\.target) == [.node("b")])
    }

    @Test func aConnectedOrDeadNodeIsNotDialled() {
        var plan = DialPlan(node: "a")
        plan.setNodes(["b": b], .at(0))
        plan.connected("b")
        #expect(plan.due(.at(1)).isEmpty)
        plan.disconnected("b", .at(1), random: 0)
        #expect(plan.due(.at(1.2)).isEmpty)
        plan.setGone("b", true, .at(1.2), random: 0)
        #expect(plan.due(.at(10)).isEmpty)
        plan.setGone("b", false, .at(11), random: 0)
        #expect(plan.due(.at(11)).count == 1)
    }

    @Test(arguments: [(1, 0.005), (100, 0.5), (1_000, 2)])
    func thoseThatDialANodeThatReturnsDoNotDialAtOnce(_ nodes: Int, _ seconds: Double) {
        var plan = DialPlan(node: "a")
        let names = (0..<nodes).map { "b\($0)" }
        plan.setNodes(Dictionary(uniqueKeysWithValues: names.map { ($0, b) }), .at(0))
        for name in names where name != "b0" { plan.connected(name) }
        plan.setGone("b0", true, .at(1), random: 0.5)
        plan.setGone("b0", false, .at(2), random: 0.5)
        #expect(plan.due(.at(2 + seconds / 2 - 0.001)).isEmpty)
        #expect(plan.due(.at(2 + seconds / 2)).map(\.target) == [.node("b0")])
    }

    @Test func aDeadNodeIsDialledOnceWhenItIsCalled() {
        var plan = DialPlan(node: "c")
        plan.setNodes(["b": b], .at(0))
        plan.callOnce("b", .at(1))
        #expect(plan.due(.at(1)).isEmpty, "it is not gone: it has its turn")
        plan.setGone("b", true, .at(2), random: 0)
        plan.callOnce("nobody", .at(2))
        #expect(plan.due(.at(100)).isEmpty)
        plan.callOnce("b", .at(100))
        let dials = plan.due(.at(100))
        #expect(dials == [.init(target: .node("b"), address: b)])
        plan.finished(dials[0], reached: nil, .at(101), random: 0)
        #expect(plan.due(.at(1000)).isEmpty, "once")
    }

    @Test func failuresWaitLongerAndLongerUpToHalfAMinute() {
        var plan = DialPlan(node: "a")
        plan.setNodes(["b": b], .at(0))
        var now = 0.0
        var waits: [Double] = []
        for _ in 0..<9 {
            let dial = plan.due(.at(now))[0]
            plan.finished(dial, reached: nil, .at(now), random: 1)
            let start = now
            while plan.due(.at(now)).isEmpty { now += 0.25 }
            waits.append(now - start)
            plan.finished(dial, reached: nil, .at(now), random: 1)
            now += 31
        }
        #expect(waits.first == 0.5)
        #expect(waits.last == 30)
        #expect(waits == waits.sorted())
    }

    @Test func aNewAddressIsTriedAtOnce() {
        var plan = DialPlan(node: "a")
        plan.setNodes(["b": b], .at(0))
        for second in 0..<5 {
            for dial in plan.due(.at(Double(second) * 40)) { plan.finished(dial, reached: nil, .at(Double(second) * 40), random: 1) }
        }
        plan.setNodes(["b": seed], .at(161))
        #expect(plan.due(.at(161)) == [.init(target: .node("b"), address: seed)])
    }

    @Test func aSeedIsDialledUntilItsNodeIsKnown() {
        var plan = DialPlan(node: "a")
        plan.setSeeds([seed], .at(0))
        let dial = plan.due(.at(0))[0]
        #expect(dial == .init(target: .seed(seed), address: seed))
        plan.finished(dial, reached: "z", .at(0), random: 0)
        plan.connected("z")
        plan.setNodes(["z": seed], .at(0))
        #expect(plan.due(.at(100)).isEmpty)
        // Lost: from now on it is a node among others.
        plan.disconnected("z", .at(100), random: 0)
        #expect(plan.due(.at(101)).map(\.target) == [.node("z")])
        // Its records are gone: the seed is all that is left.
        plan.setNodes([:], .at(102))
        #expect(plan.due(.at(102)).map(\.target) == [.seed(seed)])
        plan.setSeeds([], .at(103))
        #expect(plan.due(.at(200)).isEmpty)
    }

    @Test func aSeedThatIsThisNodeIsDialledOnce() {
        var plan = DialPlan(node: "a")
        plan.setSeeds([seed], .at(0))
        plan.finished(plan.due(.at(0))[0], reached: "a", .at(0), random: 0)
        #expect(plan.due(.at(100)).isEmpty)
    }

    @Test func onlySoManyDialsAreUnderWay() {
        var plan = DialPlan(node: "a")
        plan.setNodes(
            Dictionary(uniqueKeysWithValues: (0..<100).map { ("n\($0)", SocketAddress(IPAddress(v4: 0xc000_0200 + UInt32($0)), port: 1)) }), .at(0))
        #expect(plan.due(.at(0)).count == DialPlan.simultaneous)
        #expect(plan.due(.at(0)).isEmpty)
    }

    @Test(arguments: [
        ("a", "b", false, true, true), ("a", "b", true, false, false), ("b", "a", true, false, true), ("b", "a", false, true, false),
        ("a", "b", true, true, true),
    ])
    func bothEndsKeepTheSameOfTwoStreams(_ node: String, _ peer: String, _ oldHere: Bool, _ newHere: Bool, _ keepsNew: Bool) {
        #expect(StreamChoice.keepsNew(node: node, peer: peer, oldDialledHere: oldHere, newDialledHere: newHere) == keepsNew)
        // The other end sees who dialled the other way round.
        #expect(StreamChoice.keepsNew(node: peer, peer: node, oldDialledHere: !oldHere, newDialledHere: !newHere) == keepsNew)
    }
}
