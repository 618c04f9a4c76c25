import MeshModel
import Reactor

extension CaptureEngine {
    /// One `weft capture ready` that has not been answered.
    struct Waiter {
        let number: Int
        let unit: String
        let continuation: CheckedContinuation<Result<Void, MeshError>, Never>
        let timer: TimerID
    }

    /// How many may wait at a time.
    static let maximumWaiters = 4096

    /// Returns once the unit's present cgroup is in the kernel's set: from then on no connection of it goes out uncaptured.
    ///
    /// For `weft capture ready UNIT`, which systemd runs inside the unit's cgroup before the unit's own processes.
    package func waitUntilCaptured(unit: String, timeout: Duration) async throws(MeshError) {
        guard let running else { throw Self.stopped }
        // The unit's former cgroup may still be in our books: ask the file system, not memory.
        running.tree.refresh(name: unit)
        if let answer = readiness(unit) { return try answer.get() }
        guard waiters.count < Self.maximumWaiters else {
            throw MeshError(
                .internal, code: "too_many_waiters", "\(Self.maximumWaiters) units wait for capture already", remedy: "see weft capture list",
                retryable: true)
        }
        nextWaiter += 1
        let number = nextWaiter
        let result: Result<Void, MeshError> = await withCheckedContinuation { continuation in
            let timer = ControlLoop.shared.after(timeout) { [weak self] in self?.expire(number) }
            waiters.append(Waiter(number: number, unit: unit, continuation: continuation, timer: timer))
            // Other jobs may have run between the look above and this.
            settleWaiters()
        }
        try result.get()
    }

    func settleWaiters() {
        waiters.removeAll { waiter in
            guard let answer = readiness(waiter.unit) else { return false }
            finish(waiter, answer)
            return true
        }
    }

    func finish(_ waiter: Waiter, _ result: Result<Void, MeshError>) {
        ControlLoop.shared.cancel(waiter.timer)
        waiter.continuation.resume(returning: result)
    }

    private func expire(_ number: Int) {
        guard let position = waiters.firstIndex(where: { $0.number == number }) else { return }
        let waiter = waiters.remove(at: position)
        waiter.continuation.resume(
            returning: .failure(
                MeshError(
                    .internal, code: "capture_timeout", "no cgroup of unit \(waiter.unit) appeared",
                    remedy: "check its name with systemctl status, and weft capture list", retryable: true)))
    }

    /// Nil: not yet.
    private func readiness(_ unit: String) -> Result<Void, MeshError>? {
        guard let running, let applied = running.applied else { return nil }
        var refused: MatchedCgroup?
        for cgroup in running.tree.matched.values where Self.name(cgroup.path) == unit || Self.name(cgroup.path) == "_" + unit {
            if cgroup.refusal != nil {
                refused = cgroup
            } else if applied.cgroups.contains(cgroup.id) {
                return .success(())
            }
        }
        if let refused, let refusal = refused.refusal {
            return .failure(MeshError(.policy, code: "capture_refused", "unit \(unit) is not captured: \(refused.path): \(refusal)"))
        }
        // Below a captured slice, nothing is said about the unit itself.
        let hasUnits = running.tree.matched.values.filter { $0.refusal == nil && applied.cgroups.contains($0.id) && !$0.path.hasSuffix(".service") }
        if hasUnits.contains(where: { isBelow(unit, $0.path, running) }) {
            return .success(())
        }
        guard workloads.contains(where: { Self.mayConcern($0, unit) }) else {
            return .failure(
                MeshError(.configuration, code: "not_selected", "no workload selects unit \(unit)", remedy: "add one: weft capture add \(unit)"))
        }
        return nil
    }

    private static func name(_ path: String) -> Substring { path.split(separator: "/").last ?? "" }

    /// A bounded look for the unit's directory below a captured cgroup.
    private func isBelow(_ unit: String, _ path: String, _ running: Running) -> Bool {
        var queue = [running.tree.mount.path + path]
        var next = 0
        while next < queue.count, next < LeafResolver.directories {
            let directory = queue[next]
            next += 1
            for child in CgroupDirectory.children(directory) {
                if child.name == unit { return true }
                queue.append(directory + "/" + child.name)
            }
        }
        return false
    }

    /// Whether the unit could be the workload's: a slice or a path may hold any unit.
    private static func mayConcern(_ workload: Workload, _ unit: String) -> Bool {
        switch workload.selector {
        case .unit: SelectorMatcher([workload]).workload(at: [unit]) != nil
        case .slice, .cgroup: true
        }
    }
}
