import MeshModel
import Platform

/// How an endpoint is checked.
package struct EndpointCheck: Hashable, Sendable {
    package enum Kind: Hashable, Sendable {
        /// Counts as healthy while it is registered.
        case none
        /// Connects to the endpoint's own address.
        case tcp
    }
    package var kind: Kind
    /// The port to check at the endpoint's own address; nil is the endpoint's own.
    package var port: UInt16?
    package var interval: Duration
    /// Each wait is longer or shorter by up to this share of the interval, 0–0.5, so that checks of many nodes do not beat together.
    package var jitter: Double
    package var timeout: Duration
    /// Successes in a row that make it healthy.
    package var healthyAfter: Int
    /// Failures in a row that make it unhealthy.
    package var unhealthyAfter: Int

    package init(
        kind: Kind = .tcp, port: UInt16? = nil, interval: Duration = .seconds(5), jitter: Double = 0.1, timeout: Duration = .seconds(1),
        healthyAfter: Int = 1,
        unhealthyAfter: Int = 3
    ) {
        self.kind = kind
        self.port = port
        self.interval = interval
        self.jitter = jitter
        self.timeout = timeout
        self.healthyAfter = max(1, healthyAfter)
        self.unhealthyAfter = max(1, unhealthyAfter)
    }
}

/// Turns the results of one endpoint's checks into its health.
///
/// It starts as `unknown` and the very first result decides, so that a new endpoint gets traffic after one answer and not after several.
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
        health = check.kind == .none ? .healthy : .unknown
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
