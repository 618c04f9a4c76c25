import MeshModel

/// Whose a name is: a service's, or that of one version of it.
package struct Owner: Hashable, Sendable {
    package var service: ServiceName
    /// Nil: all of them.
    package var version: String?

    package init(_ service: ServiceName, version: String? = nil) {
        self.service = service
        self.version = version
    }

    /// The name that answers point at.
    var fullName: [String] { (version.map { [$0] } ?? []) + [service.name, service.namespace, "svc", "mesh"] }
}
