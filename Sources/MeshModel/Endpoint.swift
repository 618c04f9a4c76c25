import Platform

/// One instance of a service: a workload at an address.
///
/// Never changed and shared: each view of the catalog passes all of them on, and one that is the same object is the same without a look at its parts.
package final class Endpoint: Hashable, Sendable {
    /// The service it serves.
    package let service: ServiceName
    /// Where the application listens, as seen on its own node.
    package let address: SocketAddress
    /// The identity that a caller must find at the other end.
    package let identity: SPIFFEID
    /// The node it runs on.
    package let node: String
    /// Its version label (`v1`), empty when it has none.
    package let version: String
    /// Its share of the traffic among its peers, 1–1,000,000.
    package let weight: UInt32
    package let locality: Locality
    package let labels: [String: String]
    package let health: Health

    package init(
        service: ServiceName, address: SocketAddress, identity: SPIFFEID, node: String, version: String = "", weight: UInt32 = 1,
        locality: Locality = Locality(), labels: [String: String] = [:], health: Health = .healthy
    ) {
        self.service = service
        self.address = address
        self.identity = identity
        self.node = node
        self.version = version
        self.weight = weight
        self.locality = locality
        self.labels = labels
        self.health = health
    }

    package static func == (a: Endpoint, b: Endpoint) -> Bool {
        a === b
            || a.address == b.address && a.health == b.health && a.service == b.service && a.identity == b.identity && a.node == b.node
                && a.version == b.version && a.weight == b.weight && a.locality == b.locality && a.labels == b.labels
    }

    package func hash(into hasher: inout Hasher) {
        hasher.combine(service)
        hasher.combine(address)
        hasher.combine(node)
    }
}

/// What the owner's health check says. A node's death is separate: it takes endpoints out without changing this.
package enum Health: String, Hashable, Sendable, Codable { case healthy, unhealthy, unknown }

/// Where something runs, from the widest to the narrowest; empty parts are unknown.
package struct Locality: Hashable, Sendable {
    package var region: String
    package var zone: String
    package init(region: String = "", zone: String = "") {
        self.region = region
        self.zone = zone
    }
}

/// A service as clients see it: a name, ports, and the addresses it resolves to.
package struct Service: Hashable, Sendable {
    package var name: ServiceName
    /// The port that clients call; the endpoint's own port may differ.
    package var port: UInt16
    package var addresses: VirtualIP.Pair
    package init(name: ServiceName, port: UInt16, addresses: VirtualIP.Pair) {
        self.name = name
        self.port = port
        self.addresses = addresses
    }
}
