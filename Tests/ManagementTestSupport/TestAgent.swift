import ManagementAPI
import Synchronization

/// An agent whose whole state is in this object: what the server and the command line are tried against.
package final class TestAgent: AgentControl {
    package struct State: Sendable {
        package var status = Samples.status
        package var trustDomain: String?
        package var tokens: [TokenEntry] = []
        package var members: [Member] = Samples.members
        package var services: [ServiceDetail] = [Samples.reviews]
        package var captures: [CaptureEntry] = [Samples.capture]
        package var connections: [Connection] = Samples.connections
        package var certificates: [CertificateEntry] = Samples.certificates
        package var workloads: [WorkloadEntry] = [Samples.workload]
        package var reload = ReloadReport(changed: ["log.level"], needsRestart: ["workers"], errors: [])
        /// What `captureReady` takes; longer than the request's timeout is a timeout.
        package var captureDelay = Duration.zero
        /// What `captureReady` says instead.
        package var captureRefusal: APIError?
        /// What `memberChanges` knows; `changesRead` is how often it was asked for more.
        package var changes: [MemberChange] = []
        package var changesRead = 0
        package var diff = Samples.diff
        package var resources = [Samples.resource]
        package var applyErrors: [String] = []
        package var rollout = Samples.rollout
        package var lastApply: ApplyRequest?
        package var lastRights: RightsRequest?
        package var keys = Samples.keys
        package var keyReport = Samples.keyReport
        package var lastKey: GossipKeyAddition?
        /// What an order about keys takes, and how far it is said to be meanwhile.
        package var keyDelay = Duration.zero
        package var keyOrder: GossipReport.KeyOrder?
        package var lastReady: CaptureReadyRequest?
        package var lastRegistration: ServiceRegistration?
        package var lastHeartbeat: HeartbeatRequest?
        package var lastHeartbeatProcess: Int32?
        package var lastJoin: JoinRequest?
        package var lastToken: TokenRequest?
        package init() {}
    }
    private let state: Mutex<State>

    package init(_ state: State = State()) { self.state = Mutex(state) }
    package func change(_ body: @Sendable (inout State) -> Void) { state.withLock { body(&$0) } }
    package func read<R: Sendable>(_ body: @Sendable (State) -> R) -> R { state.withLock { body($0) } }

    /// Returns once somebody waits in `captureReady`.
    package func waitForReady() async throws {
        while read(\.lastReady) == nil { try await Task.sleep(for: .milliseconds(10)) }
    }

    package func status() async -> Status { read(\.status) }
    package func version() async -> VersionReport { VersionReport(version: "9.8.7") }
    package func metrics() async -> String { "# TYPE weft_up gauge\nweft_up 1\n" }

    package func initialise(_ request: InitRequest) async throws(APIError) -> InitReport {
        let was = state.withLock { state in
            let was = state.trustDomain
            state.trustDomain = was ?? request.trustDomain
            return was
        }
        if let was {
            throw APIError(
                .conflict, code: "already_initialised", "this node is in mesh \(was) already", remedy: "run `weft leave` first",
                source: "configuration")
        }
        return InitReport(
            trustDomain: request.trustDomain, node: "a", identity: "spiffe://\(request.trustDomain)/node/a",
            rootFingerprint: String(repeating: "ab", count: 32))
    }

    package func createToken(_ request: TokenRequest) async throws(APIError) -> TokenReport {
        state.withLock {
            $0.lastToken = request
            $0.tokens.append(
                TokenEntry(
                    id: "t1", node: request.node, allow: request.allow, replace: request.replace, state: .unused,
                    expiresAt: "2026-01-01T00:00:00.000Z",
                    expiresInSeconds: request.expiresSeconds))
        }
        return TokenReport(
            id: "t1", token: "weft-join-1.secret", node: request.node, expiresAt: "2026-01-01T00:00:00.000Z", expiresInSeconds: request.expiresSeconds
        )
    }
    package func tokens() async throws(APIError) -> TokenList { TokenList(tokens: read(\.tokens)) }
    package func deleteToken(id: String) async throws(APIError) -> TokenEntry {
        let found = state.withLock { state in
            state.tokens.firstIndex { $0.id == id }.map { state.tokens.remove(at: $0) }
        }
        guard let found else { throw APIError(.notFound, code: "token_unknown", "there is no token \(id)", remedy: "`weft token list` shows them") }
        return found
    }
    package func join(_ request: JoinRequest) async throws(APIError) -> JoinReport {
        state.withLock { $0.lastJoin = request }
        if request.token == "expired" {
            throw APIError(
                .conflict, code: "token_expired", "the join token for node b expired 2 hours ago", remedy: "make a new one", source: "policy")
        }
        return JoinReport(trustDomain: "shop.example", node: "b", identity: "spiffe://shop.example/node/b", authority: "a")
    }
    package func leave(_ request: LeaveRequest) async throws(APIError) -> LeaveReport {
        LeaveReport(node: "a", trustDomain: "shop.example", warnings: request.force ? ["the mesh has no authority any more"] : [])
    }
    package func members() async throws(APIError) -> MemberList { MemberList(members: read(\.members)) }
    package func gossip() async throws(APIError) -> GossipReport {
        var report = Samples.gossip
        report.keyOrder = read(\.keyOrder)
        return report
    }
    package func gossipKeys() async throws(APIError) -> GossipKeyList { read(\.keys) }
    package func addGossipKey(_ request: GossipKeyAddition) async throws(APIError) -> GossipKeyReport {
        let report = state.withLock { state in
            state.lastKey = request
            state.keyOrder = state.keyDelay == .zero ? nil : .init(done: 1, nodes: 3)
            return state.keyReport
        }
        try? await Task.sleep(for: read(\.keyDelay))
        state.withLock { $0.keyOrder = nil }
        return report
    }
    package func useGossipKey(_ request: GossipKeyUse) async throws(APIError) -> GossipKeyReport { try await order(request.fingerprint, force: request.force) }
    package func removeGossipKey(_ request: GossipKeyRemoval) async throws(APIError) -> GossipKeyReport {
        try await order(request.fingerprint, force: request.force)
    }
    private func order(_ fingerprint: String, force: Bool) async throws(APIError) -> GossipKeyReport {
        if fingerprint == "dead" && !force {
            throw APIError(
                .conflict, code: "gossip_keys_unheard", "cannot make this key the primary: not every live member has said which keys it has: c (no stream)",
                remedy: "mend that, or use --force", source: "policy")
        }
        return read(\.keyReport)
    }
    package func catalogDiff(node: String) async throws(APIError) -> CatalogDiff {
        let diff = read(\.diff)
        guard node == diff.peer else {
            throw APIError(.notFound, code: "node_not_found", "no node \"\(node)\" is known here", remedy: "`weft members` lists the nodes")
        }
        return diff
    }
    package func memberChanges(_ request: MemberWatch) async throws(APIError) -> MemberChanges {
        let deadline = ContinuousClock.now + .seconds(request.timeoutSeconds)
        guard let after = request.after else { return MemberChanges(changes: [], last: UInt64(read(\.changes.count))) }
        state.withLock { $0.changesRead += 1 }
        while ContinuousClock.now < deadline, read(\.changes.count) <= Int(after) {
            do { try await Task.sleep(for: .milliseconds(10)) } catch {
                throw APIError(.unavailable, code: "gossip_stopped", "the agent stops")
            }
        }
        let changes = read(\.changes)
        return MemberChanges(changes: changes.filter { $0.number > after }, last: UInt64(changes.count))
    }

    package func services() async throws(APIError) -> ServiceList {
        ServiceList(
            services: read(\.services).map {
                ServiceSummary(
                    name: $0.name, namespace: $0.namespace, port: $0.ports[0], addresses: $0.addresses, endpoints: $0.endpoints.count,
                    usable: $0.endpoints.count { $0.usable })
            })
    }
    package func service(_ name: ServiceReference) async throws(APIError) -> ServiceDetail {
        guard let found = read(\.services).first(where: { $0.name == name.name && $0.namespace == name.namespace }) else {
            throw APIError(.notFound, code: "unknown_service", "there is no service \(name)", remedy: "`weft services` lists them", source: "client")
        }
        return found
    }
    package func registerService(_ request: ServiceRegistration) async throws(APIError) -> RegistrationReport {
        state.withLock { $0.lastRegistration = request }
        let endpoint = ServiceEndpoint(
            node: "a", address: "\(request.address ?? "10.0.0.1"):\(request.targetPort ?? request.port)", port: request.port,
            identity: "spiffe://shop.example/ns/\(request.namespace)/sa/\(request.account ?? request.name)", version: request.version,
            weight: request.weight, labels: request.labels, health: "unknown", usable: true)
        return RegistrationReport(
            service: ServiceSummary(
                name: request.name, namespace: request.namespace, port: request.port, addresses: ["240.240.0.9"], endpoints: 1, usable: 1),
            endpoint: endpoint, replaced: false)
    }
    package func deregisterService(_ request: ServiceDeregistration) async throws(APIError) -> DeregistrationReport {
        let service = try await service(request.service)
        return DeregistrationReport(
            removed: service.endpoints.filter { request.address == nil || $0.address == request.address }
                .filter { request.port == nil || $0.port == request.port }.map(\.address))
    }

    package func heartbeat(_ service: ServiceReference, _ request: HeartbeatRequest, from process: Int32?) async throws(APIError) -> HeartbeatReport {
        let found = try await self.service(service)
        state.withLock {
            $0.lastHeartbeat = request
            $0.lastHeartbeatProcess = process
        }
        return HeartbeatReport(
            address: request.address ?? found.endpoints[0].address, health: request.status == .passing ? "healthy" : "unhealthy", ttlMilliseconds: 30_000)
    }

    package func resources(_ selection: ResourceSelection) async throws(APIError) -> ResourceList {
        ResourceList(
            resources: read(\.resources).filter {
                (selection.namespace ?? $0.namespace) == $0.namespace && (selection.name ?? $0.name) == $0.name
            })
    }
    package func applyResources(_ request: ApplyRequest) async throws(APIError) -> ApplyReport {
        state.withLock { $0.lastApply = request }
        let errors = read(\.applyErrors)
        guard errors.isEmpty else { return ApplyReport(resources: [], errors: errors, dryRun: request.dryRun) }
        return ApplyReport(
            resources: [AppliedResource(kind: "DestinationRule", namespace: request.namespace, name: "reviews", outcome: .created, version: nil)],
            dryRun: request.dryRun)
    }
    package func deleteResource(_ selection: ResourceSelection) async throws(APIError) -> AppliedResource {
        guard let found = read(\.resources).first(where: { $0.name == selection.name && $0.namespace == selection.namespace ?? "default" }) else {
            throw APIError(.notFound, code: "resource_not_found", "there is no such resource", remedy: "`weft get` lists what there is")
        }
        if let expected = selection.version, expected != found.version {
            throw APIError(
                .conflict, code: "resource_conflict", "it was changed meanwhile: its version is \(found.version)",
                remedy: "look at it again with `weft get`, and apply your change to that", source: "policy")
        }
        return AppliedResource(kind: found.kind, namespace: found.namespace, name: found.name, outcome: .deleted, version: found.version)
    }
    package func rollout(_ selection: ResourceSelection) async throws(APIError) -> RolloutReport { read(\.rollout) }
    package func nodes() async throws(APIError) -> NodeList { Samples.nodes }
    package func changeRights(_ request: RightsRequest) async throws(APIError) -> RightsReport {
        state.withLock { $0.lastRights = request }
        return RightsReport(node: request.node, rights: request.grant, certificateSeconds: 86_400)
    }
    package func renewCertificates() async throws(APIError) -> RenewalReport { RenewalReport(asked: 2) }

    package func workloads() async throws(APIError) -> WorkloadList { WorkloadList(workloads: read(\.workloads)) }
    package func captures() async throws(APIError) -> CaptureList { CaptureList(captures: read(\.captures)) }
    package func addCapture(_ request: CaptureRequest) async throws(APIError) -> CaptureReport {
        let account = request.account ?? String(request.selector.split(separator: ".")[0])
        let entry = CaptureEntry(
            kind: request.kind, selector: request.selector, workload: request.workload ?? account, namespace: request.namespace, account: account,
            allowDelegated: request.allowDelegated, origin: .api, state: .waiting, reason: "it is not running")
        if !request.dryRun { state.withLock { $0.captures.append(entry) } }
        return CaptureReport(capture: entry, dropIn: Self.dropIn(request.kind, request.selector), notes: ["connections that exist are left alone"])
    }
    package func removeCapture(_ request: CaptureRemoval) async throws(APIError) -> CaptureReport {
        let found = state.withLock { state in
            state.captures.firstIndex { $0.kind == request.kind && $0.selector == request.selector }.map { state.captures.remove(at: $0) }
        }
        guard let found else {
            throw APIError(
                .notFound, code: "unknown_capture", "\(request.kind.rawValue) \(request.selector) is not captured", remedy: "see `weft capture list`")
        }
        return CaptureReport(capture: found, dropIn: Self.dropIn(request.kind, request.selector))
    }
    package func captureReady(_ request: CaptureReadyRequest) async throws(APIError) -> CaptureReadyReport {
        state.withLock { $0.lastReady = request }
        if let refusal = read(\.captureRefusal) { throw refusal }
        let delay = read(\.captureDelay)
        let bound = Duration.seconds(request.timeoutSeconds)
        // A stop cancels the wait; the answer then goes nowhere.
        try? await Task.sleep(for: min(delay, bound))
        guard delay <= bound else {
            throw APIError(
                .timedOut, code: "not_captured", "\(request.unit) was not captured within \(request.timeoutSeconds) s",
                remedy: "`weft capture list` shows why")
        }
        return CaptureReadyReport(unit: request.unit, cgroups: ["/system.slice/\(request.unit)"])
    }
    private static func dropIn(_ kind: CaptureKind, _ unit: String) -> CaptureReport.DropIn? {
        guard kind == .unit, !unit.contains("*") else { return nil }
        return CaptureReport.DropIn(
            unit: unit, fileName: "50-weft.conf",
            text:
                "# Written by \"weft capture add \(unit)\"; \"weft capture remove \(unit)\" takes it away.\n[Service]\n"
                + "ExecStartPre=+/usr/bin/weft capture ready %n\n"
        )
    }

    package func connections(_ request: ConnectionsRequest) async throws(APIError) -> ConnectionList {
        let all = read(\.connections)
        return ConnectionList(connections: Array(all.prefix(request.limit)), open: all.count { $0.end == nil })
    }
    package func certificates() async throws(APIError) -> CertificateList { CertificateList(certificates: read(\.certificates)) }
    package func reload() async throws(APIError) -> ReloadReport { read(\.reload) }
}
