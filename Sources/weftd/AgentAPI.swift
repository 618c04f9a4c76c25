import Identity
import ManagementAPI
import Membership
import MeshModel
import Platform
import Reactor
import Settings

/// The agent as the management server sees it. Every call runs on the control thread.
struct AgentAPI: AgentControl {
    let agent: Agent

    @Control
    func version() async -> VersionReport { VersionReport(version: WeftVersion.current) }

    @Control
    func reload() async throws(APIError) -> ReloadReport { agent.reload() }

    // MARK: Mesh

    @Control
    func initialise(_ request: InitRequest) async throws(APIError) -> InitReport {
        try await explained { () async throws(MeshError) in
            guard SPIFFEID.isTrustDomain(request.trustDomain) else {
                throw MeshError(
                    .configuration, code: "trust_domain", "\"\(request.trustDomain)\" is no trust domain", remedy: "use lower case letters, digits, dots and hyphens")
            }
            let configuration = agent.configuration
            let addresses = try NodeAddresses(configuration.node)
            try await agent.identity.initialise(
                trustDomain: request.trustDomain, node: configuration.node.name, addresses: [SocketAddress(addresses.primary, port: configuration.ports.tunnel)])
            let credentials = try await startOrUndo(force: true)
            return InitReport(
                trustDomain: credentials.trustDomain, node: credentials.mesh.node, identity: credentials.nodeIdentity.description,
                rootFingerprint: credentials.bundle.rootsDER.first.map { Hex.encode(Hash.sha256($0)) } ?? "")
        }
    }

    @Control
    func join(_ request: ManagementAPI.JoinRequest) async throws(APIError) -> JoinReport {
        try await explained { () async throws(MeshError) in
            if request.replace, agent.mesh != nil { await agent.stopMesh(grace: .seconds(1)) }
            let before = agent.identity.mesh?.trustDomain
            try await agent.identity.join(request.token, node: agent.configuration.node.name, replace: request.replace)
            if let before, before != agent.identity.mesh?.trustDomain { try await agent.forgetResources() }
            let credentials = try await startOrUndo(force: false)
            return JoinReport(
                trustDomain: credentials.trustDomain, node: credentials.mesh.node, identity: credentials.nodeIdentity.description,
                authority: credentials.mesh.authority)
        }
    }

    /// Brings the mesh up. When that fails the membership stays on disk, so that a restart after the remedy is enough; the error says so.
    @Control
    private func startOrUndo(force: Bool) async throws(MeshError) -> CredentialSet {
        guard let credentials = agent.identity.credentials else {
            throw MeshError(.internal, code: "no_credentials", "there are no credentials after joining")
        }
        do throws(MeshError) {
            try await agent.startMesh(credentials)
        } catch {
            throw MeshError(
                error.source, code: error.code, "this node belongs to the mesh now, but cannot take part yet: \(error.message)",
                remedy: "\(error.remedy.isEmpty ? "see the journal" : error.remedy); then restart weft.service")
        }
        return credentials
    }

    @Control
    func leave(_ request: LeaveRequest) async throws(APIError) -> LeaveReport {
        try await explained { () async throws(MeshError) in
            guard let record = agent.identity.mesh else { throw Self.notMember }
            if record.holdsAuthority && !request.force {
                throw MeshError(
                    .policy, code: "holds_authority", "this node holds the mesh's authority, and leaving destroys its root key for good",
                    remedy: "run `weft leave --force` if the mesh is to end")
            }
            await agent.stopMesh(grace: .seconds(2))
            try await agent.identity.leave(force: request.force)
            try await agent.forgetResources()
            agent.notifier.status(agent.statusLine)
            return LeaveReport(node: record.node, trustDomain: record.trustDomain)
        }
    }

    @Control
    func createToken(_ request: TokenRequest) async throws(APIError) -> TokenReport {
        try await explained { () async throws(MeshError) in
            let authority = try self.authority()
            var addresses: [SocketAddress]?
            if let texts = request.addresses {
                addresses = try texts.map { text throws(MeshError) in
                    guard let address = SocketAddress(text) else {
                        throw MeshError(.configuration, code: "address", "\"\(text)\" is no address with a port", remedy: "write it as 192.0.2.7:15008 or [2001:db8::7]:15008")
                    }
                    return address
                }
            }
            let token = try await authority.createToken(
                node: request.node, allow: request.allow, rights: try Self.rights(request.rights), lifetime: .seconds(request.expiresSeconds), replace: request.replace, addresses: addresses)
            return TokenReport(
                id: token.id, token: token.text, node: token.node, expiresAt: WallTime(seconds: token.expires).rfc3339,
                expiresInSeconds: token.expires - WallTime.now().seconds)
        }
    }

    @Control
    func tokens() async throws(APIError) -> TokenList {
        guard let authority = agent.identity.authority else { return TokenList(tokens: []) }
        let now = WallTime.now().seconds
        let records = await authority.listTokens()
        return TokenList(tokens: records.reversed().map { Self.entry($0, now) })
    }

    @Control
    func deleteToken(id: String) async throws(APIError) -> TokenEntry {
        try await explained { () async throws(MeshError) in
            let authority = try self.authority()
            guard let record = await authority.listTokens().first(where: { $0.id == id }), try await authority.deleteToken(id) else {
                throw MeshError(.configuration, code: "token_not_found", "there is no unused token \(id)", remedy: "see `weft token list`")
            }
            return Self.entry(record, WallTime.now().seconds)
        }
    }

    private static func entry(_ record: TokenLedger.Record, _ now: Int64) -> TokenEntry {
        TokenEntry(
            id: record.id, node: record.node, allow: record.allow.map(\.description), rights: (record.rights ?? []).map(\.description), replace: record.replace,
            state: record.used != nil ? .used : record.expires <= now ? .expired : .unused, expiresAt: WallTime(seconds: record.expires).rfc3339,
            expiresInSeconds: record.expires - now, usedAt: record.used.map { WallTime(seconds: $0).rfc3339 })
    }

    @Control
    func authority() throws(MeshError) -> AuthorityService {
        if let authority = agent.identity.authority { return authority }
        guard let mesh = agent.identity.mesh else { throw Self.notMember }
        throw MeshError(.policy, code: "not_authority", "this node does not hold the mesh's authority", remedy: "run the command on node \(mesh.authority)")
    }

    // MARK: Errors

    static let notMember = MeshError(.policy, code: "not_member", "this node is in no mesh yet", remedy: "run `weft init` to make one or `weft join` to join one")

    /// The mesh, or why there is none.
    @Control
    func requireMesh() throws(MeshError) -> Mesh {
        if let mesh = agent.mesh { return mesh }
        if let failure = agent.meshFailure { throw failure }
        throw Self.notMember
    }

    /// Runs `body` and tells its error in the API's form.
    @Control
    func explained<T: Sendable>(_ body: @Control () async throws(MeshError) -> T) async throws(APIError) -> T {
        do throws(MeshError) { return try await body() } catch { throw Self.api(error) }
    }

    static func api(_ error: MeshError) -> APIError {
        let kind: APIError.Kind =
            switch (error.code, error.source) {
            case ("capture_timeout", _): .timedOut
            case ("other_workload", _): .forbidden
            case ("token_not_found", _), ("service_not_found", _), ("gossip_key_unknown", _), ("capture_not_found", _), ("node_not_found", _), ("resource_not_found", _):
                .notFound
            case ("too_many_readers", _), ("gossip_keys_busy", _): .busy
            case ("not_member", _), ("already_member", _), (_, .policy): .conflict
            case (_, .configuration), (_, .downstream): .invalid
            case (_, .peer), (_, .upstream): .unavailable
            case (_, .internal), (_, .kernel): error.retryable ? .unavailable : .failed
            }
        return APIError(kind, code: error.code, error.message, remedy: error.remedy, source: error.source.rawValue)
    }
}
