import Capture
import Catalog
import Identity
import Logging
import ManagementAPI
import Membership
import MeshModel
import Naming
import Netfilter
import Plane
import Platform
import Proxy
import Reactor
import Resources
import Settings

/// Everything that runs while this node belongs to a mesh.
///
/// Overview: owns the proxy, capture, gossip, catalog and DNS, and joins their callbacks: what one learns becomes a new snapshot for the workers and a new name
/// table for DNS.
/// Function: `start` brings them up in an order that never captures what cannot be served; `stop` takes them down in the reverse one.
@Control
final class Mesh {
    let configuration: AgentConfiguration
    let addresses: NodeAddresses
    let identity: NodeIdentity
    let names = Interner()
    let logger: Logger
    let proxy: ProxyPool
    let capture: CaptureEngine
    let gossip: Gossip
    let catalog: Catalog
    let resources: MeshResources
    let dns: DNSServer
    let joinServer: JoinServer
    private(set) lazy var keys = makeKeyExchange()
    /// Packets that no key opened, when that was last looked at.
    var unopenedSeen: UInt64 = 0
    let captureStore: CaptureStore
    var accessLog: AccessLog?
    /// From files and from the configuration; `weft reload` replaces both.
    var workloads: [Workload]
    var declarations: [ServiceDeclaration]
    var credentials: CredentialSet
    /// The last flows that ended, the newest last.
    var recent: [FlowRecord] = []
    /// Problems that workers told, by code: when last, and how often.
    var problems: [String: (message: String, count: UInt64, logged: MonotonicTime)] = [:]
    private(set) var isProxyReady = false
    /// What disk and configuration know is in; before, a snapshot would refuse what only waits for it.
    private var isLoaded = false
    private(set) var isStopped = false
    /// Its capture is in force, or not wanted.
    var isComplete: Bool { capture.isRunning || !configuration.capture.enabled }
    private var snapshotTimer: TimerID?
    private(set) lazy var compiled = CompiledCatalog(node: configuration.node.name, names: names, tenants: proxy.tenants)
    private var snapshots = PacedWork(least: .milliseconds(2), most: .milliseconds(100))
    private var rejoinTimer: TimerID?
    private var onServing: [@Control () -> Void] = []
    private let lookup: CallerLookup

    static let recentBound = 1000

    init(
        _ loaded: LoadedConfiguration, addresses: NodeAddresses, identity: NodeIdentity, credentials: CredentialSet, logger: Logger
    ) throws(MeshError) {
        configuration = loaded.configuration
        self.addresses = addresses
        self.identity = identity
        self.credentials = credentials
        self.logger = logger
        workloads = loaded.configuration.workloads
        declarations = loaded.services
        captureStore = CaptureStore(path: "\(loaded.configuration.state)/captures.json")
        let mark = loaded.configuration.capture.marks.excluded
        do throws(NetfilterError) { lookup = try CallerLookup() } catch {
            throw MeshError(.kernel, code: "caller_lookup", "callers cannot be looked up: \(error)", remedy: "weftd needs CAP_NET_ADMIN")
        }
        proxy = try ProxyPool(settings: loaded.configuration.proxySettings())
        let limits = loaded.configuration.namespaceLimits
        proxy.tenants.setLimits(limits.every, exceptions: limits.exceptions)
        capture = CaptureEngine(settings: loaded.configuration.captureSettings(addresses), logger: logger)
        gossip = Gossip(
            try loaded.configuration.gossipConfiguration(addresses, keyring: credentials.gossip, version: WeftVersion.current), logger: logger)
        catalog = Catalog(
            CatalogConfiguration(
                info: loaded.configuration.nodeInfo(addresses, version: WeftVersion.current), trustDomain: credentials.trustDomain,
                directory: "\(loaded.configuration.state)/catalog", mark: mark),
            logger: logger)
        resources = MeshResources(node: loaded.configuration.node.name, directory: MeshResources.directory(state: loaded.configuration.state), logger: logger)
        joinServer = JoinServer(identity)
        let (engine, lookup) = (capture, self.lookup)
        dns = DNSServer(loaded.configuration.dnsOptions(), logger: logger) { client, local, transport in
            // Only captured processes reach this port (the guard refuses others), so their workload says where short names belong.
            let caller = lookup.caller(transport == .udp ? .udp : .tcp, peer: client, local: local, in: engine.index)
            guard case .workload(let index) = caller.workload, index < engine.index.workloads.count else { return nil }
            return engine.index.workloads[index].namespace
        }
        accessLog = AccessLog(loaded.configuration.accessLog, names: names)
        if accessLog == nil, loaded.configuration.accessLog.enabled {
            logger.warning("the access log cannot be opened, and is off: \(loaded.configuration.accessLog.destination)")
        }
    }

    // MARK: Start and stop

    /// Listeners first, then the kernel's redirects, then what fills the snapshot. Returns when flows are served; after an error everything is taken down again.
    func start() async throws(MeshError) {
        do throws(MeshError) {
            try await bringUp()
        } catch {
            await stop(grace: .zero)
            throw error
        }
    }

    private func bringUp() async throws(MeshError) {
        proxy.onReport = { [weak self] in self?.take($0) }
        proxy.onReady = { [weak self] in self?.proxyReady() }
        catalog.onChange = { [weak self] _ in self?.changed() }
        capture.onIndex = { [weak self] _ in self?.changed(atOnce: true) }
        gossip.onEvent = { [weak self] in self?.heard($0) }
        // A process that ends closes its streams: gossip looks at once instead of when its turn comes.
        catalog.onStreamLost = { [weak self] in self?.gossip.check($0) }
        ride()
        attachKeys()
        try capture.setWorkloads(workloads)
        for workload in try captureStore.load() { try capture.addSelector(workload) }
        // From here on captured connections wait in the listeners' queues until the first snapshot is in.
        if configuration.capture.enabled { try capture.start() } else { withoutCapture() }
        try await resources.start(credentials)
        try await catalog.start(credentials)
        try declare()
        ensureIdentities()
        try gossip.start()
        try dns.start()
        seed()
        isLoaded = true
        changed(atOnce: true)
        await serving()
        logger.debug("every worker has its first snapshot")
        rejoinTimer = ControlLoop.shared.every(.seconds(30)) { [weak self] in
            self?.rejoinIfAlone()
            self?.lookAfterKeys()
        }
        await join()
    }

    private func withoutCapture() {
        // An agent that captured may have left something when it crashed; where that can't be told, as without nf_tables, this one needs none of it.
        do throws(MeshError) { try Leftovers.remove(.purge) } catch { logger.warning("\(error)", metadata: ["code": "\(error.code)"]) }
        logger.notice("capture is off (capture.enabled): only listeners and tunnels bring flows")
    }

    /// The redirects go first: from then on new connections go where they were going. Flows that run get `grace`.
    func stop(grace: Duration) async {
        guard !isStopped else { return }
        isStopped = true
        capture.stop(connectionsGoOn: grace > .zero)
        dns.stop()
        for timer in [snapshotTimer, rejoinTimer].compactMap({ $0 }) { ControlLoop.shared.cancel(timer) }
        await gossip.leave()
        gossip.stop()
        await catalog.stop()
        await resources.stop()
        await proxy.drain(grace: grace)
        capture.forget()
        for body in onServing { body() }
        onServing = []
    }

    private func proxyReady() {
        isProxyReady = true
        for body in onServing { body() }
        onServing = []
    }

    private func serving() async {
        // Asked inside: other jobs may run between the `await` and the closure.
        await withCheckedContinuation { continuation in
            if isProxyReady || isStopped { continuation.resume() } else { onServing.append { continuation.resume() } }
        }
    }

    // MARK: Other nodes

    private var gossipSeeds: [SocketAddress] {
        configuration.gossip.seeds + credentials.mesh.seedAddresses
            + catalog.view.nodes.filter { $0.info.name != configuration.node.name }.map { SocketAddress($0.info.tunnel.ip, port: configuration.ports.gossip) }
    }

    private func seed() {
        catalog.setSeeds(credentials.mesh.holdsAuthority ? [] : credentials.mesh.authoritySocketAddresses)
        identity.seeds = { [weak self] in
            guard let self else { return [] }
            return gossip.members().filter { $0.state == .alive }.prefix(8).map(\.address)
        }
    }

    private func join() async {
        let seeds = Array(Set(gossipSeeds)).prefix(16)
        guard !seeds.isEmpty else { return }
        logger.debug("calling gossip at \(seeds.map(\.description).joined(separator: ", "))")
        let result = await gossip.join(Array(seeds))
        if result.contacted == 0 { logger.warning("no other node answered gossip at \(seeds.map(\.description).joined(separator: ", ")); trying again every 30 s") }
    }

    func rejoinIfAlone() {
        guard gossip.members().filter({ $0.state == .alive }).count <= 1 else { return }
        Task { @Control in await join() }
    }

    private func heard(_ event: GossipEvent) {
        let name = event.member.name
        if name == configuration.node.name { return }
        let isGone = event.member.state == .dead || event.member.state == .left
        let tunnel = isGone ? catalog.address(of: name) : nil
        catalog.liveness(name, event.member.state)
        guard let tunnel else { return }
        // In this order: flows that are taken off the node's tunnels must not be sent there again by a snapshot that still has it.
        changed(atOnce: true)
        proxy.forget(tunnel)
    }

    // MARK: Workloads and services

    /// New credentials: identities were issued or renewed.
    func use(_ credentials: CredentialSet) {
        self.credentials = credentials
        catalog.use(credentials)
        resources.use(credentials)
        useKeys(credentials.gossip)
        changed(atOnce: true)
    }

    /// Turns the declared services into instances of this node.
    func declare() throws(MeshError) {
        var instances: [LocalInstance] = []
        for declaration in declarations {
            instances.append(try LocalInstance(declaration, workloads: workloads, address: addresses.primary, trustDomain: credentials.trustDomain))
        }
        try catalog.declare(instances)
        ensureIdentities()
    }

    /// Asks for the certificates of every workload that is captured or serves.
    func ensureIdentities() {
        let captured = capture.list().compactMap { $0.workload.identity(trustDomain: credentials.trustDomain) }
        identity.ensure(identities: Set(captured + catalog.local.map(\.instance.identity)))
    }

    /// Something that the snapshot is made of is different. Changes of a moment make one snapshot.
    func changed(atOnce: Bool = false) {
        guard isLoaded, !isStopped else { return }
        if atOnce {
            if let snapshotTimer { ControlLoop.shared.cancel(snapshotTimer) }
            snapshotTimer = nil
            return publish()
        }
        guard snapshotTimer == nil else { return }
        snapshotTimer = ControlLoop.shared.after(snapshots.wait(.now())) { [weak self] in
            self?.snapshotTimer = nil
            self?.publish()
        }
    }

    private func publish() {
        let start = MonotonicTime.now()
        defer { snapshots.ran(from: start, to: .now()) }
        if compiled.follow(catalog.view) { dns.update(nameTable()) }
        let snapshot = makeSnapshot()
        proxy.apply(snapshot)
        capture.setInboundEndpoints(Array(snapshot.local.keys))
    }
    private func nameTable() -> NameTable {
        var subsets: [Subset: NameTable.Entry] = [:]
        for view in catalog.view.services {
            for item in view.subsets { subsets[item.subset] = .init(v4: item.addresses.v4, v6: item.addresses.v6, ports: [view.service.port]) }
        }
        return NameTable(catalog.view.services.map(\.service), subsets: subsets)
    }
}
