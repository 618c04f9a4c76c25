import MeshModel
import Platform

/// One instance of a service on this node, as its owner describes it.
package struct LocalInstance: Hashable, Sendable {
    package var service: ServiceName
    /// The port that clients call.
    package var port: UInt16
    /// Where the application listens.
    package var address: SocketAddress
    package var identity: SPIFFEID
    package var version: String
    package var weight: UInt32
    package var labels: [String: String]
    /// Nil takes the node's.
    package var locality: Locality?
    package var check: EndpointCheck

    package init(
        service: ServiceName, port: UInt16, address: SocketAddress, identity: SPIFFEID, version: String = "", weight: UInt32 = 1,
        labels: [String: String] = [:], locality: Locality? = nil, check: EndpointCheck = EndpointCheck()
    ) {
        self.service = service
        self.port = port
        self.address = address
        self.identity = identity
        self.version = version
        self.weight = weight
        self.labels = labels
        self.locality = locality
        self.check = check
    }

    /// A service has one instance per address.
    package struct ID: Hashable, Sendable, Comparable, CustomStringConvertible {
        package var service: ServiceName
        package var address: SocketAddress
        package init(service: ServiceName, address: SocketAddress) {
            self.service = service
            self.address = address
        }
        package static func < (a: ID, b: ID) -> Bool { (a.service, a.address) < (b.service, b.address) }
        package var description: String { "\(service)/\(address)" }
    }
    package var id: ID { ID(service: service, address: address) }

    func endpoint(node: NodeInfo, health: Health) -> Endpoint {
        Endpoint(
            service: service, address: address, identity: identity, node: node.name, version: version, weight: weight,
            locality: locality ?? node.locality,
            labels: labels, health: health)
    }
}

/// A local instance with what its checks say, for `weft services` and `weft workloads`.
package struct LocalStatus: Hashable, Sendable {
    package enum Source: String, Hashable, Sendable {
        /// From a file under services.d; it goes when the file does.
        case declared
        /// With `weft service register`; kept over restarts until it is deregistered.
        case registered
    }
    package var instance: LocalInstance
    package var source: Source
    package var health: Health
    /// Why the last check failed; empty after one that passed.
    package var lastFailure: String
    /// The end of what the last check's program printed, or what came with the last heartbeat; empty for other kinds.
    package var lastOutput: String
}
