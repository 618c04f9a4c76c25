import MeshModel
import Platform
import Testing

@testable import Identity

@Suite struct RenewalScheduleTests {
    let start = WallTime(seconds: 1_700_000_000)
    func at(_ seconds: Int64, _ milliseconds: Int32 = 0) -> WallTime {
        WallTime(seconds: start.seconds + seconds, nanoseconds: milliseconds * 1_000_000)
    }

    @Test func `a missing certificate is due at once`() {
        let schedule = RenewalSchedule(now: start)
        #expect(schedule.isDue(start) && schedule.state(start) == .missing)
    }

    @Test(arguments: [(0.0, 43_200), (0.5, 38_880), (0.999_999, 34_560)] as [(Double, Int64)])
    func `renewal is due at half of the life or up to a tenth of the life before`(random: Double, due: Int64) {
        let schedule = RenewalSchedule(notBefore: start, notAfter: at(86_400), random: random)
        #expect(!schedule.isDue(at(due - 1)))
        #expect(schedule.isDue(at(due + 1)))
        #expect(schedule.state(at(86_399)) == .valid && schedule.state(at(86_400)) == .expired)
    }

    @Test(
        arguments: [(0, 500), (1, 1_000), (2, 2_000), (5, 16_000), (8, 128_000), (9, 150_000), (10, 150_000), (1_000_000, 150_000)] as [(Int, Int64)])
    func `the wait doubles from half a second to 150 seconds`(failures: Int, milliseconds: Int64) {
        #expect(RenewalSchedule.backoff(failures: failures, random: 0).milliseconds == milliseconds)
        let shortened = RenewalSchedule.backoff(failures: failures, random: 0.999_999).milliseconds
        #expect(shortened >= milliseconds / 2 - 1 && shortened <= milliseconds / 2 + 1)
    }

    @Test func `failures keep the old certificate, and a success starts over`() {
        var schedule = RenewalSchedule(notBefore: start, notAfter: at(86_400), random: 0)
        schedule.asked()
        #expect(schedule.due == nil)
        schedule.failed(now: at(43_200), random: 0)
        #expect(schedule.due == at(43_200, 500) && schedule.state(at(43_201)) == .valid && schedule.failures == 1)
        schedule.asked()
        schedule.failed(now: at(43_200, 700), random: 0)
        #expect(schedule.due == at(43_201, 700))
        schedule.asked()
        schedule.issued(notBefore: at(43_200), notAfter: at(129_600), random: 0)
        #expect(schedule.failures == 0 && schedule.due == at(86_400))
    }

    @Test func `a certificate without a life is due at once and expired`() {
        let schedule = RenewalSchedule(notBefore: at(10), notAfter: start, random: 0.5)
        #expect(schedule.isDue(at(10)) && schedule.state(at(11)) == .expired)
    }
}

@Suite struct RenewalPlanTests {
    let start = WallTime(seconds: 1_700_000_000)
    func id(_ name: String) -> SPIFFEID { SPIFFEID(trustDomain: "mesh.test", namespace: "n", account: name)! }

    @Test func `the node's own comes first, then what is missing, then what ends first`() {
        var plan = RenewalPlan()
        let node = SPIFFEID(trustDomain: "mesh.test", node: "b")!
        plan.track(id("soon"), RenewalSchedule(notBefore: start - .seconds(90), notAfter: start + .seconds(10), random: 0))
        plan.track(id("later"), RenewalSchedule(notBefore: start - .seconds(90), notAfter: start + .seconds(20), random: 0))
        plan.track(id("fresh"), RenewalSchedule(notBefore: start, notAfter: start + .seconds(100), random: 0))
        plan.track(id("missing"), RenewalSchedule(now: start))
        plan.track(node, RenewalSchedule(notBefore: start - .seconds(90), notAfter: start + .seconds(50), random: 0))
        #expect(plan.takeDue(start, most: 3) == [node, id("missing"), id("soon")])
        #expect(plan.takeDue(start, most: 64) == [id("later")])
        #expect(plan.takeDue(start, most: 64) == [])
        #expect(plan.sleep(start) == .seconds(50))
    }

    @Test func `the sleep is bounded, since wall clocks jump`() {
        var plan = RenewalPlan()
        #expect(plan.sleep(start) == nil)
        plan.track(id("x"), RenewalSchedule(notBefore: start, notAfter: start + .seconds(86_400), random: 0))
        #expect(plan.sleep(start) == RenewalPlan.longestSleep)
        #expect(plan.sleep(start + .seconds(50_000)) == .zero)
    }

    @Test func `a failure and a success are told apart`() {
        var plan = RenewalPlan()
        plan.track(id("x"), RenewalSchedule(now: start))
        _ = plan.takeDue(start, most: 1)
        plan.failed(id("x"), MeshError(.peer, code: "c", "m"), now: start, random: 0)
        #expect(plan.entries[id("x")]?.lastError?.code == "c")
        plan.issued(id("x"), notBefore: start, notAfter: start + .seconds(10), random: 0)
        #expect(plan.entries[id("x")]?.lastError == nil)
        plan.drop(id("x"))
        plan.failed(id("x"), MeshError(.peer, code: "c", "m"), now: start, random: 0)
        #expect(plan.entries.isEmpty)
    }
}
