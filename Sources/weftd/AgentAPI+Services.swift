import Catalog
import Identity
import ManagementAPI
import Membership
import MeshModel
import Platform
import Reactor
import Settings

/// Members and services.
extension AgentAPI {
    @Control
    func members() async throws(APIError) -> MemberList {
        try await explained { () async throws(MeshError) in
            let mesh = try requireMesh()
            let nodes = Dictionary(mesh.catalog.view.nodes.map { ($0.info.name, $0) }) { first, _ in first }
            let now = WallTime.now().seconds
            let members = mesh.gossip.members().sorted { $0.name < $1.name }.map { member in
                let node = nodes[member.name]
                return ManagementAPI.Member(
                    name: member.name, kind: node == nil ? .foreign : .node, state: ManagementAPI.Member.State(rawValue: member.state.rawValue) ?? .dead,
                    isSelf: member.isLocal, address: "\(member.address)", tunnel: node.map { "\($0.info.tunnel)" }, version: node?.info.version ?? "",
                    region: node?.info.locality.region ?? "", zone: node?.info.locality.zone ?? "", endpoints: node?.endpoints ?? 0,
                    sinceSeconds: max(0, now - member.since.seconds))
            }
            return MemberList(members: members)
        }
    }

    @Control
    func services() async throws(APIError) -> ServiceList {
        try await explained { () async throws(MeshError) in
            ServiceList(services: try requireMesh().catalog.view.services.map(Self.summary))
        }
    }

    @Control
    func service(_ reference: ServiceReference) async throws(APIError) -> ServiceDetail {
        try await explained { () async throws(MeshError) in
            let mesh = try requireMesh()
            guard let name = ServiceName(reference.name, namespace: reference.namespace), let view = mesh.catalog.view.service(name) else {
                throw Self.noService(reference, mesh)
            }
            let nodes = Dictionary(mesh.catalog.view.nodes.map { ($0.info.name, $0) }) { first, _ in first }
            return ServiceDetail(
                name: name.name, namespace: name.namespace, addresses: Self.addresses(view.service), ports: [view.service.port],
                endpoints: view.endpoints.map { Self.endpoint($0, port: view.service.port, node: nodes[$0.endpoint.node], mesh) },
                subsets: view.subsets.map { ServiceSubset(version: $0.subset.version, addresses: ["\($0.addresses.v4)", "\($0.addresses.v6)"]) })
        }
    }

    @Control
    func registerService(_ request: ServiceRegistration) async throws(APIError) -> RegistrationReport {
        try await explained { () async throws(MeshError) in
            let mesh = try requireMesh()
            let instance = try Self.instance(request, mesh)
            let replaced = mesh.catalog.local.contains { $0.instance.id == instance.id && $0.source == .registered }
            try await mesh.catalog.register(instance)
            mesh.ensureIdentities()
            // The view follows within the catalog's debounce.
            await ControlLoop.shared.sleep(.milliseconds(50))
            guard let view = mesh.catalog.view.service(instance.service),
                let endpoint = view.endpoints.first(where: { $0.endpoint.address == instance.address && $0.endpoint.node == mesh.configuration.node.name })
            else { throw MeshError(.internal, code: "not_registered", "the endpoint did not reach the catalog", remedy: "see the journal") }
            return RegistrationReport(
                service: Self.summary(view), endpoint: Self.endpoint(endpoint, port: view.service.port, node: nil, mesh), replaced: replaced)
        }
    }

    @Control
    func deregisterService(_ request: ServiceDeregistration) async throws(APIError) -> DeregistrationReport {
        try await explained { () async throws(MeshError) in
            let mesh = try requireMesh()
            guard let name = ServiceName(request.service.name, namespace: request.service.namespace) else { throw Self.noService(request.service, mesh) }
            let address = try request.address.map { text throws(MeshError) in try Self.address(text, of: name) }
            let matching = mesh.catalog.local.filter {
                $0.source == .registered && $0.instance.service == name && (address == nil || $0.instance.address == address)
                    && (request.port == nil || $0.instance.port == request.port)
            }
            guard !matching.isEmpty else {
                let declared = mesh.catalog.local.contains { $0.source == .declared && $0.instance.service == name }
                throw MeshError(
                    .configuration, code: "service_not_found", "this node has registered no such endpoint of \(name)",
                    remedy: declared ? "it is declared in a file: edit \(mesh.configuration.services) and run `weft reload`" : "`weft services \(name)` shows where its endpoints are")
            }
            for status in matching { _ = try await mesh.catalog.deregister(name, address: status.instance.address) }
            mesh.ensureIdentities()
            return DeregistrationReport(removed: matching.map { "\($0.instance.address)" })
        }
    }

    // MARK: Forms

    @Control
    private static func instance(_ request: ServiceRegistration, _ mesh: Mesh) throws(MeshError) -> LocalInstance {
        guard let name = ServiceName(request.name, namespace: request.namespace) else {
            throw MeshError(
                .configuration, code: "service_name", "\"\(request.name).\(request.namespace)\" is no service name",
                remedy: "name and namespace are lower case letters, digits and hyphens, at most 63 each")
        }
        let account = request.account ?? request.name
        guard let identity = SPIFFEID(trustDomain: mesh.credentials.trustDomain, namespace: request.namespace, account: account) else {
            throw MeshError(.configuration, code: "account", "\"\(account)\" is no account", remedy: "use letters, digits, dots, hyphens and underscores")
        }
        let ip: IPAddress
        if let text = request.address {
            guard let parsed = IPAddress(text) else { throw MeshError(.configuration, code: "address", "\"\(text)\" is no IP address", remedy: "leave the port out; it goes to --target-port") }
            ip = parsed
        } else {
            ip = mesh.addresses.primary
        }
        return LocalInstance(
            service: name, port: request.port, address: SocketAddress(ip, port: request.targetPort ?? request.port), identity: identity, version: request.version,
            weight: request.weight, labels: request.labels, check: EndpointCheck(try check(request)))
    }

    private static func check(_ request: ServiceRegistration) throws(MeshError) -> HealthCheck? {
        guard let words = request.check else { return request.healthCheck ? HealthCheck() : nil }
        guard request.healthCheck || words == "none" else {
            throw MeshError(.configuration, code: "check", "health checks are off and \"\(words)\" is asked for", remedy: "leave out one of the two")
        }
        return try HealthCheck.named(words)
    }

    private static func addresses(_ service: Service) -> [String] { ["\(service.addresses.v4)", "\(service.addresses.v6)"] }

    private static func summary(_ view: CatalogView.ServiceView) -> ServiceSummary {
        ServiceSummary(
            name: view.service.name.name, namespace: view.service.name.namespace, port: view.service.port, addresses: addresses(view.service),
            endpoints: view.endpoints.count, usable: view.endpoints.filter(\.usable).count)
    }

    @Control
    private static func endpoint(_ view: CatalogView.EndpointView, port: UInt16, node: CatalogView.NodeView?, _ mesh: Mesh) -> ServiceEndpoint {
        let endpoint = view.endpoint
        let own =
            endpoint.node == mesh.configuration.node.name
            ? mesh.catalog.local.first { $0.instance.service == endpoint.service && $0.instance.address == endpoint.address } : nil
        let reason =
            if !view.reachable { "node \(node?.liveness?.rawValue ?? "unreachable")" } else if endpoint.health == .unhealthy { "unhealthy" } else if view.stale { "stale" } else { "" }
        return ServiceEndpoint(
            node: endpoint.node, address: "\(endpoint.address)", port: port, identity: endpoint.identity.description, version: endpoint.version, weight: endpoint.weight,
            labels: endpoint.labels, health: endpoint.health.rawValue, usable: view.usable, reason: reason, stale: view.stale,
            region: endpoint.locality.region, zone: endpoint.locality.zone, check: own.map { $0.instance.check.kind?.word ?? "none" } ?? "",
            failure: own?.lastFailure ?? "", output: own?.lastOutput ?? "")
    }

    static func address(_ text: String, of name: ServiceName) throws(MeshError) -> SocketAddress {
        guard let address = SocketAddress(text) else {
            throw MeshError(.configuration, code: "address", "\"\(text)\" is no address with a port", remedy: "write it as `weft services \(name)` shows it")
        }
        return address
    }

    @Control
    static func noService(_ reference: ServiceReference, _ mesh: Mesh) -> MeshError {
        let known = mesh.catalog.view.services.map(\.service.name.description)
        let near = Suggestion.nearest(to: reference.description, among: known)
        return MeshError(
            .configuration, code: "service_not_found", "there is no service \(reference)",
            remedy: near.map { "did you mean \($0)?" } ?? "`weft services` lists those that exist")
    }
}
