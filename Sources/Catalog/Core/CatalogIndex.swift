import MeshModel
import Platform

/// Services by name, built from records one change at a time: a view costs what changed, not what is known.
struct CatalogIndex: Sendable {
    private struct Reference: Hashable {
        var origin: String
        var key: RecordKey
    }
    private struct Entry {
        var endpoints: [Reference: (endpoint: Endpoint, port: UInt16)] = [:]
        var conflict: [UInt16: [String]] = [:]
        /// Versions beyond the bound, as last told.
        var refusedVersions = 0
    }
    /// What endpoints are sorted by: they have many parts, and a sort moves what it sorts.
    private struct Rank: Comparable {
        var origin: String
        var address: SocketAddress
        var key: RecordKey
        var place: Int
        static func < (a: Rank, b: Rank) -> Bool { (a.origin, a.address, a.key) < (b.origin, b.address, b.key) }
    }

    private(set) var nodes: [String: NodeInfo] = [:]
    private var sortedNodes: [NodeInfo]?
    private var services: [ServiceName: Entry] = [:]
    private var byOrigin: [String: [RecordKey: ServiceName]] = [:]
    private var addresses: [ServiceName: VirtualIP.Pair] = [:]
    private var rules: [ServiceName: [SubsetRule]] = [:]
    /// As of the last build, in order; those of `changed` are behind.
    private var built: [CatalogView.ServiceView] = []
    private var changed: Set<ServiceName> = []
    /// Those of which only endpoints' reach is behind, and whose endpoints' it is.
    private var reached: Set<ServiceName> = []
    private var touched: Set<String> = []
    /// A service came or went, so addresses may move.
    private var namesChanged = false
    /// In order of `built`.
    private var subsets: [[Subset]] = []
    private var subsetAddresses: [[VirtualIP.Pair?]] = []

    /// What nodes say of themselves, in order of their names; sorted again when one of them said something else.
    mutating func nodesInOrder() -> [NodeInfo] {
        if let sortedNodes { return sortedNodes }
        let sorted = nodes.values.sorted { $0.name < $1.name }
        sortedNodes = sorted
        return sorted
    }

    /// How many endpoints an origin has.
    func endpoints(of origin: String) -> Int { byOrigin[origin]?.count ?? 0 }

    /// Subsets that resources name; a version of the same name is not one any more. False when nothing was changed by it.
    mutating func setRules(_ fresh: [ServiceName: [SubsetRule]]) -> Bool {
        guard fresh != rules else { return false }
        for name in Set(rules.keys).union(fresh.keys) where rules[name] != fresh[name] { changed.insert(name) }
        rules = fresh
        return true
    }

    /// Enters a record's content, or takes it out with nil. False when nothing was changed by it.
    @discardableResult
    mutating func set(_ key: RecordKey, of origin: String, to content: RecordContent?) -> Bool {
        switch content {
        case .node(let info):
            guard nodes[origin] != info else { return false }
            nodes[origin] = info
            sortedNodes = nil
            return true
        case .endpoint(let endpoint, let port):
            let reference = Reference(origin: origin, key: key)
            if let service = byOrigin[origin]?[key] {
                if service == endpoint.service, let old = services[service]?.endpoints[reference], old.endpoint == endpoint, old.port == port {
                    return false
                }
                if service != endpoint.service { removeEndpoint(reference, from: service) }
            }
            byOrigin[origin, default: [:]][key] = endpoint.service
            if services[endpoint.service] == nil { namesChanged = true }
            services[endpoint.service, default: Entry()].endpoints[reference] = (endpoint, port)
            changed.insert(endpoint.service)
            return true
        case .opaque, nil:
            if key.kind == RecordKey.nodeKind, content == nil {
                sortedNodes = nil
                return nodes.removeValue(forKey: origin) != nil
            }
            guard let service = byOrigin[origin]?[key] else { return false }
            removeEndpoint(Reference(origin: origin, key: key), from: service)
            return true
        }
    }

    /// Takes out everything of an origin.
    mutating func remove(_ origin: String) {
        nodes[origin] = nil
        sortedNodes = nil
        for (key, service) in byOrigin[origin] ?? [:] { removeEndpoint(Reference(origin: origin, key: key), from: service) }
        byOrigin[origin] = nil
    }

    /// The origin's reach changed.
    mutating func touch(_ origin: String) {
        guard let services = byOrigin[origin], !services.isEmpty else { return }
        touched.insert(origin)
        reached.formUnion(services.values)
    }

    /// All services in order of their names. Conflicts about ports that were not there at the last build go to `conflicts`.
    mutating func build(_ reach: (String) -> Reach, conflicts: inout [CatalogEvent]) -> [CatalogView.ServiceView] {
        if namesChanged { assignPlaces() }
        var subsetsChanged = namesChanged
        var places: [Int] = []
        for name in changed.sorted() {
            guard let place = built.place(of: name), let fresh = view(name, reach, &conflicts) else { continue }
            built[place] = fresh.view
            if subsets[place] != fresh.subsets {
                subsets[place] = fresh.subsets
                subsetsChanged = true
            }
            places.append(place)
        }
        for name in reached.subtracting(changed) { if let place = built.place(of: name) { updateReach(place, reach) } }
        reached = []
        touched = []
        changed = []
        namesChanged = false
        addressSubsets(of: subsetsChanged ? Array(built.indices) : places, anew: subsetsChanged)
        return built
    }

    // MARK: Private

    /// A place and addresses for each service: those that had others are to be made again.
    private mutating func assignPlaces() {
        let names = services.keys.sorted()
        addresses = VirtualIP.assign(names)
        var old = Dictionary(uniqueKeysWithValues: zip(built.map(\.service.name), zip(built, subsets)))
        built = []
        subsets = []
        for name in names {
            // Beyond the virtual range's size the last names have no address and cannot be called.
            guard let pair = addresses[name] else { continue }
            var kept = old.removeValue(forKey: name) ?? (.init(service: Service(name: name, port: 0, addresses: pair), endpoints: EndpointList([])), [])
            if kept.0.endpoints.isEmpty { changed.insert(name) }
            kept.0.service.addresses = pair
            built.append(kept.0)
            subsets.append(kept.1)
        }
    }

    private mutating func addressSubsets(of places: [Int], anew: Bool) {
        if anew {
            // In the subsets' own order: services are in order of their names.
            var rest = VirtualIP.assign(subsets.joined(), beside: addresses.values)[...]
            subsetAddresses = subsets.map { subsets in
                defer { rest = rest.dropFirst(subsets.count) }
                return Array(rest.prefix(subsets.count))
            }
        }
        for place in places {
            let rules = rules[built[place].service.name]
            built[place].subsets = zip(subsets[place], subsetAddresses[place]).compactMap { subset, addresses in
                addresses.map { .init(subset: subset, addresses: $0, rule: rules?.first { $0.name == subset.version }) }
            }
        }
    }

    /// What nodes that died or returned change: which endpoints there are, their order and addresses stay.
    private mutating func updateReach(_ place: Int, _ reach: (String) -> Reach) {
        for node in touched { built[place].endpoints.setReach(of: node, to: reach(node)) }
    }

    private mutating func removeEndpoint(_ reference: Reference, from service: ServiceName) {
        byOrigin[reference.origin]?[reference.key] = nil
        services[service]?.endpoints[reference] = nil
        changed.insert(service)
        if services[service]?.endpoints.isEmpty == true {
            services[service] = nil
            namesChanged = true
        }
    }

    /// Without the subsets' addresses, which depend on those of other services.
    private mutating func view(
        _ name: ServiceName, _ reach: (String) -> Reach, _ conflicts: inout [CatalogEvent]
    ) -> (view: CatalogView.ServiceView, subsets: [Subset])? {
        guard let entry = services[name], let pair = addresses[name] else { return nil }
        let unsorted = Array(entry.endpoints)
        let order = unsorted.indices.map { Rank(origin: unsorted[$0].key.origin, address: unsorted[$0].value.endpoint.address, key: unsorted[$0].key.key, place: $0) }
        let all = order.sorted().map { unsorted[$0.place] }
        guard let first = all.first else { return nil }
        // The smallest node's word counts: every node decides the same, and one that comes or goes rarely changes it.
        let port = first.value.port
        var others: [UInt16: [String]] = [:]
        for (reference, value) in all where value.port != port && others[value.port]?.contains(reference.origin) != true {
            others[value.port, default: []].append(reference.origin)
        }
        if !others.isEmpty, others != entry.conflict { conflicts.append(.portConflict(name, chosen: port, others: others)) }
        let endpoints = all.map { (endpoint: $0.value.endpoint, reach: reach($0.key.origin)) }
        // Those that a resource names first: versions beyond the bound do without.
        let named = Set((rules[name] ?? []).map(\.name))
        let versions = Set(endpoints.map(\.endpoint.version)).subtracting(named)
        let subsets = [named, versions].flatMap { $0.compactMap { Subset($0, of: name) }.sorted() }
        let refused = max(0, subsets.count - Subset.perService)
        if refused > entry.refusedVersions { conflicts.append(.tooManyVersions(name, count: subsets.count)) }
        services[name]?.conflict = others
        services[name]?.refusedVersions = refused
        return (.init(service: Service(name: name, port: port, addresses: pair), endpoints: EndpointList(endpoints)), subsets.prefix(Subset.perService).sorted())
    }
}
