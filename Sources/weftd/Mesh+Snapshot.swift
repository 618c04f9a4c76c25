import Capture
import Catalog
import Identity
import MeshModel
import Platform
import Proxy
import Settings
import TLS

/// Puts what the parts know into what the workers read.
extension Mesh {
    func makeSnapshot() -> Snapshot {
        let node = configuration.node.name
        let index = capture.index
        let workloads = index.workloads.map { workload in
            let identity = workload.identity(trustDomain: credentials.trustDomain)
            return Snapshot.WorkloadEntry(name: names.id(workload.name), identity: names.id(identity?.description ?? ""), tenant: proxy.tenants.id(workload.namespace))
        }
        let listeners = configuration.listeners.map { listener in
            let destination: SocketAddress? =
                switch listener.destination {
                case .address(let address): address
                case .service(let name, let port): catalog.view.service(name).map { SocketAddress($0.service.addresses.v4, port: port) }
                }
            let workload = configuration.workloads.first { $0.name == listener.workload }
            let identity = workload?.identity(trustDomain: credentials.trustDomain)
            return Snapshot.ListenerEntry(
                destination: destination,
                workload: .init(
                    name: names.id(listener.workload), identity: names.id(identity?.description ?? ""), tenant: workload.map { proxy.tenants.id($0.namespace) } ?? 0))
        }
        var held: [NameID: Credential] = [:]
        var serverNames: [String: NameID] = [:]
        for (identity, credential) in credentials.workloads {
            let id = names.id(identity.description)
            held[id] = credential
            serverNames[SNI.name(for: identity, sha256: Digest.sha256)] = id
        }
        let own = names.id(credentials.nodeIdentity.description)
        held[own] = credentials.node
        serverNames[SNI.name(for: credentials.nodeIdentity, sha256: Digest.sha256)] = own
        return Snapshot(
            trustDomain: credentials.trustDomain, names: names, services: compiled.tables.services, byEndpoint: compiled.tables.byEndpoint,
            local: compiled.tables.local, workloads: workloads, listeners: listeners, cgroups: index,
            trust: credentials.trust, credentials: held, join: credentials.join, nodeIdentity: own, node: names.id(node), serverNames: serverNames,
            soleWorkload: credentials.workloads.count == 1 ? credentials.workloads.keys.first.map { names.id($0.description) } : nil,
            nodeAddresses: compiled.nodeAddresses, serverNameOf: compiled.serverNameOf)
    }
}
