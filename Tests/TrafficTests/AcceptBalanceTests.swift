import Testing

@testable import Traffic

@Suite("Accept balance")
struct AcceptBalanceTests {
    @Test(
        "a worker with a quarter more flows gives one away, and one with as many when it is clearly busier",
        arguments: [
            (0, 0, 0, 0, false), (1, 0, 0, 0, true), (1, 0, 1, 0, false), (2, 0, 1, 0, true), (5, 0, 4, 0, false), (6, 0, 4, 0, true), (125, 0, 100, 0, false),
            (126, 0, 100, 0, true), (3, 0, 4, 0, false), (4, 60, 4, 10, true), (4, 60, 4, 11, false), (3, 100, 4, 0, false), (5, 100, 4, 50, true),
        ])
    func flows(own: Int, busy: Int, other: Int, otherBusy: Int, given: Bool) {
        #expect(AcceptBalance.flows.prefers(.init(connections: other, busy: otherBusy), to: .init(connections: own, busy: busy)) == given)
    }

    @Test(
        "but not what will be gone in a moment",
        arguments: [(17, 15, 2, false), (18, 15, 2, false), (19, 15, 2, true), (30, 10, 20, false), (31, 10, 20, true), (16, 0, 400, false), (600, 100, 400, true)])
    func passing(own: Int, other: Int, passing: Int, given: Bool) {
        #expect(AcceptBalance.flows.prefers(.init(connections: other, busy: 0), to: .init(connections: own, busy: 0), passing: passing) == given)
    }

    @Test(
        "no worker gets two tunnels more than another",
        arguments: [
            (0, 0, 0, 0, false), (1, 0, 0, 0, true), (1, 0, 1, 0, false), (9, 0, 8, 0, true), (8, 0, 9, 0, false), (8, 100, 8, 40, true), (8, 100, 9, 0, false),
        ])
    func tunnels(own: Int, busy: Int, other: Int, otherBusy: Int, given: Bool) {
        #expect(AcceptBalance.tunnels.prefers(.init(connections: other, busy: otherBusy), to: .init(connections: own, busy: busy)) == given)
    }
}
