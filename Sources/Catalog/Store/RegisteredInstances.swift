import MeshModel
import Platform

/// The registered instances as they are on disk.
struct RegisteredInstances: Codable {
    var version = 1
    var instances: [Instance]

    struct Instance: Codable {
        var service: String
        var port: UInt16
        var address: String
        var identity: String
        var subset: String
        var weight: UInt32
        var labels: [String: String]
        var region: String?
        var zone: String?
        var check: RegisteredCheck
    }

    init(_ instances: some Sequence<LocalInstance>) {
        self.instances = instances.sorted { $0.id < $1.id }.map { instance in
            Instance(
                service: instance.service.description, port: instance.port, address: instance.address.description,
                identity: instance.identity.description,
                subset: instance.version, weight: instance.weight, labels: instance.labels, region: instance.locality?.region,
                zone: instance.locality?.zone,
                check: RegisteredCheck(instance.check))
        }
    }

    /// Nil for an entry that makes no sense.
    var locals: [LocalInstance?] {
        instances.map { entry in
            guard let service = ServiceName(entry.service), let address = SocketAddress(entry.address), let identity = SPIFFEID(entry.identity),
                let check = entry.check.check
            else { return nil }
            return LocalInstance(
                service: service, port: entry.port, address: address, identity: identity, version: entry.subset, weight: entry.weight,
                labels: entry.labels,
                locality: entry.region == nil && entry.zone == nil ? nil : Locality(region: entry.region ?? "", zone: entry.zone ?? ""),
                check: check)
        }
    }
}
