import MeshModel
import Platform

/// What a node knows of its mesh: `mesh.json`. Written last when a node joins, so its presence means that everything else is there.
package struct MeshRecord: Codable, Sendable, Equatable {
    package var trustDomain: String
    package var node: String
    /// The node that holds the authority; this node itself on the one that made the mesh.
    package var authority: String
    /// Its port 15008, as `address:port`.
    package var authorityAddresses: [String]
    /// Gossip addresses that the authority named when this node joined.
    package var seeds: [String]
    /// What this node may ask for, as told when it joined. For people: the authority decides by its own list.
    package var allow: [IdentityPattern]

    package var holdsAuthority: Bool { node == authority }
    package var seedAddresses: [SocketAddress] { seeds.compactMap { SocketAddress($0) } }
    package var authoritySocketAddresses: [SocketAddress] { authorityAddresses.compactMap { SocketAddress($0) } }

    package init(trustDomain: String, node: String, authority: String, authorityAddresses: [String], seeds: [String], allow: [IdentityPattern]) {
        self.trustDomain = trustDomain
        self.node = node
        self.authority = authority
        self.authorityAddresses = authorityAddresses
        self.seeds = seeds
        self.allow = allow
    }

    /// The identity of a node of this mesh.
    package func identity(ofNode name: String) -> SPIFFEID? { SPIFFEID(trustDomain: trustDomain, node: name) }
}

/// A private key and the certificate for it.
package struct KeyPair: Sendable {
    package let key: PrivateKey
    package let certificate: [UInt8]
    package init(key: PrivateKey, certificate: [UInt8]) {
        self.key = key
        self.certificate = certificate
    }
}

/// Everything a member has on disk, read and checked for form.
package struct StoredIdentity: Sendable, CustomStringConvertible {
    package var mesh: MeshRecord
    package var node: KeyPair
    package var bundle: TrustBundle
    package var gossip: GossipKeyring
    package var workloads: [SPIFFEID: KeyPair]

    /// Without the gossip keys, for logs.
    package var description: String { "identity of node \(mesh.node) of \(mesh.trustDomain)" }

    package init(mesh: MeshRecord, node: KeyPair, bundle: TrustBundle, gossip: GossipKeyring, workloads: [SPIFFEID: KeyPair] = [:]) {
        self.mesh = mesh
        self.node = node
        self.bundle = bundle
        self.gossip = gossip
        self.workloads = workloads
    }
}
