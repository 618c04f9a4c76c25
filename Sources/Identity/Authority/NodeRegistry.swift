import MeshModel
import Platform

/// Which nodes are in the mesh, by which key each is known, and which identities it may ask for. Pure; `AuthorityService` stores it.
package struct NodeRegistry: Codable, Sendable, Equatable {
    package static let maximumNodes = 10_000

    package struct Record: Codable, Sendable, Equatable {
        package var name: String
        /// SHA-256 of the node key's SubjectPublicKeyInfo: a node that was replaced still has a certificate with its name, but not this key.
        package var keyHash: String
        package var allow: [IdentityPattern]
        /// What it may write for others; nil is nothing.
        package var rights: [ConfigurationRight]?
        /// Seconds since 1970.
        package var joined: Int64
    }

    package private(set) var nodes: [String: Record] = [:]

    package init() {}

    /// Whether `register` would succeed.
    package func check(_ name: String, replace: Bool) throws(MeshError) {
        if let record = nodes[name] {
            guard replace else {
                throw MeshError(
                    .policy, code: "name_in_use", "a node named \(name) joined at \(WallTime(seconds: record.joined).spoken)",
                    remedy: "choose another name, or, if the old node is gone, run `weft join --replace`")
            }
        } else if nodes.count >= Self.maximumNodes {
            throw MeshError(
                .policy, code: "too_many_nodes", "the mesh has \(nodes.count) nodes, the most it may", remedy: "remove nodes that are gone")
        }
    }

    /// Gives a node other rights. False when there is none of that name.
    package mutating func setRights(_ rights: [ConfigurationRight], of name: String) -> Bool {
        guard nodes[name] != nil else { return false }
        nodes[name]?.rights = rights.isEmpty ? nil : rights
        return true
    }

    package mutating func register(_ record: Record) { nodes[record.name] = record }
    package mutating func remove(_ name: String) -> Bool { nodes.removeValue(forKey: name) != nil }

    /// The node that a verified certificate belongs to.
    package func requester(_ certificate: VerifiedCertificate) throws(MeshError) -> Record {
        guard let name = certificate.identity.node else {
            throw MeshError(.policy, code: "not_a_node", "\(certificate.identity) is no node and may ask for no certificate")
        }
        guard let record = nodes[name] else { throw Self.unknown(name) }
        guard record.keyHash == certificate.publicKeyHash else { throw Self.replaced(record) }
        return record
    }

    /// Whether `record`'s node may have a certificate for `identity`: its own node identity, or a workload in its allow-list.
    package func permit(_ identity: SPIFFEID, to record: Record, trustDomain: String) throws(MeshError) {
        guard identity.trustDomain == trustDomain else {
            throw MeshError(
                .policy, code: "trust_domain", "node \(record.name) asked for \(identity), outside the trust domain \(trustDomain)",
                remedy: "ask for an identity in \(trustDomain)")
        }
        if identity.node == record.name { return }
        if record.allow.contains(where: { $0.matches(identity) }) { return }
        let wanted = identity.workload.map { "ns/\($0.namespace)/sa/\($0.account)" } ?? "…"
        throw MeshError(
            .policy, code: "not_allowed", "node \(record.name) may not have the identity \(identity)",
            remedy: identity.node == nil
                ? "if it should, run `weft token create --node \(record.name) --allow \(wanted)` (and what it has) and `weft join --replace` there"
                : "a node can speak only for itself")
    }

    static func unknown(_ name: String) -> MeshError {
        MeshError(
            .policy, code: "node_unknown", "node \(name) is not in this mesh, or not any more",
            remedy: "run `weft token create --node \(name) --allow …` on the authority's node and join it again")
    }

    static func replaced(_ record: Record) -> MeshError {
        MeshError(
            .policy, code: "node_replaced",
            "another node joined as \(record.name) at \(WallTime(seconds: record.joined).spoken) and replaced this one",
            remedy: "if that was a mistake, run `weft token create --node \(record.name) --allow …` and `weft join --replace` on the right node")
    }
}
