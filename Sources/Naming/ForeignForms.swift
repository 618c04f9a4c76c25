/// Names as other systems write them: Kubernetes' and Consul's. They are answered for services that exist, and belong to the host's resolvers
/// otherwise, because a cluster or a Consul may be there too.
enum ForeignForms {
    /// A name as `name` or `name.namespace`, with the labels before it that begin with an underscore.
    struct Plain: Equatable {
        var parts: [String]
        var prefix: [String]
    }

    /// A name in any form, as ours; in one that is none of these it is left as it is.
    static func plain(_ parts: [String], prefix: [String]) -> Plain {
        consul(parts, prefix) ?? Plain(parts: kubernetes(parts), prefix: prefix)
    }

    /// `name.namespace.svc` and `name.namespace.svc.cluster.local`.
    private static func kubernetes(_ parts: [String]) -> [String] {
        var parts = parts
        if parts.count == 5, parts.suffix(3) == ["svc", "cluster", "local"] { parts.removeLast(3) }
        if parts.count == 3, parts.last == "svc" { parts.removeLast() }
        return parts
    }

    /// `name.service.consul` and `name.service.namespace.ns.consul`, `virtual` in place of `service`, and `_name._tcp` in place of the name, as SRV
    /// queries have it (RFC 2782). Datacenters, partitions and peers are nothing that a mesh has: such names are not ours.
    private static func consul(_ parts: [String], _ prefix: [String]) -> Plain? {
        guard parts.last == "consul" else { return nil }
        var (parts, prefix) = (Array(parts.dropLast()), prefix)
        var namespace: [String] = []
        if parts.count >= 3, parts.last == "ns" {
            namespace = [parts[parts.count - 2]]
            parts.removeLast(2)
        }
        guard let kind = parts.popLast(), kind == "service" || kind == "virtual" else { return nil }
        if parts.isEmpty, prefix.count == 2, prefix[1] == "_tcp" {
            parts = [String(prefix[0].dropFirst())]
            // What stands before `_tcp` is the service here; any of its ports is meant.
            prefix = ["_any", "_tcp"]
        }
        guard parts.count == 1 else { return nil }
        return Plain(parts: parts + namespace, prefix: prefix)
    }
}
