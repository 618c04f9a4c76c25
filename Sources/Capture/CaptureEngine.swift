import Glibc
import Logging
import MeshModel
import Netfilter
import Platform
import Reactor

/// Capture on this host: keeps the kernel's tables, routes and rules in step with the cgroups that exist and the settings.
///
/// Overview: `CgroupTree` says which cgroups there are, `KernelProgram` what the tables should hold, this brings the second into the kernel.
/// Function: every change is one transaction. What others change is put back. `onIndex` gets a new `CgroupIndex` before the kernel captures
/// for a new cgroup, so that whoever asks for a caller's workload knows every cgroup that can be captured.
/// Implementation: on the control loop; a transaction blocks it for some microseconds. The owner socket is `tables`: the redirects die with it.
@Control
package final class CaptureEngine {
    package let settings: CaptureSettings
    /// Called with every new index; set it before `start`.
    package var onIndex: @Control (CgroupIndex) -> Void = { _ in }
    package var onEvent: @Control (CaptureEvent) -> Void = { _ in }
    package internal(set) var index = CgroupIndex()
    package internal(set) var counters = CaptureCounters()

    let logger: Logger
    private(set) var program: KernelProgram
    /// What the kernel lacks that the agent can do without, and what that means.
    package private(set) var warnings: [String] = []
    var running: Running?
    /// What holds the table that is left between `stop(connectionsGoOn: true)` and `forget`.
    private var retired: NFTables?
    /// From the configuration, and added at run time.
    var configured: [Workload] = []
    var added: [Workload] = []
    var endpoints: Set<SocketAddress> = []
    var strictPorts: Set<UInt16> = []
    /// Cgroups that ended, the oldest first, with their workloads.
    var ended: [(id: UInt64, workload: String)] = []
    var waiters: [Waiter] = []
    var nextWaiter = 0

    /// Ids of ended cgroups that are remembered.
    static let rememberedEnded = 1024

    /// Everything that exists only between `start` and `stop`.
    final class Running {
        let tree: CgroupTree
        let tables: NFTables
        let routes: RouteKeeper
        let tableMonitor: NFMonitor
        let routeMonitor: RouteMonitor
        var watches: [WatchID] = []
        /// What the kernel holds; nil after a failure, when that is unknown.
        var applied: KernelState?
        /// The tables were loaded once, so what is in the kernel under their names is ours.
        var installed = false
        var reported: [String: MatchedCgroup] = [:]
        var budget = RepairBudget()
        var pendingCheck: TimerID?
        var retry: TimerID?

        init(tree: CgroupTree, tables: NFTables, routes: RouteKeeper, tableMonitor: NFMonitor, routeMonitor: RouteMonitor) {
            self.tree = tree
            self.tables = tables
            self.routes = routes
            self.tableMonitor = tableMonitor
            self.routeMonitor = routeMonitor
        }
    }

    package init(settings: CaptureSettings, logger: Logger) {
        self.settings = settings
        self.logger = logger
        program = KernelProgram(settings)
    }

    var workloads: [Workload] { configured + added }
    package var isRunning: Bool { running != nil }

    // MARK: Start and stop

    /// Checks the kernel, then puts both tables, routes and ip rules in place, replacing at once what a crashed agent left. After an error nothing
    /// of it is left.
    package func start() throws(MeshError) {
        guard running == nil else { return }
        if let problem = settings.problems.first {
            throw MeshError(
                .configuration, code: "capture_settings", "capture settings: \(problem)", remedy: "correct the capture section of the configuration")
        }
        let tree = try CgroupTree(mount: try CgroupMount.find())
        do throws(MeshError) {
            try start(tree)
        } catch {
            stop()
            tree.stop()
            throw error
        }
    }

    private func start(_ tree: CgroupTree) throws(MeshError) {
        let running = try Self.inKernel("preparing capture") { () throws(NetfilterError) in
            Running(
                tree: tree, tables: try NFTables(), routes: try RouteKeeper(settings), tableMonitor: try NFMonitor(),
                routeMonitor: try RouteMonitor())
        }
        let missing = try Self.inKernel("probing the kernel") { () throws(NetfilterError) in
            try FeatureProbe.missing(running.tables, of: KernelFeature.required)
        }
        if !missing.isEmpty {
            throw MeshError(
                .kernel, code: "kernel_feature", missing.map(\.description).joined(separator: "; "),
                remedy: "use Linux 5.13 or newer, or load the named modules")
        }
        let timeouts = try Self.inKernel("probing the kernel") { () throws(NetfilterError) in
            try FeatureProbe.missing(running.tables, of: [.conntrackTimeouts])
        }
        adapt(to: timeouts)
        self.running = running
        retired = nil
        tree.onChange = { [weak self] in self?.reconcile() }
        tree.onProblem = { [weak self] in self?.report(.problem($0)) }
        tree.setWorkloads(workloads)
        publish()
        let state = wantedState()
        // First the tables: where another agent owns them this fails, and its routes are not touched.
        try commit(program.install(state), "loading the tables", running)
        running.installed = true
        running.applied = state
        try Self.inKernel("setting up routes") { () throws(NetfilterError) in try running.routes.repair(try running.routes.drift()) }
        reportChanges()
        watchForDrift(running)
    }

    /// Goes without what the kernel lacks.
    func adapt(to missing: [FeatureProbe.Missing]) {
        program = KernelProgram(settings, holdsConnections: missing.isEmpty)
        warnings = missing.map {
            "\($0): a captured connection that one side has closed is lost when the other says nothing for net.netfilter.nf_conntrack_tcp_timeout_close_wait"
        }
        for warning in warnings { logger.warning("\(warning)") }
    }

    /// Takes everything out of the kernel: tables, routes and rules. Connections that were captured end with the agent.
    /// - Parameter connectionsGoOn: what was captured shall still work, until `forget`; new connections to virtual addresses are refused meanwhile.
    package func stop(connectionsGoOn: Bool = false) {
        guard let running else { return }
        self.running = nil
        retired = connectionsGoOn ? running.tables : nil
        for watch in running.watches { ControlLoop.shared.unwatch(watch) }
        if let timer = running.pendingCheck { ControlLoop.shared.cancel(timer) }
        if let timer = running.retry { ControlLoop.shared.cancel(timer) }
        running.tree.stop()
        if running.installed { removeFromKernel(running) }
        for waiter in waiters { finish(waiter, .failure(Self.stopped)) }
        waiters = []
        // The next start reports everything again.
        index = CgroupIndex(generation: index.generation + 1)
        onIndex(index)
    }

    /// After `stop(connectionsGoOn: true)`: the last table and the routes go, and connections that were captured no longer work.
    package func forget() {
        guard let tables = retired else { return }
        retired = nil
        var transaction = NFTransaction()
        transaction.destroy(NFTableID(name: KernelNames.guardTable))
        do throws(NetfilterError) { try tables.commit(transaction) } catch { report(.problem(Self.problem("removing the last table", error))) }
        removeRoutes()
    }

    private func removeFromKernel(_ running: Running) {
        var transaction = NFTransaction()
        if retired != nil {
            transaction = program.retire()
        } else {
            transaction.destroy(NFTableID(name: KernelNames.table))
            transaction.destroy(NFTableID(name: KernelNames.guardTable))
        }
        do throws(NetfilterError) { try running.tables.commit(transaction) } catch { report(.problem(Self.problem("removing the tables", error))) }
        // Without a route to it, what is still served at a virtual address would stall.
        if retired == nil { removeRoutes() }
    }

    private func removeRoutes() {
        do throws(NetfilterError) { try RouteKeeper.remove() } catch { report(.problem(Self.problem("removing routes", error))) }
    }

    static let stopped = MeshError(.internal, code: "capture_stopped", "capture is not running", remedy: "see weft status", retryable: true)

    // MARK: Bringing changes into the kernel

    func wantedState() -> KernelState {
        var state = KernelState(endpoints: endpoints, strictPorts: strictPorts)
        for cgroup in running?.tree.matched.values ?? [:].values where cgroup.isHeld { state.cgroups.insert(cgroup.id) }
        return state
    }

    /// Brings the kernel in step. What goes is taken out before the new index is published, what comes is put in after it.
    func reconcile() {
        guard let running else { return }
        let wanted = wantedState()
        if let applied = running.applied {
            var reduced = wanted
            reduced.cgroups.formIntersection(applied.cgroups)
            reduced.endpoints = applied.endpoints
            reduced.strictPorts = applied.strictPorts
            apply(reduced, running)
        }
        publish()
        apply(wanted, running)
        reportChanges()
        settleWaiters()
    }

    private func apply(_ wanted: KernelState, _ running: Running) {
        do throws(MeshError) {
            var renewal: NFTransaction?
            if let applied = running.applied {
                guard applied != wanted else { return }
                do throws(MeshError) {
                    try commit(program.update(from: applied, to: wanted), "changing the tables", running)
                    running.applied = wanted
                    return
                } catch {
                    // Somebody took a set or a table away: it is made anew below.
                    report(.problem(error))
                    renewal = self.renewal(running, from: applied, to: wanted)
                }
            }
            running.applied = nil
            try commit(renewal ?? program.install(wanted), "loading the tables", running)
            running.applied = wanted
        } catch {
            report(.problem(error))
            guard running.retry == nil else { return }
            running.retry = ControlLoop.shared.after(.seconds(1)) { [weak self] in
                self?.running?.retry = nil
                self?.reconcile()
            }
        }
    }

    /// First back to `applied`, then on to `wanted`. A table that is as it should be stays, for live flows lose their timeouts with that of the redirects.
    /// - Returns: nil when nothing is known to differ.
    private func renewal(_ running: Running, from applied: KernelState, to wanted: KernelState) -> NFTransaction? {
        guard let (_, repair) = try? tableDrift(running, applied), !repair.isEmpty else { return nil }
        var transaction = repair
        transaction.append(program.update(from: applied, to: wanted))
        return transaction
    }

    func commit(_ transaction: NFTransaction, _ doing: String, _ running: Running) throws(MeshError) {
        do throws(NetfilterError) {
            try running.tables.commit(transaction)
            counters.transactions += 1
        } catch {
            counters.failures += 1
            throw Self.problem(doing, error)
        }
    }

    nonisolated static func inKernel<T>(_ doing: String, _ body: () throws(NetfilterError) -> T) throws(MeshError) -> T {
        do throws(NetfilterError) { return try body() } catch { throw problem(doing, error) }
    }

    nonisolated static func problem(_ doing: String, _ error: NetfilterError) -> MeshError {
        MeshError(.kernel, code: error.errno.code == EPERM ? "capture_not_permitted" : "capture_kernel", "\(doing): \(error)", retryable: true)
    }

    // MARK: Telling others

    /// A new index when it differs from the last in content.
    private func publish() {
        guard let running else { return }
        let workloads = self.workloads
        var roots: [UInt64: Int] = [:]
        var paths: [String] = []
        for cgroup in running.tree.matched.values where cgroup.isHeld {
            roots[cgroup.id] = cgroup.workload
            paths.append(cgroup.path)
        }
        for cgroup in running.reported.values where cgroup.isHeld && roots[cgroup.id] == nil && cgroup.workload < index.workloads.count {
            ended.append((cgroup.id, index.workloads[cgroup.workload].name))
        }
        ended.removeFirst(max(0, ended.count - Self.rememberedEnded))
        for (id, name) in ended where roots[id] == nil { roots[id] = workloads.firstIndex { $0.name == name } }
        paths.sort { ($0.count, $0) > ($1.count, $1) }
        guard roots != index.roots || paths != index.paths || workloads != index.workloads || running.tree.mount.path != index.mount else { return }
        index = CgroupIndex(generation: index.generation + 1, mount: running.tree.mount.path, workloads: workloads, roots: roots, paths: paths)
        onIndex(index)
    }

    private func reportChanges() {
        guard let running else { return }
        let now = running.tree.matched
        for (path, old) in running.reported where old.refusal == nil && now[path]?.id != old.id {
            report(.released(workload: name(old.workload), path: path))
        }
        for (path, new) in now where running.reported[path] != new {
            if let refusal = new.refusal {
                report(.refused(workload: name(new.workload), path: path, refusal))
            } else {
                report(.captured(workload: name(new.workload), path: path))
            }
        }
        running.reported = now
    }

    private func name(_ workload: Int) -> String { workload < workloads.count ? workloads[workload].name : "(removed)" }

    func report(_ event: CaptureEvent) {
        switch event {
        case .captured, .released: logger.info("\(event)")
        case .refused, .repaired: logger.warning("\(event)")
        case .problem: logger.error("\(event)")
        }
        onEvent(event)
    }
}
