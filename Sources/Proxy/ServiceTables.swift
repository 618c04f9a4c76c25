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

    package func part(of service: ServiceName) -> Part? { parts[service]?.part }

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
            // Another service may stand for the address, or another endpoint of this one: of those of a node, which follow each other, the last.
            if place + 1 < part.endpoints.count, part.endpoints[place + 1].target.address == target.address { continue }
            guard let holder = byEndpoint[target.address], holder == (name, old.part.endpoints[place].target) else { continue }
            byEndpoint[target.address] = (name, target)
            self.local[target.address] = local
        }
        return true
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
