import Testing

@testable import Traffic

@Suite("Round robin")
struct RoundRobinTests {
    @Test("each eligible candidate is taken equally often", arguments: [1, 2, 3, 7])
    func fair(count: Int) {
        var balancer = RoundRobin(start: 5)
        var taken = [Int](repeating: 0, count: count)
        for _ in 0..<count * 10 { taken[balancer.pick(count: count) { _ in true }!] += 1 }
        #expect(taken == Array(repeating: 10, count: count))
    }

    @Test("those that are not eligible are passed over, and none is none")
    func ineligible() {
        var balancer = RoundRobin()
        var picks: [Int?] = []
        for _ in 0..<4 { picks.append(balancer.pick(count: 4) { $0 % 2 == 1 }) }
        #expect(picks == [1, 3, 1, 3])
        let none = balancer.pick(count: 4) { _ in false }
        let empty = balancer.pick(count: 0) { _ in true }
        #expect(none == nil && empty == nil)
    }

    @Test("a candidate list that shrank is no trap")
    func shrinks() {
        var balancer = RoundRobin(start: 9)
        let pick = balancer.pick(count: 2) { _ in true }
        #expect(pick == 1)
    }
}
