import MeshModel
import Platform
import Testing

@testable import Catalog

@Suite struct HealthMachineTests {
    /// `+` passed, `-` failed; the health after each, as its first letter.
    @Test(arguments: [
        (1, 1, "+-+-", "huhu"), (1, 3, "+--+---", "hhhhhhu"), (2, 3, "-+-++", "uuuuh"), (1, 3, "-+", "uh"), (3, 2, "+--+++", "hhuuuh"),
        (2, 2, "-++--", "uuhhu"),
    ])
    func thresholdsDecide(_ healthyAfter: Int, _ unhealthyAfter: Int, _ results: String, _ expected: String) {
        var machine = HealthMachine(EndpointCheck(healthyAfter: healthyAfter, unhealthyAfter: unhealthyAfter))
        #expect(machine.health == .unknown)
        var seen = ""
        for result in results {
            let before = machine.health
            let action = machine.result(result == "+" ? .passed : .failed)
            #expect(action == (machine.health == before ? .same : .changed(to: machine.health)))
            seen += machine.health.rawValue.prefix(1)
        }
        #expect(seen == expected)
    }

    /// What it is taken for at first stands until its threshold is reached, unless it is `unknown`.
    @Test(arguments: [(Health.healthy, "--+---", "hhhhhu"), (.unhealthy, "+-++", "uuuh"), (.unknown, "-+-", "uuu"), (.unknown, "+--", "hhh")])
    func whereItStartsCounts(_ initial: Health, _ results: String, _ expected: String) {
        var machine = HealthMachine(EndpointCheck(healthyAfter: 2, unhealthyAfter: 3, initial: initial))
        #expect(machine.health == initial)
        var seen = ""
        for result in results {
            _ = machine.result(result == "+" ? .passed : .failed)
            seen += machine.health.rawValue.prefix(1)
        }
        #expect(seen == expected)
    }

    @Test func withoutACheckItIsHealthyFromTheStart() {
        #expect(HealthMachine(EndpointCheck(kind: .none)).health == .healthy)
    }

    @Test(arguments: [(0.0, 9_000), (0.5, 10_000), (1.0, 11_000)])
    func theIntervalIsSpreadByTheJitter(_ random: Double, _ milliseconds: Int64) {
        #expect(HealthMachine(EndpointCheck(interval: .seconds(10), jitter: 0.1)).wait(random: random).milliseconds == milliseconds)
    }
}
