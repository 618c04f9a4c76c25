/// The forms in which a name can be written, our own and those of Kubernetes and Consul.
struct NameForms {
    /// What the labels may stand for.
    struct Candidate: Equatable {
        var version: String?
        var name: String
        /// Nil: the caller's.
        var namespace: String?
    }

    /// In order: the first that exists is meant. Empty: no form of ours.
    let candidates: [Candidate]
    /// The labels before the name that begin with an underscore.
    let prefix: [String]
    /// Three labels without more may be anybody's name, as `www.example.org`.
    let isCommon: Bool

    /// A name outside of our own zones.
    init(_ labels: [String]) {
        let prefix = Array(labels.prefix { $0.hasPrefix("_") })
        let rest = Array(labels.dropFirst(prefix.count))
        if rest.last == "consul" {
            (candidates, self.prefix) = Self.consul(Array(rest.dropLast()), prefix)
            isCommon = false
        } else if let parts = Self.kubernetes(rest) {
            (candidates, self.prefix) = (Self.inNamespace(parts), prefix)
            isCommon = false
        } else {
            (candidates, self.prefix) = (Self.plain(rest), prefix)
            isCommon = rest.count == 3
        }
    }

    /// What stands before one of our zones.
    init(ownZone labels: [String], needsNamespace: Bool) {
        prefix = Array(labels.prefix { $0.hasPrefix("_") })
        let rest = Array(labels.dropFirst(prefix.count))
        candidates = needsNamespace ? Self.inNamespace(rest) : Self.plain(rest)
        isCommon = false
    }

    /// `name`, `name.namespace`, `version.name`, `version.name.namespace`.
    private static func plain(_ parts: [String]) -> [Candidate] {
        switch parts.count {
        case 1: [Candidate(name: parts[0])]
        case 2: inNamespace(parts) + [Candidate(version: parts[0], name: parts[1])]
        default: inNamespace(parts)
        }
    }

    private static func inNamespace(_ parts: [String]) -> [Candidate] {
        switch parts.count {
        case 2: [Candidate(name: parts[0], namespace: parts[1])]
        case 3: [Candidate(version: parts[0], name: parts[1], namespace: parts[2])]
        default: []
        }
    }

    /// What stands before `.svc` or `.svc.cluster.local`; nil without either.
    private static func kubernetes(_ parts: [String]) -> [String]? {
        var parts = parts
        if parts.suffix(3) == ["svc", "cluster", "local"] { parts.removeLast(2) }
        guard (3...4).contains(parts.count), parts.last == "svc" else { return nil }
        return Array(parts.dropLast())
    }

    /// `name.service`, `version.name.service` (Consul's tag), both also with `.namespace.ns`, `virtual` in place of `service`, and `_name._tcp` or
    /// `_name._version` in place of the name, as SRV queries have it (RFC 2782). Datacenters, partitions and peers are nothing that a mesh has:
    /// such names are not ours.
    private static func consul(_ labels: [String], _ prefix: [String]) -> (candidates: [Candidate], prefix: [String]) {
        var (parts, prefix) = (labels, prefix)
        var namespace: String?
        if parts.count >= 3, parts.last == "ns" {
            namespace = parts[parts.count - 2]
            parts.removeLast(2)
        }
        guard let kind = parts.popLast(), kind == "service" || kind == "virtual" else { return ([], prefix) }
        if parts.isEmpty, prefix.count == 2 {
            let version = prefix[1] == "_tcp" ? [] : [String(prefix[1].dropFirst())]
            parts = version + [String(prefix[0].dropFirst())]
            // The service stood where a port's name does; any of its ports is meant.
            prefix = ["_any", "_tcp"]
        }
        switch parts.count {
        case 1: return ([Candidate(name: parts[0], namespace: namespace)], prefix)
        case 2: return ([Candidate(version: parts[0], name: parts[1], namespace: namespace)], prefix)
        default: return ([], prefix)
        }
    }
}
