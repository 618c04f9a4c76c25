import Catalog
import Identity
import ManagementAPI
import MeshModel
import Platform
import Reactor
import Resources
import Settings
import YAML

/// Resources, and the rights to write them.
extension AgentAPI {
    @Control
    func resources(_ selection: ResourceSelection) async throws(APIError) -> ResourceList {
        try await explained { () async throws(MeshError) in
            let mesh = try resourceMesh()
            let fits = try Self.filter(selection)
            let now = WallTime.now().seconds
            return ResourceList(
                resources: mesh.resources.all.filter { fits($0.write.key) }.map { status in
                    let (key, version) = (status.write.key, status.write.version)
                    return ResourceEntry(
                        kind: key.kind, namespace: key.namespace, name: key.name, version: "\(version)", author: version.author,
                        writtenAt: version.time.wall.rfc3339, ageSeconds: now - version.time.wall.seconds, problem: status.problem,
                        document: ResourceDocument.shown(status.write))
                })
        }
    }

    @Control
    func applyResources(_ request: ApplyRequest) async throws(APIError) -> ApplyReport {
        try await explained { () async throws(MeshError) in
            let mesh = try resourceMesh()
            guard ServiceName.isLabel(request.namespace) else {
                throw MeshError(.configuration, code: "namespace", "\"\(request.namespace.prefix(80))\" is no namespace", remedy: "use a DNS label")
            }
            let documents: [ResourceDocument]
            do throws(ConfigurationErrors) {
                documents = try ResourceDocument.read(request.text, path: request.path, namespace: request.namespace)
            } catch {
                return ApplyReport(resources: [], errors: error.errors.map(\.description), dryRun: request.dryRun)
            }
            let applied = try await mesh.resources.apply(documents, isTrial: request.dryRun)
            return ApplyReport(resources: applied.map(Self.report), dryRun: request.dryRun)
        }
    }

    @Control
    func deleteResource(_ selection: ResourceSelection) async throws(APIError) -> AppliedResource {
        try await explained { () async throws(MeshError) in
            let mesh = try resourceMesh()
            let kind = try Self.kind(selection.kind ?? "")
            let namespace = kind.isNamespaced ? selection.namespace ?? ApplyRequest.defaultNamespace : ""
            guard let key = ResourceKey(kind: kind.name, group: kind.group, namespace: namespace, name: selection.name ?? "") else {
                throw MeshError(.configuration, code: "resource_not_found", "there is no \(kind.name) of that name", remedy: "`weft get` lists what there is")
            }
            var expected: ResourceVersion?
            if let text = selection.version {
                guard let version = ResourceVersion(text) else {
                    throw MeshError(.configuration, code: "version", "\"\(text.prefix(80))\" is no version", remedy: "copy it from `weft get`")
                }
                expected = version
            }
            return Self.report(try await mesh.resources.delete(key, expected: expected))
        }
    }

    @Control
    func rollout(_ selection: ResourceSelection) async throws(APIError) -> RolloutReport {
        try await explained { () async throws(MeshError) in
            let mesh = try resourceMesh()
            let fits = try Self.filter(selection)
            let list = mesh.resources.known(fits)
            guard !list.isEmpty || selection.name == nil else {
                throw MeshError(.configuration, code: "resource_not_found", "this node knows no such resource", remedy: "`weft get` lists what there is")
            }
            let answers = await mesh.rollout(of: list)
            let deleted = Set(list.map(\.key)).subtracting(mesh.resources.all.map(\.write.key))
            let resources = list.enumerated().map { index, item in
                let pending = answers.compactMap { answer -> RolloutPending? in
                    guard let said = answer.items?[index], said.state != .applied else { return nil }
                    return RolloutPending(
                        node: answer.node, state: RolloutPending.State(rawValue: said.state.rawValue) ?? .waiting, version: said.version,
                        reason: said.reason?.printable ?? "")
                }
                return RolloutResource(
                    kind: item.key.kind, namespace: item.key.namespace, name: item.key.name, version: "\(item.version)", author: item.version.author,
                    deleted: deleted.contains(item.key), applied: answers.count { $0.items != nil } - pending.count, pending: pending)
            }
            let gone = mesh.catalog.view.nodes.filter { $0.liveness == .dead || $0.liveness == .left }.map(\.info.name)
            return RolloutReport(
                resources: resources, nodes: answers.map { RolloutNode(node: $0.node, failure: $0.failure?.printable ?? "") }, gone: gone.sorted())
        }
    }

    /// The mesh, once its resources are read.
    @Control
    private func resourceMesh() throws(MeshError) -> Mesh {
        let mesh = try requireMesh()
        try mesh.resources.requireStarted()
        return mesh
    }

    // MARK: Rights

    @Control
    func nodes() async throws(APIError) -> NodeList {
        try await explained { () async throws(MeshError) in
            let authority = try authority()
            var nodes: [NodeEntry] = []
            for record in await authority.listNodes() {
                nodes.append(
                    NodeEntry(
                        name: record.name, rights: await authority.rights(of: record).map(\.description), allow: record.allow.map(\.description),
                        joinedAt: WallTime(seconds: record.joined).rfc3339))
            }
            return NodeList(nodes: nodes)
        }
    }

    @Control
    func changeRights(_ request: RightsRequest) async throws(APIError) -> RightsReport {
        try await explained { () async throws(MeshError) in
            let authority = try authority()
            let (grant, revoke) = (try Self.rights(request.grant), try Self.rights(request.revoke))
            let rights = try await authority.changeRights(of: request.node, grant: grant, revoke: revoke)
            return RightsReport(
                node: request.node, rights: rights.map(\.description), certificateSeconds: authority.authority.lifetimes.leaf.components.seconds)
        }
    }

    @Control
    func renewCertificates() async throws(APIError) -> RenewalReport {
        try await explained { () async throws(MeshError) in
            guard agent.identity.mesh != nil else { throw Self.notMember }
            agent.identity.renew()
            return RenewalReport(asked: agent.identity.certificates.count)
        }
    }

    static func rights(_ texts: [String]) throws(MeshError) -> [ConfigurationRight] {
        try texts.map { text throws(MeshError) in
            guard let right = ConfigurationRight(text) else {
                throw MeshError(
                    .configuration, code: "right", "\"\(text.prefix(80))\" is no right", remedy: "write admin, or namespace-admin: and a namespace")
            }
            return right
        }
    }

    // MARK: Forms

    private static func report(_ applied: MeshResources.Applied) -> AppliedResource {
        AppliedResource(
            kind: applied.key.kind, namespace: applied.key.namespace, name: applied.key.name,
            outcome: AppliedResource.Outcome(rawValue: applied.outcome.rawValue) ?? .configured, version: applied.version?.description)
    }

    private static func kind(_ word: String) throws(MeshError) -> ResourceKind {
        if let kind = ResourceKind.named(word) { return kind }
        let words = ResourceKind.all.flatMap { [$0.name] + $0.aliases }
        let near = Suggestion.nearest(to: word, among: words)
        throw MeshError(
            .configuration, code: "kind", "there is no kind of resource \"\(word.prefix(80))\"",
            remedy: near.map { "did you mean \($0)?" } ?? "there are \(ResourceKind.all.map(\.name).joined(separator: ", "))")
    }

    private static func filter(_ selection: ResourceSelection) throws(MeshError) -> (ResourceKey) -> Bool {
        var kind: ResourceKind?
        if let word = selection.kind { kind = try Self.kind(word) }
        return { key in
            (kind == nil || (kind?.name == key.kind && kind?.group == key.group)) && (selection.namespace == nil || selection.namespace == key.namespace)
                && (selection.name == nil || selection.name == key.name)
        }
    }
}
