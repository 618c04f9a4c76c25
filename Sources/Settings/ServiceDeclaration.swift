import MeshModel
import Platform

/// One service instance of this node, as a document in `services.d/*.yaml` declares it.
package struct ServiceDeclaration: Hashable, Sendable {
    package var service: ServiceName
    /// What clients call.
    package var port: UInt16
    /// The name of the local workload that serves it.
    package var workload: String
    /// Where the application listens; the same as `port` unless written.
    package var targetPort: UInt16
    /// Where the application listens; nil: the node's address.
    package var address: IPAddress?
    /// Its version label, empty when it has none.
    package var version = ""
    /// Its share of the traffic among its peers, 1–1,000,000.
    package var weight: UInt32 = 1
    package var labels: [String: String] = [:]
    /// Nil: never checked, always taken as healthy.
    package var check: HealthCheck? = HealthCheck()

    package init(service: ServiceName, port: UInt16, workload: String) {
        self.service = service
        self.port = port
        self.workload = workload
        self.targetPort = port
    }
}
