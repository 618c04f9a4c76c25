import Catalog
import MeshModel
import Platform
import Proxy
import TLS

/// What workers read of the catalog, kept from one snapshot to the next: a change of one service compiles that service.
struct CompiledCatalog {
    private(set) var tables = ServiceTables()
    private(set) var nodeAddresses: [IPAddress: NameID] = [:]
    /// Of the services' identities. Instances of a service share theirs: its name is made once, not for each of them.
    private(set) var serverNameOf: [NameID: String] = [:]
    private var view: CatalogView?
    /// Where tunnels to each node end.
    private var tunnels: [String: SocketAddress] = [:]

    private let node: String
    private let names: Interner
    private let tenants: Tenants

    init(node: String, names: Interner, tenants: Tenants) {
        self.node = node
        self.names = names
        self.tenants = tenants
    }

    /// Takes over a later view. True when names or their addresses are other ones, and the first time.
    mutating func follow(_ fresh: CatalogView) -> Bool {
        let isFirst = view == nil
        let changes = fresh.changes(since: view ?? CatalogView())
        view = fresh
        // Which targets a service has depends on which nodes have addresses.
        if changes.nodes {
            tunnels = Dictionary(fresh.nodes.map { ($0.info.name, $0.info.tunnel) }) { first, _ in first }
            nodeAddresses = Dictionary(fresh.nodes.map { ($0.info.tunnel.ip, names.id($0.info.name)) }) { first, _ in first }
            tables = ServiceTables()
            serverNameOf = [:]
        }
        for name in changes.gone { tables.set(name, names.id(name.description), to: nil) }
        for service in changes.nodes ? fresh.services : changes.services {
            let name = names.id(service.service.name.description)
            tables.set(service.service.name, name, to: part(service, name))
        }
        return isFirst || changes.names
    }

    private mutating func part(_ service: CatalogView.ServiceView, _ name: NameID) -> ServiceTables.Part {
        var part = ServiceTables.Part()
        var endpoints: [Endpoint] = []
        for item in service.endpoints {
            let endpoint = item.endpoint
            let identity = names.id(endpoint.identity.description)
            if serverNameOf[identity] == nil { serverNameOf[identity] = SNI.name(for: endpoint.identity, sha256: Digest.sha256) }
            let isLocal = endpoint.node == node
            // Without a signed address there is no way to the node yet.
            guard isLocal || tunnels[endpoint.node] != nil else { continue }
            let target = Snapshot.Target(
                address: endpoint.address, tunnel: isLocal ? nil : tunnels[endpoint.node], identity: identity, node: names.id(endpoint.node), eligible: item.usable)
            part.endpoints.append((target, isLocal ? .init(service: name, identity: identity, tenant: tenant(of: endpoint)) : nil))
            endpoints.append(endpoint)
        }
        let targets = part.endpoints.map(\.target)
        part.add(Snapshot.ServiceEntry(name: name, targets: targets), at: service.service.addresses, port: service.service.port)
        for item in service.subsets {
            let chosen = zip(endpoints, targets).filter { item.contains($0.0) }.map(\.1)
            part.add(Snapshot.ServiceEntry(name: names.id(item.subset.description), targets: chosen), at: item.addresses, port: service.service.port)
        }
        return part
    }

    private func tenant(of endpoint: Endpoint) -> TenantID { endpoint.identity.workload.map { tenants.id($0.namespace) } ?? 0 }
}

extension ServiceTables.Part {
    fileprivate mutating func add(_ entry: Snapshot.ServiceEntry, at addresses: VirtualIP.Pair, port: UInt16) {
        entries.append((SocketAddress(addresses.v4, port: port), entry))
        entries.append((SocketAddress(addresses.v6, port: port), entry))
    }
}
