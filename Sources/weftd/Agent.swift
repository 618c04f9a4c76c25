import Capture
import Catalog
import Glibc
import Identity
import Logging
import Management
import ManagementAPI
import MeshModel
import Platform
import Proxy
import Reactor
import Resources
import Settings
import Telemetry
import YAML

/// The agent: the management server, who this node is, and, while it is in a mesh, the `Mesh`.
@Control
final class Agent {
    /// For the signal handler's thread.
    static var running: Agent?

    private(set) var loaded: LoadedConfiguration
    let identity: NodeIdentity
    private(set) var mesh: Mesh?
    /// Why the mesh is not up although this node belongs to one.
    private(set) var meshFailure: MeshError?
    private(set) var isJoining = false
    let started = WallTime.now()
    let logger: Logger
    let notifier = Notifier()
    private let addressHolder: CatalogAddresses
    private var server: ManagementServer?
    private var serverTask: Task<Void, Never>?
    private var isStopping = false

    var configuration: AgentConfiguration { loaded.configuration }

    init(_ loaded: LoadedConfiguration) {
        self.loaded = loaded
        let section = loaded.configuration.log
        let level = Logger.Level(rawValue: section.level.rawValue) ?? .info
        let format: LineLogHandler.Format = section.format == .json ? .json : Cleanup.environment("JOURNAL_STREAM") == nil ? .text : .journal
        LoggingSystem.bootstrap { LineLogHandler(label: $0, format: format, level: level) }
        logger = Logger(label: "weftd")
        let holder = CatalogAddresses()
        addressHolder = holder
        var options = NodeIdentity.Options()
        options.lifetimes.leaf = loaded.configuration.certificates.lifetime
        identity = NodeIdentity(
            store: IdentityStore(directory: loaded.configuration.state),
            link: PlaneLink(mark: loaded.configuration.capture.marks.excluded, lookUp: { node in holder.catalog(node) }), options: options)
    }

    /// Comes up, and returns when everything runs. Ends the process when something that cannot mend itself is wrong.
    func run() async {
        logger.info("weftd \(WeftVersion.current) starts on node \(configuration.node.name)")
        identity.onChange = { [weak self] in self?.credentialsChanged($0) }
        do throws(MeshError) {
            try prepareDirectories()
            try await startServer()
            try await identity.start()
            if let credentials = identity.credentials { try await startMesh(credentials) }
        } catch {
            logger.critical("\(error)", metadata: ["code": "\(error.code)"])
            await shutDown(grace: .zero)
            exit(error.source == .configuration ? 78 : 1)
        }
        startWatchdog()
        MemoryReturn.start()
        notifier.ready(statusLine)
        logger.info("\(statusLine)")
    }

    var statusLine: String {
        guard let mesh else { return "in no mesh yet: run weft init or weft join" }
        return "member of \(mesh.credentials.trustDomain) as \(mesh.configuration.node.name)"
    }

    private func prepareDirectories() throws(MeshError) {
        for path in [configuration.runtime] where mkdir(path, 0o755) != 0 && errno != EEXIST {
            throw MeshError(.configuration, code: "runtime_directory", "\(path) cannot be made: \(Errno.current)", remedy: "see `runtime` in the configuration")
        }
    }

    // MARK: Mesh

    /// Brings the mesh up with the credentials that the node has now.
    func startMesh(_ credentials: CredentialSet) async throws(MeshError) {
        guard mesh == nil, !isStopping else { return }
        isJoining = true
        defer { isJoining = false }
        do throws(MeshError) {
            let fresh = try Mesh(loaded, addresses: try NodeAddresses(configuration.node), identity: identity, credentials: credentials, logger: logger)
            mesh = fresh
            addressHolder.mesh = fresh
            try await fresh.start()
            meshFailure = nil
            notifier.status(statusLine)
        } catch {
            mesh = nil
            meshFailure = error
            throw error
        }
    }

    func stopMesh(grace: Duration) async {
        await mesh?.stop(grace: grace)
        mesh = nil
    }

    /// After the node left its mesh: that mesh's configuration stays in it.
    func forgetResources() async throws(MeshError) {
        try await MeshResources.forget(directory: MeshResources.directory(state: configuration.state))
    }

    private func credentialsChanged(_ credentials: CredentialSet?) {
        guard let credentials else { return }
        mesh?.use(credentials)
    }

    // MARK: Management

    private func startServer() async throws(MeshError) {
        let section = configuration.management
        let metrics = ManagementServer.MetricsAddress(host: "\(configuration.metrics.address)", port: configuration.ports.metrics)
        let server = ManagementServer(
            agent: AgentAPI(agent: self), socketPath: section.socket, policy: AccessPolicy(readers: section.group, administrators: section.adminGroup),
            metricsAddress: metrics, logger: logger)
        self.server = server
        let outcome: APIError? = await withCheckedContinuation { continuation in
            let once = Once(continuation)
            serverTask = Task.detached { [logger] in
                do throws(APIError) {
                    try await server.run { once.resume(nil) }
                } catch {
                    if !once.resume(error) { logger.critical("the management server failed: \(error)") }
                }
            }
        }
        if let outcome {
            throw MeshError(.configuration, code: outcome.code, outcome.message, remedy: outcome.remedy)
        }
    }

    // MARK: Watchdog

    /// systemd is told that all is well only when every worker answered since the last time; that this runs shows that the control loop turns.
    private func startWatchdog() {
        guard let interval = notifier.watchdogInterval else { return }
        ControlLoop.shared.every(interval) { [weak self] in
            guard let self else { return }
            if let mesh, !mesh.isStopped {
                if mesh.proxy.beat() { notifier.watchdog() }
            } else {
                notifier.watchdog()
            }
        }
    }

    // MARK: End

    /// SIGTERM: orderly, within `timeouts.drain`. A second one ends at once, and leaves nothing in the kernel either.
    func stop() async {
        if isStopping {
            mesh?.capture.forget()
            exit(0)
        }
        isStopping = true
        notifier.stopping("flows have \(configuration.timeouts.drain) to finish")
        logger.info("weftd stops")
        await shutDown(grace: configuration.timeouts.drain)
        exit(0)
    }

    private func shutDown(grace: Duration) async {
        await stopMesh(grace: grace)
        server?.shutdown()
        await serverTask?.value
    }

    /// Reads the configuration again. What is wrong is logged and returned, and the running configuration stays.
    func reload() -> ReloadReport {
        let fresh: LoadedConfiguration
        do throws(ConfigurationErrors) {
            fresh = try LoadedConfiguration(path: loaded.path)
        } catch {
            for line in error.errors { logger.error("\(line); the running configuration stays") }
            return ReloadReport(changed: [], needsRestart: [], errors: error.errors.map(\.description))
        }
        let changes = configuration.changes(to: fresh.configuration)
        let servicesChanged = fresh.services != loaded.services
        do throws(MeshError) {
            try mesh?.reload(fresh, changes: changes)
        } catch {
            logger.error("\(error); the running configuration stays")
            return ReloadReport(changed: [], needsRestart: [], errors: [error.description])
        }
        loaded = fresh
        let changed = changes.reloadable.filter { Mesh.reloadable($0) } + (servicesChanged ? ["services"] : [])
        let restart = changes.restart + changes.reloadable.filter { !Mesh.reloadable($0) }
        logger.info("configuration read again", metadata: ["changed": "\(changed.joined(separator: ","))", "needs_restart": "\(restart.joined(separator: ","))"])
        return ReloadReport(changed: changed, needsRestart: restart.sorted(), errors: [])
    }
}

/// Where the catalog says that a node is, for the identity's requests; they begin before there is a catalog.
@Control
final class CatalogAddresses {
    weak var mesh: Mesh?
    nonisolated init() {}
    func catalog(_ node: String) -> [SocketAddress] { mesh?.catalog.address(of: node).map { [$0] } ?? [] }
}
