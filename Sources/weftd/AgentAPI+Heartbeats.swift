import Capture
import Catalog
import Identity
import ManagementAPI
import MeshModel
import Platform
import Reactor
import Settings

/// What applications say about themselves.
extension AgentAPI {
    @Control
    func heartbeat(_ service: ServiceReference, _ request: HeartbeatRequest, from process: Int32?) async throws(APIError) -> HeartbeatReport {
        try await explained { () async throws(MeshError) in
            let mesh = try requireMesh()
            guard let name = ServiceName(service.name, namespace: service.namespace) else { throw Self.noService(service, mesh) }
            let address = try request.address.map { text throws(MeshError) in try Self.address(text, of: name) }
            let target = try mesh.catalog.heartbeatTarget(name, address: address)
            if let process { try Self.require(process, of: target.instance, in: mesh) }
            let status = mesh.catalog.heartbeat(target, isPassing: request.status == .passing, note: request.note)
            guard case .ttl(let ttl) = status.instance.check.kind else { preconditionFailure("the catalog takes heartbeats for ttl checks only") }
            return HeartbeatReport(address: "\(status.instance.address)", health: status.health.rawValue, ttlMilliseconds: ttl.milliseconds)
        }
    }

    /// Only a process of the workload that serves an endpoint may speak for it; which workload a process belongs to is its cgroup's word.
    @Control
    private static func require(_ process: Int32, of instance: LocalInstance, in mesh: Mesh) throws(MeshError) {
        let workload = mesh.capture.workload(of: process)
        if let workload, workload.identity(trustDomain: mesh.credentials.trustDomain) == instance.identity { return }
        let speaker = workload.map { "workload \($0.name)" } ?? "no workload of this node"
        throw MeshError(
            .policy, code: "other_workload",
            "\(instance.service) is served by \(instance.identity), and process \(process) belongs to \(speaker)",
            remedy: "send heartbeats from the unit that serves it, which a workload in weft.yaml names, or as root or group weft-admin")
    }
}
