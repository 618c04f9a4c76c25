import MeshModel
import Platform

/// The catalog as the rest of the agent sees it: immutable, sorted by name, complete.
package struct CatalogView: Sendable, Equatable {
    /// Grows with each view.
    package var sequence: UInt64
    package var nodes: [NodeView]
    package var services: [ServiceView]

    package init(sequence: UInt64 = 0, nodes: [NodeView] = [], services: [ServiceView] = []) {
        self.sequence = sequence
        self.nodes = nodes
        self.services = services
    }

    package struct NodeView: Sendable, Equatable {
        package var info: NodeInfo
        /// Nil while membership has not heard of it.
        package var liveness: Liveness?
        /// Its endpoints may get traffic.
        package var reachable: Bool
        /// Known from before this agent's start, and not confirmed since.
        package var stale: Bool
        /// How far its records are known.
        package var position: Position
        package var endpoints: Int
    }

    package struct ServiceView: Sendable, Equatable {
        package var service: Service
        /// Empty never: a service without endpoints is not in the view.
        package var endpoints: EndpointList
        /// Versions of it, and what resources name, that have addresses of their own, sorted.
        package var subsets: [SubsetView] = []
    }

    package struct SubsetView: Sendable, Equatable {
        package var subset: Subset
        package var addresses: VirtualIP.Pair
        /// What a resource says of it; nil: the endpoints of the version of that name.
        package var rule: SubsetRule?

        package func contains(_ endpoint: Endpoint) -> Bool { rule?.matches(endpoint) ?? (endpoint.version == subset.version) }
    }

    package struct EndpointView: Sendable, Equatable {
        package var endpoint: Endpoint
        /// Its node is not known to be gone.
        package var reachable: Bool
        package var stale: Bool
        /// May get traffic: reachable and not known to be unhealthy.
        package var usable: Bool { reachable && endpoint.health != .unhealthy }
    }

    /// - Complexity: O(log services).
    package func service(_ name: ServiceName) -> ServiceView? { services.place(of: name).map { services[$0] } }
}

extension [CatalogView.ServiceView] {
    /// Where a service is among services in order of their names.
    func place(of name: ServiceName) -> Int? {
        var low = 0
        var high = count
        while low < high {
            let middle = (low + high) / 2
            if self[middle].service.name < name { low = middle + 1 } else { high = middle }
        }
        return low < count && self[low].service.name == name ? low : nil
    }
}
