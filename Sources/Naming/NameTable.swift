import MeshModel
import Platform

/// All names that Weft answers, as one immutable value that the server swaps.
package struct NameTable: Hashable, Sendable {
    package struct Entry: Hashable, Sendable {
        /// Virtual addresses; a family without one answers "no data".
        package var v4: IPAddress?
        package var v6: IPAddress?
        /// For SRV, whose target is the service's own name.
        package var ports: [UInt16]

        package init(v4: IPAddress?, v6: IPAddress?, ports: [UInt16]) {
            self.v4 = v4
            self.v6 = v6
            self.ports = ports
        }
    }

    package let services: [ServiceName: Entry]
    /// Versions of services that have addresses of their own.
    package let subsets: [Subset: Entry]
    let namespaces: Set<String>
    /// The first parts of all names: what is not in it needs no look at who asks.
    let names: Set<String>
    /// The versions of all subsets, to the same end.
    let versions: Set<String>
    let reverse: [IPAddress: Owner]

    package init(services: [ServiceName: Entry] = [:], subsets: [Subset: Entry] = [:]) {
        self.services = services
        self.subsets = subsets
        versions = Set(subsets.keys.map(\.version))
        namespaces = Set(services.keys.map(\.namespace))
        names = Set(services.keys.map(\.name))
        var reverse: [IPAddress: Owner] = [:]
        let entries = services.map { (Owner($0), $1) } + subsets.map { (Owner($0.service, version: $0.version), $1) }
        for (owner, entry) in entries {
            for address in [entry.v4, entry.v6] { if let address { reverse[address] = owner } }
        }
        self.reverse = reverse
    }

    /// Nil when there is no such service or subset.
    subscript(owner: Owner) -> Entry? {
        guard let version = owner.version else { return services[owner.service] }
        return Subset(version, of: owner.service).flatMap { subsets[$0] }
    }

    /// From services with their addresses; several services of one name share it and add their ports.
    package init(_ services: some Sequence<Service>, subsets: [Subset: Entry] = [:]) {
        var entries: [ServiceName: Entry] = [:]
        for service in services {
            var entry = entries[service.name] ?? Entry(v4: service.addresses.v4, v6: service.addresses.v6, ports: [])
            if !entry.ports.contains(service.port) { entry.ports = (entry.ports + [service.port]).sorted() }
            entries[service.name] = entry
        }
        self.init(services: entries, subsets: subsets)
    }
}
