import Capture
import Catalog
import Glibc
import Identity
import ManagementAPI
import Membership
import MeshModel
import Netfilter
import Platform
import Proxy
import Reactor
import Settings

/// How the agent is: status, certificates, connections.
extension AgentAPI {
    /// Above this share of the kernel's connection table there is a warning.
    private static let conntrackWarning = 0.8

    @Control
    func status() async -> Status {
        let now = WallTime.now()
        let configuration = agent.configuration
        let mesh = agent.mesh
        let statistics = await mesh?.proxy.statistics() ?? []
        let members = mesh?.gossip.members() ?? []
        let services = mesh?.catalog.view.services ?? []
        let endpoints = services.flatMap(\.endpoints)
        let certificates = agent.identity.certificates
        let expiry = certificates.compactMap(\.notAfter).min()
        let captures = mesh?.capture.list() ?? []
        var reasons: [String] = []
        if agent.identity.mesh == nil {
            reasons.append("this node is in no mesh yet: run `weft init` to make one or `weft join` to join one")
        } else if let failure = agent.meshFailure {
            reasons.append(failure.description)
        }
        for status in certificates where status.state != .valid {
            reasons.append("\(status.identity) has no valid certificate\(status.lastError.map { ": \($0)" } ?? "")")
        }
        for capture in captures where capture.state == .refused {
            reasons.append("workload \(capture.workload.name) is not captured: \(capture.cgroups.first?.refusal.map { "\($0)" } ?? "")")
        }
        let conntrack = Self.conntrackUsage()
        var warnings = Self.resolverWarnings() + (mesh?.capture.warnings ?? [])
        if let conntrack, conntrack.maximum > 0, Double(conntrack.count) > Self.conntrackWarning * Double(conntrack.maximum) {
            warnings.append("the kernel's connection table is \(100 * conntrack.count / conntrack.maximum) % full: raise net.netfilter.nf_conntrack_max")
        }
        for member in members where member.state == .dead { warnings.append("node \(member.name) is dead: its endpoints get no traffic") }
        for (address, failure) in (mesh?.catalog.dialFailures ?? [:]).sorted(by: { $0.key < $1.key }) { warnings.append("\(address): \(failure)") }
        let state: Status.State =
            agent.identity.mesh == nil ? .uninitialised : agent.isJoining || (mesh != nil && !mesh!.isComplete) ? .joining : reasons.isEmpty ? .ready : .degraded
        let ends = statistics.reduce(into: [UInt64](repeating: 0, count: FlowEnd.allCases.count)) { sum, worker in
            for (index, count) in worker.ends.enumerated() { sum[index] += count }
        }
        let open = statistics.reduce(0) { $0 + $1.liveFlows }
        let total = ends.reduce(0, +)
        return Status(
            version: WeftVersion.current, node: configuration.node.name, trustDomain: agent.identity.mesh?.trustDomain, state: state, reasons: reasons,
            authority: agent.identity.mesh?.holdsAuthority ?? false, startedAt: agent.started.rfc3339, uptimeSeconds: now.seconds - agent.started.seconds,
            workers: statistics.count,
            capture: Status.Capture(
                active: mesh?.capture.isRunning ?? false, workloads: captures.count, cgroups: captures.flatMap(\.cgroups).filter { $0.refusal == nil }.count,
                onExitOutbound: configuration.capture.onExitOutbound.rawValue, onExitInbound: configuration.capture.onExitInbound.rawValue),
            members: Status.Members(
                alive: members.filter { $0.state == .alive }.count, suspect: members.filter { $0.state == .suspect }.count, dead: members.filter { $0.state == .dead }.count),
            services: Status.Services(total: services.count, endpoints: endpoints.count, usable: endpoints.filter(\.usable).count),
            flows: Status.Flows(open: open, total: total + UInt64(open), failed: total - ends[Int(FlowEnd.completed.rawValue)]),
            certificates: Status.Certificates(total: certificates.count, nextExpiry: expiry?.rfc3339, nextExpirySeconds: expiry.map { $0.seconds - now.seconds }),
            conntrack: conntrack, warnings: warnings)
    }

    private static func conntrackUsage() -> Status.Conntrack? {
        guard let lookup = try? Conntrack(), let usage = try? lookup.usage() else { return nil }
        return Status.Conntrack(count: Int(usage.count), maximum: Int(usage.maximum))
    }

    private static func resolverWarnings() -> [String] {
        let text = (try? AtomicFile.read("/etc/nsswitch.conf", secret: false, maximumBytes: 65_536)).flatMap { $0 }.map { String(decoding: $0, as: UTF8.self) } ?? ""
        return ResolverAdvice.of(nsswitch: text).advice.map { [$0] } ?? []
    }

    // MARK: Certificates

    @Control
    func certificates() async throws(APIError) -> CertificateList {
        let now = WallTime.now()
        var entries = agent.identity.certificates.map { status in
            CertificateEntry(
                kind: status.identity.node != nil ? .node : .workload, identity: status.identity.description, state: Self.state(status),
                problem: status.lastError?.description ?? "", notAfter: status.notAfter?.rfc3339, expiresInSeconds: status.notAfter.map { $0.seconds - now.seconds },
                renewsInSeconds: status.renewal.map { max(0, $0.seconds - now.seconds) }, fingerprint: status.serial)
        }
        for root in agent.identity.credentials?.bundle.rootsDER ?? [] {
            entries.insert(
                CertificateEntry(
                    kind: .root, identity: "spiffe://\(agent.identity.mesh?.trustDomain ?? "")", state: .valid, notAfter: nil, expiresInSeconds: nil,
                    renewsInSeconds: nil, fingerprint: Hex.encode(Hash.sha256(root))), at: 0)
        }
        return CertificateList(certificates: entries)
    }

    static func state(_ status: CertificateStatus) -> CertificateEntry.State {
        switch status.state {
        case .missing: .pending
        case .expired: .expired
        case .valid: status.lastError == nil ? .valid : .expiring
        }
    }

    // MARK: Connections

    @Control
    func connections(_ request: ConnectionsRequest) async throws(APIError) -> ConnectionList {
        try await explained { () async throws(MeshError) in
            let mesh = try requireMesh()
            let limit = min(request.limit, ConnectionsRequest.maximumLimit)
            let open = await mesh.proxy.flows(limit: limit)
            let count = await mesh.proxy.statistics().reduce(0) { $0 + $1.liveFlows }
            let closed = mesh.recent.suffix(Mesh.recentBound).reversed()
            let listed = open.sorted { $0.duration < $1.duration }.map { Self.connection($0, mesh.names, open: true) } + closed.map { Self.connection($0, mesh.names, open: false) }
            return ConnectionList(connections: Array(listed.prefix(limit)), open: count)
        }
    }

    private static func connection(_ flow: FlowRecord, _ names: Interner, open: Bool) -> Connection {
        Connection(
            direction: flow.direction.word, end: open ? nil : flow.end.code, hint: open ? "" : flow.end.hint, source: "\(flow.source)",
            sourceIdentity: names[flow.sourceIdentity], workload: names[flow.workload], destination: "\(flow.destination)",
            endpoint: flow.endpoint.port == 0 ? "" : "\(flow.endpoint)", destinationIdentity: names[flow.destinationIdentity], service: names[flow.service],
            node: names[flow.node], security: flow.security.word, bytesSent: flow.bytesSent, bytesReceived: flow.bytesReceived,
            durationMilliseconds: flow.duration.milliseconds, attempts: Int(flow.attempts))
    }
}
