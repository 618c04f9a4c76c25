import MeshModel
import Platform
import Settings

extension LocalInstance {
    /// What a document under services.d says, with what this node knows about itself.
    ///
    /// - Parameters:
    ///   - workloads: this node's, among them the one that serves.
    ///   - address: this node's, for instances that do not name one.
    /// - Throws: `service_workload` when the workload is not configured here.
    package init(_ declaration: ServiceDeclaration, workloads: [Workload], address: IPAddress, trustDomain: String) throws(MeshError) {
        guard let workload = workloads.first(where: { $0.name == declaration.workload }), let identity = workload.identity(trustDomain: trustDomain)
        else {
            throw MeshError(
                .configuration, code: "service_workload",
                "\(declaration.service) is served by workload \"\(declaration.workload)\", which this node does not have",
                remedy: workloads.isEmpty ? "configure the workload" : "configured are: \(workloads.map(\.name).sorted().joined(separator: ", "))")
        }
        self.init(
            service: declaration.service, port: declaration.port,
            address: SocketAddress(declaration.address ?? address, port: declaration.targetPort),
            identity: identity, version: declaration.version, weight: declaration.weight, labels: declaration.labels,
            check: EndpointCheck(declaration.check))
    }
}
