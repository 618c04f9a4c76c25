import Capture
import Catalog
import Identity
import MeshModel
import Platform
import Proxy
import Settings
import TLS

/// Compiles what the parts know into what the workers read.
extension Mesh {
    func makeSnapshot() -> Snapshot {
        let view = catalog.view
        let node = configuration.node.name
        let tunnels = Dictionary(view.nodes.map { ($0.info.name, $0.info.tunnel) }) { first, _ in first }
        var services: [SocketAddress: Snapshot.ServiceEntry] = [:]
        var byEndpoint: [SocketAddress: (service: NameID, target: Snapshot.Target)] = [:]
        var local: [SocketAddress: Snapshot.LocalEndpoint] = [:]
        var serverNameOf: [NameID: String] = [:]
        for service in view.services {
            let name = names.id(service.service.name.description)
            var targets: [Snapshot.Target] = []
            var endpoints: [Endpoint] = []
            for item in service.endpoints {
                let endpoint = item.endpoint
                let identity = names.id(endpoint.identity.description)
                // Instances of a service share their identity: its name is made once, not for each of them.
                if serverNameOf[identity] == nil { serverNameOf[identity] = SNI.name(for: endpoint.identity, sha256: Digest.sha256) }
                let isLocal = endpoint.node == node
                // Without a signed address there is no way to the node yet.
                guard isLocal || tunnels[endpoint.node] != nil else { continue }
                let target = Snapshot.Target(
                    address: endpoint.address, tunnel: isLocal ? nil : tunnels[endpoint.node], identity: identity, node: names.id(endpoint.node), eligible: item.usable)
                targets.append(target)
                endpoints.append(endpoint)
                byEndpoint[endpoint.address] = (name, target)
                if isLocal {
                    let tenant = endpoint.identity.workload.map { proxy.tenants.id($0.namespace) } ?? 0
                    local[endpoint.address] = Snapshot.LocalEndpoint(service: name, identity: identity, tenant: tenant)
                }
            }
            let entry = Snapshot.ServiceEntry(name: name, targets: targets)
            services[SocketAddress(service.service.addresses.v4, port: service.service.port)] = entry
            services[SocketAddress(service.service.addresses.v6, port: service.service.port)] = entry
            for item in service.subsets {
                let entry = Snapshot.ServiceEntry(name: names.id(item.subset.description), targets: zip(endpoints, targets).filter { item.contains($0.0) }.map(\.1))
                services[SocketAddress(item.addresses.v4, port: service.service.port)] = entry
                services[SocketAddress(item.addresses.v6, port: service.service.port)] = entry
            }
        }
        let index = capture.index
        let workloads = index.workloads.map { workload in
            let identity = workload.identity(trustDomain: credentials.trustDomain)
            return Snapshot.WorkloadEntry(name: names.id(workload.name), identity: names.id(identity?.description ?? ""), tenant: proxy.tenants.id(workload.namespace))
        }
        let addresses = Dictionary(view.services.map { ($0.service.name, $0.service.addresses.v4) }) { first, _ in first }
        let listeners = configuration.listeners.map { listener in
            let destination: SocketAddress? =
                switch listener.destination {
                case .address(let address): address
                case .service(let name, let port): addresses[name].map { SocketAddress($0, port: port) }
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
            trustDomain: credentials.trustDomain, names: names, services: services, byEndpoint: byEndpoint, local: local, workloads: workloads, listeners: listeners, cgroups: index,
            trust: credentials.trust, credentials: held, join: credentials.join, nodeIdentity: own, node: names.id(node), serverNames: serverNames,
            soleWorkload: credentials.workloads.count == 1 ? credentials.workloads.keys.first.map { names.id($0.description) } : nil,
            nodeAddresses: Dictionary(view.nodes.map { ($0.info.tunnel.ip, names.id($0.info.name)) }) { first, _ in first }, serverNameOf: serverNameOf)
    }
}
