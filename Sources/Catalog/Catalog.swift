import Identity
import Logging
import MeshModel
import Plane
import Platform
import Reactor

/// The catalog of this node: the shell of `CatalogCore`.
///
/// Overview: owns this node's records, keeps those of all other nodes, and says when the whole looks different.
/// Function: `start` with the node's credentials, `use` newer ones; streams to other nodes are dialled and kept as addresses become known
/// (`setSeeds`, signed node records); streams that workers accepted come through `accept`. `declare`, `register` and `deregister` change this
/// node's services, whose health it checks.
/// Implementation: timers, streams and calls become inputs of the core; its effects become frames, files and callbacks. All on the control
/// loop; only files are written elsewhere.
@Control
package final class Catalog {
    package let configuration: CatalogConfiguration
    /// Called with every new view.
    package var onChange: (@Control (CatalogView) -> Void)?
    /// Called for what the journal should tell.
    package var onEvent: (@Control (CatalogEvent) -> Void)?
    /// A stream to this node ended without being closed here: a reason to probe it now.
    package var onStreamLost: (@Control (String) -> Void)?
    /// What else travels on the streams. Set before `start`.
    package var riders: [PlaneRider] = []
    /// The last view that was published.
    package private(set) var view = CatalogView()

    let logger: Logger
    let store: CatalogStore
    let keys: RecordKeys
    var core: CatalogCore
    var links: PeerLinks
    var declared: [LocalInstance.ID: LocalInstance] = [:]
    var registered: [LocalInstance.ID: LocalInstance] = [:]
    private(set) var health: HealthChecker!
    var isStarted = false

    private var credentials: CredentialSet?
    private var timers: [TimerID] = []
    private var commitTimer: TimerID?
    private var publishTimer: (id: TimerID, due: MonotonicTime)?
    private var publishing: PacedWork
    private var saveTimer: TimerID?
    /// Other nodes of which the disk has an earlier state.
    private var unsaved: Set<String> = []
    private var saving: Task<Void, Never>?
    private var tellsFullDisk = true
    /// This node's own records as they were last sent by themselves: many peers ask for the same.
    var ownFrame: (position: Position, from: UInt64?, frame: Frame)?
    private var exchangeTimer: TimerID?

    package init(_ configuration: CatalogConfiguration, logger: Logger, clock: @escaping @Sendable () -> WallTime = { .now() }) {
        self.configuration = configuration
        self.logger = logger
        publishing = PacedWork(least: configuration.debounce, most: configuration.longestDebounce)
        store = CatalogStore(directory: configuration.directory)
        keys = RecordKeys(clock: clock)
        core = CatalogCore(
            node: configuration.info.name, trustDomain: configuration.trustDomain, generation: 1, limits: configuration.limits,
            authority: keys.authority)
        links = PeerLinks(node: configuration.info.name)
        health = HealthChecker(mark: configuration.mark) { [weak self] id, health in self?.healthChanged(id, health) }
    }

    // MARK: Life

    /// Reads the files and begins: this node's registered services, and what was last known of others, marked stale.
    ///
    /// - Parameter credentials: records on disk are verified like any others, so nothing of other nodes is known before there are some.
    package func start(_ credentials: CredentialSet?) async throws(MeshError) {
        precondition(!isStarted, "a catalog starts once")
        keys.use(credentials)
        self.credentials = credentials
        let opened = try await store.open(now: .now(), salt: .random(in: .min ... .max))
        let registered = try await store.registered()
        let remote = try await store.remote(credentials == nil ? nil : keys.authority)
        for warning in [opened.warning].compactMap({ $0 }) + remote.warnings { logger.warning("\(warning)") }
        var fresh = CatalogCore(
            node: configuration.info.name, trustDomain: configuration.trustDomain, generation: opened.generation, limits: configuration.limits,
            authority: keys.authority)
        // What membership said while the files were read.
        for (name, liveness) in core.livenesses { fresh.liveness(name, liveness, .now()) }
        core = fresh
        isStarted = true
        core.restore(remote.deltas, .now())
        // What proves nothing, as the records of another mesh, need not be read again.
        unsaved = Set(remote.deltas.map(\.origin).filter { core.whole(of: $0) == nil })
        do throws(Refusal) {
            try core.put(.node(configuration.info.name), payload: configuration.info.recordPayload)
        } catch {
            throw MeshError(
                .configuration, code: "node_record", "this node cannot describe itself to others: \(error)",
                remedy: "configure an address that other nodes can reach")
        }
        for instance in registered { self.registered[instance.id] = instance }
        for id in Set(self.registered.keys).union(declared.keys) { refresh(id) }
        timers = [
            ControlLoop.shared.every(.seconds(1)) { [weak self] in self?.tick() },
            ControlLoop.shared.every(.milliseconds(250)) { [weak self] in self?.dialDue() },
        ]
        scheduleExchange()
        perform()
        publishNow()
    }

    /// Closes every stream and ends every check. What is known is saved.
    package func stop() async {
        guard isStarted else { return }
        isStarted = false
        for timer in timers + [commitTimer, publishTimer?.id, saveTimer, exchangeTimer].compactMap({ $0 }) { ControlLoop.shared.cancel(timer) }
        timers = []
        health.stopAll()
        closeAll("this node stops")
        await saving?.value
        await save()
    }

    /// New certificates or roots; nil when the node left its mesh. Everything is signed again when the node's certificate is another.
    package func use(_ credentials: CredentialSet?) {
        let isOther = credentials?.signer.certificate != self.credentials?.signer.certificate
        self.credentials = credentials
        keys.use(credentials)
        guard isStarted else { return }
        if credentials == nil {
            closeAll("this node left the mesh")
        } else if isOther {
            core.resign(.now())
            perform()
            dialDue()
        }
    }

    var currentCredentials: CredentialSet? { credentials }

    /// Membership's word on a node: `dead` and `left` take its endpoints out at once and close the stream to it.
    package func liveness(_ node: String, _ liveness: Liveness) {
        core.liveness(node, liveness, .now())
        let isGone = liveness == .dead || liveness == .left
        links.plan.setGone(node, isGone, .now(), random: .random(in: 0..<1))
        if isGone { closeLink(node, "membership says that \(node) is \(liveness.rawValue)") }
        perform()
        // A loss counts now; what comes can wait for the others that come with it.
        if isGone, isStarted { publishNow() }
    }

    /// The subsets that resources name, by service.
    package func setSubsetRules(_ rules: [ServiceName: [SubsetRule]]) {
        core.setSubsetRules(rules)
        perform()
    }

    // MARK: Introspection

    package var counters: CatalogCounters { core.counters }
    package var healthCounters: HealthCounters { health.counters }
    package var positions: [String: Position] { core.knownPositions }
    /// Where a node's tunnels end, from its own signed record.
    package func address(of node: String) -> SocketAddress? { core.index.nodes[node]?.tunnel }

    // MARK: Effects

    /// Carries out what the core asked for.
    func perform() {
        while !core.effects.isEmpty {
            let effects = core.effects
            core.effects = []
            for effect in effects {
                switch effect {
                case .send(let message, let peer): send(message, to: peer)
                case .broadcast(let message): broadcast(message)
                case .viewChanged: schedulePublish()
                case .viewImproved: schedulePublish(within: configuration.improvement)
                case .save(let origin):
                    unsaved.insert(origin)
                    scheduleSave()
                case .saveGeneration(let generation):
                    do throws(MeshError) { try store.save(generation: generation) } catch {
                        logger.error("the new generation is not on disk: \(error)")
                    }
                case .disconnect(let peer): closeLink(peer, "too much that had to be refused")
                case .event(let event): tell(event)
                }
            }
        }
        // Without a certificate the changes stay; `tick` tries again every second.
        if core.isDirty, !core.isUnsigned { scheduleCommit() }
    }

    private func tell(_ event: CatalogEvent) {
        switch event {
        case .refused, .portConflict, .tooManyVersions, .generationJumped, .cannotSign: logger.warning("\(event)")
        case .nodeAppeared, .nodeDropped: logger.info("\(event)")
        }
        onEvent?(event)
    }

    private func tick() {
        core.tick(.now())
        perform()
    }

    private func scheduleCommit() {
        guard commitTimer == nil, isStarted else { return }
        commitTimer = ControlLoop.shared.after(configuration.batch) { [weak self] in
            guard let self else { return }
            commitTimer = nil
            core.commit(.now())
            perform()
        }
    }

    private func scheduleExchange() {
        let spread = Double.random(in: 0.8..<1.2)
        let wait = Duration.nanoseconds(Int64(Double(configuration.exchange.nanoseconds) * spread))
        exchangeTimer = ControlLoop.shared.after(wait) { [weak self] in
            guard let self else { return }
            core.exchange(.now(), random: .random(in: 0...(.max)))
            perform()
            scheduleExchange()
        }
    }

    // MARK: Publishing

    /// - Parameter patience: how much longer than its pace it may wait. All nodes hear of a node that is back at the same moment, and each takes another
    ///   part of this: hosts may share processors, with that node too, which has most to do just then.
    private func schedulePublish(within patience: Duration = .zero) {
        guard isStarted else { return }
        let now = MonotonicTime.now()
        let wait = publishing.wait(now) + .nanoseconds(Int64(Double(patience.nanoseconds) * .random(in: 0.5...1)))
        if let publishTimer {
            if publishTimer.due <= now + wait { return }
            ControlLoop.shared.cancel(publishTimer.id)
        }
        publishTimer = (ControlLoop.shared.after(wait) { [weak self] in self?.publishNow() }, now + wait)
    }

    func publishNow() {
        if let publishTimer { ControlLoop.shared.cancel(publishTimer.id) }
        publishTimer = nil
        let start = MonotonicTime.now()
        defer { publishing.ran(from: start, to: .now()) }
        let fresh = core.view()
        let nodesChanged = !fresh.nodes.elementsEqual(view.nodes) { $0.info == $1.info }
        view = fresh
        if nodesChanged {
            links.plan.setNodes(core.nodeAddresses, .now())
            dialDue()
        }
        perform()
        onChange?(fresh)
    }

    // MARK: Files

    private func scheduleSave() {
        guard saveTimer == nil, isStarted else { return }
        // Spread: what one node tells all of them would be written by all of them at the same moment, on hosts that may share processors and disks.
        let wait = Duration.nanoseconds(Int64(Double(configuration.save.nanoseconds) * .random(in: 0.5..<1.5)))
        saveTimer = ControlLoop.shared.after(wait) { [weak self] in
            guard let self else { return }
            saveTimer = nil
            saving = Task { @Control in await self.save() }
        }
    }

    private func save() async {
        let origins = Dictionary(uniqueKeysWithValues: unsaved.map { ($0, core.whole(of: $0)) })
        unsaved = []
        do throws(MeshError) {
            let evicted = try await store.save(remote: origins, bytes: configuration.savedBytes)
            if evicted > 0, tellsFullDisk {
                tellsFullDisk = false
                logger.notice("what is known of other nodes is more than the \(configuration.savedBytes >> 20) MB that are kept on disk: a restart asks others for the rest")
            }
        } catch {
            unsaved.formUnion(origins.keys)
            if isStarted { scheduleSave() }
            logger.error("what is known of other nodes is not on disk: \(error)")
        }
    }
}
