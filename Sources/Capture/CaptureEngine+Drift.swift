import Netfilter
import Platform
import Reactor

/// Others may delete what is ours: a firewall that flushes, an administrator, a network manager. It is put back, and told.
extension CaptureEngine {
    /// From an event to the look at everything: one change of theirs is many events.
    private static let settling = Duration.milliseconds(20)

    func watchForDrift(_ running: Running) {
        do throws(Errno) {
            running.watches = [
                try ControlLoop.shared.watch(running.tableMonitor.fd, .read) { [weak self] _ in self?.tablesChanged() },
                try ControlLoop.shared.watch(running.routeMonitor.fd, .read) { [weak self] _ in self?.routesChanged() },
            ]
        } catch {
            report(.problem(Self.problem("watching for changes", NetfilterError(.watch, .netlinkSocket, "", error))))
        }
    }

    private func tablesChanged() {
        guard let running else { return }
        do throws(NetfilterError) {
            let concerned = try running.tableMonitor.drain().contains { event in
                switch event {
                case .overflow: true
                case .change(let change):
                    change.port != running.tables.port && [KernelNames.table, KernelNames.guardTable].contains(change.table.name)
                case .committed: false
                }
            }
            if concerned { checkSoon(running) }
        } catch {
            report(.problem(Self.problem("watching nftables", error)))
        }
    }

    private func routesChanged() {
        guard let running else { return }
        do throws(NetfilterError) {
            if try running.routeMonitor.drain().contains(where: running.routes.concerns) { checkSoon(running) }
        } catch {
            report(.problem(Self.problem("watching routes", error)))
        }
    }

    private func checkSoon(_ running: Running, after delay: Duration = settling) {
        guard running.pendingCheck == nil else { return }
        running.pendingCheck = ControlLoop.shared.after(delay) { [weak self] in
            self?.running?.pendingCheck = nil
            self?.checkForDrift()
        }
    }

    /// Compares everything with what should be there and puts back what is not. Also for `weft status` and tests: it may be called at any time.
    package func checkForDrift() {
        guard let running, let applied = running.applied else { return }
        do throws(NetfilterError) {
            let (tables, repair) = try tableDrift(running, applied)
            let routes = try running.routes.drift()
            guard !tables.isEmpty || !routes.isEmpty else { return }
            if let wait = running.budget.take(at: .now()) {
                counters.repairsDelayed += 1
                return checkSoon(running, after: wait)
            }
            try running.routes.repair(routes)
            try running.tables.commit(repair)
            counters.repairs += 1
            report(.repaired(routes.lines + tables))
        } catch {
            counters.failures += 1
            report(.problem(Self.problem("repairing capture", error)))
            checkSoon(running, after: .seconds(5))
        }
    }

    /// What differs, and the transaction that makes those tables anew.
    func tableDrift(_ running: Running, _ applied: KernelState) throws(NetfilterError) -> ([String], NFTransaction) {
        var lines: [String] = []
        var repair = NFTransaction()
        for wanted in [program.redirects(applied), program.refusals(applied)] {
            let actual = try running.tables.ruleset(wanted.table.id, elements: wanted.sets.map(\.name))
            var wanted = wanted
            // systemd puts cgroups of starting units there itself (NFTSet=).
            if wanted.table.name == KernelNames.guardTable, let found = actual?.elements[KernelNames.blockedSet] {
                let ours = wanted.elements[KernelNames.blockedSet] ?? []
                wanted.elements[KernelNames.blockedSet] = ours + Set(found).subtracting(ours)
            }
            let drift = wanted.drift(from: actual)
            if !drift.isEmpty { repair.install(wanted) }
            lines += drift
        }
        return (lines, repair)
    }
}
