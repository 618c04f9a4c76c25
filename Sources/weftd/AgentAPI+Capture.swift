import Capture
import Catalog
import Glibc
import Identity
import ManagementAPI
import MeshModel
import Platform
import Reactor
import Settings

/// Workloads and their capture.
extension AgentAPI {
    @Control
    func workloads() async throws(APIError) -> WorkloadList {
        try await explained { () async throws(MeshError) in
            let mesh = try requireMesh()
            let entries = mesh.capture.list().map { capture in
                let identity = capture.workload.identity(trustDomain: mesh.credentials.trustDomain)
                let services = mesh.catalog.local.filter { $0.instance.identity == identity }.map(\.instance.service.description)
                return ManagementAPI.WorkloadEntry(
                    name: capture.workload.name, namespace: capture.workload.namespace, account: capture.workload.account, identity: identity?.description,
                    selector: capture.workload.selector.description, cgroups: capture.cgroups.filter { $0.refusal == nil }.map(\.path),
                    services: Array(Set(services)).sorted(), certificate: certificateState(identity))
            }
            return WorkloadList(workloads: entries)
        }
    }

    @Control
    private func certificateState(_ identity: SPIFFEID?) -> String {
        guard let identity, let status = agent.identity.certificates.first(where: { $0.identity == identity }) else { return "none" }
        return AgentAPI.state(status).rawValue
    }

    @Control
    func captures() async throws(APIError) -> CaptureList {
        try await explained { () async throws(MeshError) in
            let mesh = try requireMesh()
            return CaptureList(captures: mesh.capture.list().map { entry($0, in: mesh) })
        }
    }

    @Control
    func addCapture(_ request: CaptureRequest) async throws(APIError) -> CaptureReport {
        try await explained { () async throws(MeshError) in
            let mesh = try capturing()
            let workload = try Self.workload(request)
            let existing = mesh.capture.list().first { $0.workload.selector == workload.selector && !$0.isAdded }
            if let existing {
                throw MeshError(
                    .policy, code: "already_captured", "\(workload.selector) is captured by the configuration, as workload \(existing.workload.name)",
                    remedy: "change it there, and run `weft reload`")
            }
            var report = CaptureReport(
                capture: entry(WorkloadCapture(waiting: workload), in: mesh), dropIn: dropIn(workload, mesh),
                notes: ["connections that exist now are left alone; new ones are captured"])
            if request.dryRun { return report }
            try mesh.capture.addSelector(workload)
            try mesh.captureStore.save(mesh.capture.list().filter(\.isAdded).map(\.workload))
            mesh.ensureIdentities()
            if let now = mesh.capture.list().first(where: { $0.workload.name == workload.name }) { report.capture = entry(now, in: mesh) }
            return report
        }
    }

    @Control
    func removeCapture(_ request: CaptureRemoval) async throws(APIError) -> CaptureReport {
        try await explained { () async throws(MeshError) in
            let mesh = try requireMesh()
            let selector = Self.selector(request.kind, request.selector)
            guard let found = mesh.capture.list().first(where: { $0.workload.selector == selector }) else {
                throw MeshError(
                    .configuration, code: "capture_not_found", "\(selector) is not captured", remedy: "`weft capture list` shows what is")
            }
            guard found.isAdded else {
                throw MeshError(
                    .policy, code: "capture_configured", "\(selector) is captured by the configuration", remedy: "take it out there, and run `weft reload`")
            }
            mesh.capture.removeSelector(named: found.workload.name)
            try mesh.captureStore.save(mesh.capture.list().filter(\.isAdded).map(\.workload))
            mesh.ensureIdentities()
            return CaptureReport(
                capture: entry(found, in: mesh), dropIn: dropIn(found.workload, mesh),
                notes: ["connections that exist now go on through the proxy until they end"])
        }
    }

    @Control
    func captureReady(_ request: CaptureReadyRequest) async throws(APIError) -> CaptureReadyReport {
        try await explained { () async throws(MeshError) in
            let mesh = try capturing()
            try await mesh.capture.waitUntilCaptured(unit: request.unit, timeout: .seconds(request.timeoutSeconds))
            let cgroups = mesh.capture.list().flatMap(\.cgroups).filter { $0.refusal == nil }.map(\.path)
            return CaptureReadyReport(unit: request.unit, cgroups: cgroups.filter { $0.hasSuffix("/\(request.unit)") || $0.contains("/\(request.unit)/") })
        }
    }

    /// The mesh, if it captures.
    @Control
    private func capturing() throws(MeshError) -> Mesh {
        let mesh = try requireMesh()
        guard mesh.configuration.capture.enabled else {
            throw MeshError(
                .policy, code: "capture_off", "capture is off on this node (`capture.enabled: false`)",
                remedy: "take that out of weft.yaml and restart the agent: `systemctl restart weft`")
        }
        return mesh
    }

    // MARK: Forms

    private static func selector(_ kind: CaptureKind, _ text: String) -> Workload.Selector {
        switch kind {
        case .unit: .unit(text)
        case .slice: .slice(text)
        case .cgroup: .cgroup(text.hasPrefix("/") ? text : "/\(text)")
        }
    }

    private static func workload(_ request: CaptureRequest) throws(MeshError) -> Workload {
        let last = request.selector.split(separator: "/").last.map(String.init) ?? request.selector
        let stem = last.split(separator: ".").first.map(String.init) ?? last
        let account = request.account ?? stem.replacingAt()
        guard SPIFFEID.isSegment(account), ServiceName.isLabel(request.namespace) else {
            throw MeshError(
                .configuration, code: "account", "\"\(account)\" in namespace \"\(request.namespace)\" is no identity",
                remedy: "name it with --account (letters, digits, dots, hyphens) and --namespace (lower case letters, digits, hyphens)")
        }
        if request.kind != .cgroup, !UnitDropIn.isUnitName(request.selector), !request.selector.contains(where: { "*?[".contains($0) }) {
            throw MeshError(
                .configuration, code: "unit_name", "\"\(request.selector)\" is no name of a \(request.kind.rawValue)",
                remedy: request.kind == .unit ? "use a unit's full name, as reviews.service" : "use a slice's full name, as shop.slice")
        }
        return Workload(
            name: request.workload ?? account, namespace: request.namespace, account: account, selector: selector(request.kind, request.selector),
            allowDelegated: request.allowDelegated)
    }

    @Control
    private func dropIn(_ workload: Workload, _ mesh: Mesh) -> CaptureReport.DropIn? {
        guard case .unit(let unit) = workload.selector, UnitDropIn.isUnitName(unit),
            let text = UnitDropIn.text(unit: unit, systemdVersion: SystemdVersion.installed, outboundOnAgentExit: mesh.capture.settings.outboundOnAgentExit)
        else { return nil }
        return CaptureReport.DropIn(unit: unit, fileName: UnitDropIn.fileName, text: text)
    }

    @Control
    private func entry(_ capture: WorkloadCapture, in mesh: Mesh) -> CaptureEntry {
        let (kind, selector) = capture.workload.selector.parts
        let refusals = capture.cgroups.compactMap { cgroup in cgroup.refusal.map { "\(cgroup.path): \($0)" } }
        return CaptureEntry(
            kind: CaptureKind(rawValue: kind) ?? .unit, selector: selector, workload: capture.workload.name, namespace: capture.workload.namespace,
            account: capture.workload.account, allowDelegated: capture.workload.allowDelegated, origin: capture.isAdded ? .api : .configuration,
            state: CaptureEntry.State(rawValue: capture.state.rawValue) ?? .waiting,
            reason: mesh.configuration.capture.enabled ? refusals.joined(separator: "; ") : "capture is off on this node",
            cgroups: capture.cgroups.filter { $0.refusal == nil }.map(\.path))
    }
}

extension String {
    /// A template unit's name without its `@`, an account's name cannot have one.
    fileprivate func replacingAt() -> String { String(self.map { $0 == "@" || $0 == "*" ? "-" : $0 }.drop { $0 == "-" }).trimmingDashes }
    private var trimmingDashes: String {
        var text = self[...]
        while text.last == "-" { text = text.dropLast() }
        return String(text)
    }
}

/// Which systemd runs this host, from the library that it brings: asking the program would mean starting it.
enum SystemdVersion {
    static let installed: Int = {
        guard let directory = opendir("/usr/lib/systemd") else { return 0 }
        defer { closedir(directory) }
        while let entry = readdir(directory) {
            let name = withUnsafePointer(to: &entry.pointee.d_name) { $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) } }
            // libsystemd-shared-252.so
            guard name.hasPrefix("libsystemd-shared-") else { continue }
            let digits = name.dropFirst("libsystemd-shared-".count).prefix { $0.isNumber }
            if let number = Int(digits) { return number }
        }
        return 0
    }()
}
