import MeshModel
import Platform
import Settings

/// How an endpoint is checked.
package struct EndpointCheck: Hashable, Sendable {
    /// Nil: it counts as healthy while it is registered.
    package var kind: HealthCheck.Kind?
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
    /// What it counts as until its checks say otherwise.
    package var initial: Health

    package init(
        kind: HealthCheck.Kind? = .tcp, port: UInt16? = nil, interval: Duration = .seconds(5), jitter: Double = 0.1, timeout: Duration = .seconds(1),
        healthyAfter: Int = 1,
        unhealthyAfter: Int = 3, initial: Health = .unknown
    ) {
        self.kind = kind
        self.port = port
        self.interval = interval
        self.jitter = jitter
        self.timeout = timeout
        self.healthyAfter = max(1, healthyAfter)
        self.unhealthyAfter = max(1, unhealthyAfter)
        self.initial = initial
    }

    /// As it was declared; nil is no check.
    package init(_ check: HealthCheck?) {
        guard let check else {
            self.init(kind: nil)
            return
        }
        self.init(
            kind: check.kind, port: check.port, interval: check.interval, jitter: check.jitter, timeout: check.timeout, healthyAfter: check.healthy,
            unhealthyAfter: check.unhealthy, initial: check.initial)
    }
}
