import Catalog
import ManagementAPI
import MeshModel
import Platform
import Reactor
import Settings

/// What applications say about themselves.
extension AgentAPI {
    @Control
    func heartbeat(_ service: ServiceReference, _ request: HeartbeatRequest) async throws(APIError) -> HeartbeatReport {
        try await explained { () async throws(MeshError) in
            let mesh = try requireMesh()
            guard let name = ServiceName(service.name, namespace: service.namespace) else { throw Self.noService(service, mesh) }
            let address = try request.address.map { text throws(MeshError) in try Self.address(text, of: name) }
            let status = try mesh.catalog.heartbeat(name, address: address, isPassing: request.status == .passing, note: request.note)
            guard case .ttl(let ttl) = status.instance.check.kind else { preconditionFailure("the catalog takes heartbeats for ttl checks only") }
            return HeartbeatReport(address: "\(status.instance.address)", health: status.health.rawValue, ttlMilliseconds: ttl.milliseconds)
        }
    }
}
