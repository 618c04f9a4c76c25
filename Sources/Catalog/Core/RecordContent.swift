import MeshModel
import Platform

/// A record's content, understood and checked.
enum RecordContent: Hashable, Sendable {
    case node(NodeInfo)
    /// With the port that clients of the service call.
    case endpoint(Endpoint, port: UInt16)
    /// Of a kind that this version does not know.
    case opaque

    /// Reads a record of `origin`; throws why nobody should use or pass on its content.
    static func read(_ key: RecordKey, _ payload: [UInt8], origin: String, trustDomain: String, limits: CatalogLimits) throws(Refusal)
        -> RecordContent
    {
        func fail(_ text: String) -> Refusal { .invalidRecord(key, text) }
        guard !key.name.isEmpty, key.cost <= limits.bytesPerKey else { throw fail("its name is empty or too long") }
        if payload.count > limits.bytesPerRecord { throw .recordTooLarge(key, limit: limits.bytesPerRecord) }
        // Of the whole Unicode range only these would grow sixfold within a frame.
        guard payload.allSatisfy({ $0 >= 0x20 }) else { throw fail("it has control characters") }
        do throws(JSONFault) {
            switch key.kind {
            case RecordKey.nodeKind:
                let payload = try JSON.decode(NodePayload.self, from: payload)
                return .node(try node(payload, key, origin, limits))
            case RecordKey.endpointKind:
                let payload = try JSON.decode(EndpointPayload.self, from: payload)
                return .endpoint(try endpoint(payload, origin, trustDomain, limits), port: payload.port)
            default:
                guard String(validating: payload, as: UTF8.self) != nil else { throw JSONFault("not text") }
                return .opaque
            }
        } catch {
            throw fail(error.description)
        }
    }

    private static func node(_ payload: NodePayload, _ key: RecordKey, _ origin: String, _ limits: CatalogLimits) throws(JSONFault) -> NodeInfo {
        guard payload.name == origin, key.name == origin else { throw JSONFault("a node describes itself only") }
        return NodeInfo(
            name: payload.name, tunnel: try address(payload.tunnel, "tunnel", limits), locality: try locality(payload.region, payload.zone),
            version: try text(payload.agent, "agent"))
    }

    private static func endpoint(
        _ payload: EndpointPayload, _ origin: String, _ trustDomain: String, _ limits: CatalogLimits
    ) throws(JSONFault) -> Endpoint {
        guard let service = ServiceName(payload.service) else { throw JSONFault("\"\(payload.service.prefix(64))\" is not name.namespace") }
        guard payload.port != 0 else { throw JSONFault("the service's port is 0") }
        guard let identity = SPIFFEID(payload.identity), let workload = identity.workload else {
            throw JSONFault("\"\(payload.identity.prefix(256))\" is not a workload's identity")
        }
        guard identity.trustDomain == trustDomain else {
            throw JSONFault("the identity is of trust domain \(identity.trustDomain), not \(trustDomain)")
        }
        // A namespace is a tenant: without this, a node that may run workloads of one could answer for the services of all.
        guard workload.namespace == service.namespace else {
            throw JSONFault("an identity of namespace \(workload.namespace) cannot serve \(service)")
        }
        let weight = payload.weight ?? 1
        guard 1...1_000_000 ~= weight else { throw JSONFault("the weight is not 1–1,000,000") }
        let labels = payload.labels ?? [:]
        guard labels.count <= 64 else { throw JSONFault("more than 64 labels") }
        for (name, value) in labels { _ = (try text(name, "labels"), try text(value, "labels")) }
        return Endpoint(
            service: service, address: try address(payload.address, "address", limits), identity: identity, node: origin,
            version: try text(payload.version, "version"), weight: weight, locality: try locality(payload.region, payload.zone), labels: labels,
            health: payload.health.map { Health(rawValue: $0) ?? .unknown } ?? .healthy)
    }

    private static func address(_ value: String, _ field: String, _ limits: CatalogLimits) throws(JSONFault) -> SocketAddress {
        guard let address = SocketAddress(value) else { throw JSONFault("\(field) \"\(value.prefix(64))\" is not address:port") }
        guard address.port != 0 else { throw JSONFault("\(field) \(address) has port 0") }
        let ip = address.ip.unmapped
        if ip.isLoopback && !limits.allowLoopback { throw JSONFault("\(field) \(address) is a loopback address, which other nodes cannot reach") }
        if ip.isUnspecified || ip.isMulticast || ip == IPAddress(v4: 0xffff_ffff) { throw JSONFault("\(field) \(address) is not one host's address") }
        if ip.isLinkLocal && !ip.isV4 { throw JSONFault("\(field) \(address) is link-local, which other nodes cannot reach") }
        if VirtualIP.isVirtual(ip) { throw JSONFault("\(field) \(address) is in the range of virtual addresses") }
        return SocketAddress(ip, port: address.port)
    }

    private static func locality(_ region: String?, _ zone: String?) throws(JSONFault) -> Locality {
        Locality(region: try text(region, "region"), zone: try text(zone, "zone"))
    }

    /// Free text that ends up on terminals and in log lines.
    private static func text(_ value: String?, _ field: String) throws(JSONFault) -> String {
        guard let value else { return "" }
        guard value.utf8.count <= 256, value.unicodeScalars.allSatisfy({ $0.value >= 32 && $0.value != 127 }) else {
            throw JSONFault("the field \"\(field)\" is too long or has control characters")
        }
        return value
    }
}

extension JSONFault {
    init(_ description: String) { self.description = description }
}
