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
        var check: Check
    }
    struct Check: Codable {
        /// `none` or `tcp`.
        var kind: String
        var port: UInt16?
        var intervalMilliseconds: Int64
        var jitter: Double
        var timeoutMilliseconds: Int64
        var healthyAfter: Int
        var unhealthyAfter: Int
    }

    init(_ instances: some Sequence<LocalInstance>) {
        self.instances = instances.sorted { $0.id < $1.id }.map { instance in
            let check = instance.check
            let kind =
                switch check.kind {
                case .none: "none"
                case .tcp: "tcp"
                }
            return Instance(
                service: instance.service.description, port: instance.port, address: instance.address.description,
                identity: instance.identity.description,
                subset: instance.version, weight: instance.weight, labels: instance.labels, region: instance.locality?.region,
                zone: instance.locality?.zone,
                check: Check(
                    kind: kind, port: check.port, intervalMilliseconds: check.interval.milliseconds, jitter: check.jitter,
                    timeoutMilliseconds: check.timeout.milliseconds,
                    healthyAfter: check.healthyAfter, unhealthyAfter: check.unhealthyAfter))
        }
    }

    /// Nil for an entry that makes no sense.
    var locals: [LocalInstance?] {
        instances.map { entry in
            guard let service = ServiceName(entry.service), let address = SocketAddress(entry.address), let identity = SPIFFEID(entry.identity),
                let kind: EndpointCheck.Kind = entry.check.kind == "none" ? EndpointCheck.Kind.none : entry.check.kind == "tcp" ? .tcp : nil
            else { return nil }
            return LocalInstance(
                service: service, port: entry.port, address: address, identity: identity, version: entry.subset, weight: entry.weight,
                labels: entry.labels,
                locality: entry.region == nil && entry.zone == nil ? nil : Locality(region: entry.region ?? "", zone: entry.zone ?? ""),
                check: EndpointCheck(
                    kind: kind, port: entry.check.port, interval: .milliseconds(max(100, entry.check.intervalMilliseconds)),
                    jitter: entry.check.jitter,
                    timeout: .milliseconds(max(10, entry.check.timeoutMilliseconds)), healthyAfter: entry.check.healthyAfter,
                    unhealthyAfter: entry.check.unhealthyAfter))
        }
    }
}
