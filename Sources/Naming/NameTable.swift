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
    let namespaces: Set<String>
    /// The first parts of all names: what is not in it needs no look at who asks.
    let names: Set<String>
    let reverse: [IPAddress: ServiceName]

    package init(services: [ServiceName: Entry] = [:]) {
        self.services = services
        namespaces = Set(services.keys.map(\.namespace))
        names = Set(services.keys.map(\.name))
        var reverse: [IPAddress: ServiceName] = [:]
        for (name, entry) in services {
            for address in [entry.v4, entry.v6] { if let address { reverse[address] = name } }
        }
        self.reverse = reverse
    }

    /// From services with their addresses; several services of one name share it and add their ports.
    package init(_ services: some Sequence<Service>) {
        var entries: [ServiceName: Entry] = [:]
        for service in services {
            var entry = entries[service.name] ?? Entry(v4: service.addresses.v4, v6: service.addresses.v6, ports: [])
            if !entry.ports.contains(service.port) { entry.ports = (entry.ports + [service.port]).sorted() }
            entries[service.name] = entry
        }
        self.init(services: entries)
    }
}
