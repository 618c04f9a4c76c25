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
    private var homes: [String: Home] = [:]

    /// A node with endpoints: where tunnels to it end, nil for this one.
    private struct Home {
        var name: NameID
        var tunnel: SocketAddress?
    }

    private let node: String
    private let names: Interner
    private let tenants: Tenants

    init(node: String, names: Interner, tenants: Tenants) {
        self.node = node
        self.names = names
        self.tenants = tenants
        homes[node] = Home(name: names.id(node), tunnel: nil)
    }

    /// Takes over a later view. True when names or their addresses are other ones, and the first time.
    mutating func follow(_ fresh: CatalogView) -> Bool {
        let isFirst = view == nil
        let old = view ?? CatalogView()
        let changes = fresh.changes(since: old)
        view = fresh
        // Which targets a service has depends on which nodes have addresses.
        if changes.nodes {
            homes = Dictionary(fresh.nodes.map { ($0.info.name, Home(name: names.id($0.info.name), tunnel: $0.info.tunnel)) }) { first, _ in first }
            homes[node] = Home(name: names.id(node), tunnel: nil)
            nodeAddresses = Dictionary(fresh.nodes.map { ($0.info.tunnel.ip, names.id($0.info.name)) }) { first, _ in first }
            tables = ServiceTables()
            serverNameOf = [:]
        }
        for name in changes.gone { tables.set(name, names.id(name.description), to: nil) }
        for service in changes.nodes ? fresh.services : changes.services where !turn(service, since: old) {
            let name = names.id(service.service.name.description)
            tables.set(service.service.name, name, to: part(service, name))
        }
        return isFirst || changes.names
    }

    /// Turns endpoints that are up or down since; false when there is more to it.
    private mutating func turn(_ service: CatalogView.ServiceView, since old: CatalogView) -> Bool {
        let name = service.service.name
        guard let old = old.service(name), old.service == service.service, old.subsets == service.subsets,
            old.endpoints.hasSameEndpoints(as: service.endpoints), tables.endpoints(of: name) == service.endpoints.count
        else { return false }
        var turned: [(place: Int, eligible: Bool)] = []
        for place in service.endpoints.reaches.indices where old.endpoints.reaches[place] != service.endpoints.reaches[place] {
            turned.append((place, service.endpoints[place].usable))
        }
        tables.turn(name, turned)
        return true
    }

    private mutating func part(_ service: CatalogView.ServiceView, _ name: NameID) -> ServiceTables.Part {
        var part = ServiceTables.Part()
        var places: [Int] = []
        // Instances of a service share theirs.
        var identity: (of: SPIFFEID, id: NameID)?
        for (place, item) in service.endpoints.enumerated() {
            let endpoint = item.endpoint
            if identity?.of != endpoint.identity { identity = (endpoint.identity, number(endpoint.identity)) }
            // Without a signed address there is no way to the node yet.
            guard let id = identity?.id, let home = homes[endpoint.node] else { continue }
            let target = Snapshot.Target(address: endpoint.address, tunnel: home.tunnel, identity: id, node: home.name, eligible: item.usable)
            part.endpoints.append((target, home.tunnel == nil ? .init(service: name, identity: id, tenant: tenant(of: endpoint)) : nil))
            places.append(place)
        }
        part.add(name, Array(part.endpoints.indices), at: service.service.addresses, port: service.service.port)
        for item in service.subsets {
            let chosen = part.endpoints.indices.filter { item.contains(service.endpoints[places[$0]].endpoint) }
            part.add(names.id(item.subset.description), chosen, at: item.addresses, port: service.service.port)
        }
        return part
    }

    private mutating func number(_ identity: SPIFFEID) -> NameID {
        let id = names.id(identity.description)
        if serverNameOf[id] == nil { serverNameOf[id] = SNI.name(for: identity, sha256: Digest.sha256) }
        return id
    }

    private func tenant(of endpoint: Endpoint) -> TenantID { endpoint.identity.workload.map { tenants.id($0.namespace) } ?? 0 }
}

extension ServiceTables.Part {
    fileprivate mutating func add(_ name: NameID, _ places: [Int], at addresses: VirtualIP.Pair, port: UInt16) {
        let entry = Snapshot.ServiceEntry(name: name, targets: places.map { endpoints[$0].target })
        entries.append((SocketAddress(addresses.v4, port: port), entry, places))
        entries.append((SocketAddress(addresses.v6, port: port), entry, places))
    }
}
