import Capture
import MeshModel
import Platform
import TLS

/// Everything that a worker needs to know, compiled and immutable. The control loop makes a new one on each change and posts it to every worker.
///
/// Names and identities are numbers of a `Interner`, which only grows, so a flow may keep a number across snapshots.
package final class Snapshot: Sendable {
    /// An instance that traffic may go to.
    package struct Target: Hashable, Sendable {
        package var address: SocketAddress
        /// Where the tunnel to it ends; nil when it runs on this node.
        package var tunnel: SocketAddress?
        package var identity: NameID
        package var node: NameID
        /// Healthy, and its node is reachable.
        package var eligible: Bool
        package init(address: SocketAddress, tunnel: SocketAddress?, identity: NameID, node: NameID, eligible: Bool) {
            self.address = address
            self.tunnel = tunnel
            self.identity = identity
            self.node = node
            self.eligible = eligible
        }
    }
    /// What a virtual address and port stand for.
    package struct ServiceEntry: Sendable {
        package var name: NameID
        package var targets: [Target]
        package init(name: NameID, targets: [Target]) {
            self.name = name
            self.targets = targets
        }
    }
    /// A workload of this node, in the order of `CgroupIndex`.
    package struct WorkloadEntry: Sendable {
        package var name: NameID
        package var identity: NameID
        /// Its namespace, which pays for the flows that it makes.
        package var tenant: TenantID
        package init(name: NameID, identity: NameID, tenant: TenantID = 0) {
            self.name = name
            self.identity = identity
            self.tenant = tenant
        }
    }
    /// Where an explicit listener leads, and as whom.
    package struct ListenerEntry: Sendable {
        /// Nil while its service is not in the catalog.
        package var destination: SocketAddress?
        package var workload: WorkloadEntry
        package init(destination: SocketAddress?, workload: WorkloadEntry) {
            self.destination = destination
            self.workload = workload
        }
    }
    /// An endpoint of this node: what tunnels and plaintext callers may reach.
    package struct LocalEndpoint: Hashable, Sendable {
        package var service: NameID
        package var identity: NameID
        /// Its namespace, which pays for the flows that come to it from other nodes.
        package var tenant: TenantID
        package init(service: NameID, identity: NameID, tenant: TenantID = 0) {
            self.service = service
            self.identity = identity
            self.tenant = tenant
        }
    }

    package let trustDomain: String
    package let names: Interner
    package let services: [SocketAddress: ServiceEntry]
    /// Endpoints by their own address, for callers that use addresses instead of names.
    package let byEndpoint: [SocketAddress: (service: NameID, target: Target)]
    package let local: [SocketAddress: LocalEndpoint]
    package let workloads: [WorkloadEntry]
    /// In the order of `ProxySettings.explicit`.
    package let listeners: [ListenerEntry]
    package let cgroups: CgroupIndex
    package let trust: TrustStore?
    package let credentials: [NameID: Credential]
    /// What a joining node is shown: the node's certificate with the root behind it. Only on the authority's node.
    package let join: Credential?
    /// This node's identity, and its name.
    package let nodeIdentity: NameID
    package let node: NameID
    /// Server names to identities of this node; `soleWorkload` answers callers that send none.
    package let serverNames: [String: NameID]
    package let soleWorkload: NameID?
    /// Addresses that signed node records give, and whose: tells which client addresses to believe.
    package let nodeAddresses: [IPAddress: NameID]
    /// The server name to ask for, by identity.
    package let serverNameOf: [NameID: String]

    package init(
        trustDomain: String, names: Interner, services: [SocketAddress: ServiceEntry], byEndpoint: [SocketAddress: (service: NameID, target: Target)],
        local: [SocketAddress: LocalEndpoint], workloads: [WorkloadEntry], listeners: [ListenerEntry] = [], cgroups: CgroupIndex, trust: TrustStore?, credentials: [NameID: Credential],
        join: Credential?, nodeIdentity: NameID, node: NameID, serverNames: [String: NameID], soleWorkload: NameID?, nodeAddresses: [IPAddress: NameID], serverNameOf: [NameID: String]
    ) {
        self.trustDomain = trustDomain
        self.names = names
        self.services = services
        self.byEndpoint = byEndpoint
        self.local = local
        self.workloads = workloads
        self.listeners = listeners
        self.cgroups = cgroups
        self.trust = trust
        self.credentials = credentials
        self.join = join
        self.nodeIdentity = nodeIdentity
        self.node = node
        self.serverNames = serverNames
        self.soleWorkload = soleWorkload
        self.nodeAddresses = nodeAddresses
        self.serverNameOf = serverNameOf
    }
}

