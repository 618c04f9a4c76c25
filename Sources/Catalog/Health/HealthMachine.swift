import MeshModel
import Platform

/// Turns the results of one endpoint's checks into its health.
///
/// When it starts as `unknown` the very first result decides, so that a new endpoint gets traffic after one answer and not after several.
package struct HealthMachine: Hashable, Sendable {
    package enum Result: Hashable, Sendable { case passed, failed }
    /// What one result came to.
    package enum OnResult: Hashable, Sendable {
        case same
        case changed(to: Health)
    }

    package let check: EndpointCheck
    package private(set) var health: Health
    private var passes = 0
    private var failures = 0

    package init(_ check: EndpointCheck) {
        self.check = check
        health = check.kind == nil ? .healthy : check.initial
    }

    package mutating func result(_ result: Result) -> OnResult {
        switch result {
        case .passed:
            passes += 1
            failures = 0
        case .failed:
            failures += 1
            passes = 0
        }
        let next: Health =
            switch (health, result) {
            case (.unknown, .passed): .healthy
            case (.unknown, .failed): .unhealthy
            case (.healthy, .failed): failures >= check.unhealthyAfter ? .unhealthy : .healthy
            case (.unhealthy, .passed): passes >= check.healthyAfter ? .healthy : .unhealthy
            case (.healthy, .passed), (.unhealthy, .failed): health
            }
        guard next != health else { return .same }
        health = next
        return .changed(to: next)
    }

    /// How long to wait from one check's start to the next's.
    /// - Parameter random: 0..<1.
    package func wait(random: Double) -> Duration {
        let factor = 1 + min(max(check.jitter, 0), 0.5) * (2 * random - 1)
        return .nanoseconds(Int64(Double(check.interval.nanoseconds) * factor))
    }
}
