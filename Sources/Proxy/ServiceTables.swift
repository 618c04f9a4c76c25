import MeshModel
import Platform

/// What workers look up of services, kept from one snapshot to the next: a service that changed costs what it has, not what all have.
package struct ServiceTables: Sendable {
    /// What one service puts into the tables.
    package struct Part: Sendable {
        /// Its name, and those of its subsets. `places` are the entry's targets among `endpoints`, in their order.
        package var entries: [(address: SocketAddress, entry: Snapshot.ServiceEntry, places: [Int])] = []
        package var endpoints: [(target: Snapshot.Target, local: Snapshot.LocalEndpoint?)] = []
        package init() {}
    }

    package private(set) var services: [SocketAddress: Snapshot.ServiceEntry] = [:]
    package private(set) var byEndpoint: [SocketAddress: (service: NameID, target: Snapshot.Target)] = [:]
    package private(set) var local: [SocketAddress: Snapshot.LocalEndpoint] = [:]

    private var parts: [ServiceName: (name: NameID, part: Part)] = [:]
    private var names: [NameID: ServiceName] = [:]
    /// Which services have an endpoint at an address that several have one at. The last name stands for it.
    private var claims: [SocketAddress: Set<ServiceName>] = [:]

    package init() {}

    /// How many endpoints a service was entered with; nil when it is not here.
    package func endpoints(of service: ServiceName) -> Int? { parts[service]?.part.endpoints.count }

    /// Endpoints of a service may get traffic or may not any more, and nothing else of it is another.
    ///
    /// - Parameter turned: their places among the part's endpoints.
    package mutating func turn(_ service: ServiceName, _ turned: [(place: Int, eligible: Bool)]) {
        guard let index = parts.index(forKey: service) else { return }
        for (place, eligible) in turned {
            let old = parts.values[index].part.endpoints[place].target
            parts.values[index].part.endpoints[place].target.eligible = eligible
            if stands(old, place, of: parts.values[index].part, parts.values[index].name) { byEndpoint[old.address]?.target.eligible = eligible }
        }
        for entry in parts.values[index].part.entries.indices {
            let (address, places) = (parts.values[index].part.entries[entry].address, parts.values[index].part.entries[entry].places)
            // The two addresses of a name follow each other and share their targets.
            if entry % 2 == 1 {
                parts.values[index].part.entries[entry].entry.targets = parts.values[index].part.entries[entry - 1].entry.targets
            } else {
                for (place, eligible) in turned {
                    let found = places.partitioningIndex(of: place)
                    if found < places.count, places[found] == place { parts.values[index].part.entries[entry].entry.targets[found].eligible = eligible }
                }
            }
            services[address] = parts.values[index].part.entries[entry].entry
        }
    }

    /// Enters a service in place of what it had, or takes it out with nil.
    package mutating func set(_ service: ServiceName, _ name: NameID, to part: Part?) {
        if let part, replace(service, name, part) { return }
        if let old = parts.removeValue(forKey: service) {
            // A name that took a virtual address over from this one may be in the tables already.
            for (address, entry, _) in old.part.entries where services[address]?.name == entry.name { services[address] = nil }
            for (target, _) in old.part.endpoints { withdraw(target.address, service) }
        }
        guard let part else {
            names[name] = nil
            return
        }
        parts[service] = (name, part)
        names[name] = service
        for (address, entry, _) in part.entries { services[address] = entry }
        for (target, local) in part.endpoints { claim(target, local, service, name) }
    }

    /// The same addresses in other states, as most changes are: writes what differs. False when there is more to it.
    private mutating func replace(_ service: ServiceName, _ name: NameID, _ part: Part) -> Bool {
        guard let old = parts[service], old.name == name,
            old.part.entries.elementsEqual(part.entries, by: { $0.address == $1.address }),
            old.part.endpoints.elementsEqual(part.endpoints, by: { $0.target.address == $1.target.address })
        else { return false }
        parts[service] = (name, part)
        for (address, entry, _) in part.entries { services[address] = entry }
        for place in part.endpoints.indices where part.endpoints[place] != old.part.endpoints[place] {
            let (target, local) = part.endpoints[place]
            guard stands(old.part.endpoints[place].target, place, of: part, name) else { continue }
            byEndpoint[target.address] = (name, target)
            self.local[target.address] = local
        }
        return true
    }

    /// Another service may stand for the address, or another endpoint of this one: of those of a node, which follow each other, the last.
    private func stands(_ target: Snapshot.Target, _ place: Int, of part: Part, _ name: NameID) -> Bool {
        if place + 1 < part.endpoints.count, part.endpoints[place + 1].target.address == target.address { return false }
        guard let holder = byEndpoint[target.address] else { return false }
        return holder == (name, target)
    }

    private mutating func claim(_ target: Snapshot.Target, _ local: Snapshot.LocalEndpoint?, _ service: ServiceName, _ name: NameID) {
        let address = target.address
        if let holder = byEndpoint[address], holder.service != name, let other = names[holder.service] {
            claims[address, default: [other]].insert(service)
            if other > service { return }
        }
        byEndpoint[address] = (name, target)
        self.local[address] = local
    }

    private mutating func withdraw(_ address: SocketAddress, _ service: ServiceName) {
        if names[byEndpoint[address]?.service ?? 0] == service {
            byEndpoint[address] = nil
            local[address] = nil
        }
        guard var left = claims[address] else { return }
        left.remove(service)
        claims[address] = left.count > 1 ? left : nil
        guard byEndpoint[address] == nil, let heir = left.max(), let (name, part) = parts[heir] else { return }
        for (target, local) in part.endpoints where target.address == address {
            byEndpoint[address] = (name, target)
            self.local[address] = local
        }
    }
}

extension [Int] {
    /// Where a number is, or would be, among numbers in order.
    fileprivate func partitioningIndex(of number: Int) -> Int {
        var (low, high) = (0, count)
        while low < high {
            let middle = (low + high) / 2
            if self[middle] < number { low = middle + 1 } else { high = middle }
        }
        return low
    }
}
