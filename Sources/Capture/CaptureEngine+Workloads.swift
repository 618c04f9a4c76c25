import MeshModel
import Platform

extension CaptureEngine {
    /// The workloads of the configuration, in place of the earlier ones. Those added at run time stay.
    package func setWorkloads(_ workloads: [Workload]) throws(MeshError) {
        try check(workloads + added)
        configured = workloads
        lookAgain()
    }

    /// One more, beside the configured ones; one added before under the same name is replaced.
    package func addSelector(_ workload: Workload) throws(MeshError) {
        let others = added.filter { $0.name != workload.name }
        try check(configured + others + [workload])
        added = others + [workload]
        lookAgain()
    }

    /// Ends capture of what was added at run time under this workload name.
    /// - Returns: whether there was one.
    @discardableResult
    package func removeSelector(named name: String) -> Bool {
        guard added.contains(where: { $0.name == name }) else { return false }
        added.removeAll { $0.name == name }
        lookAgain()
        return true
    }

    /// Where local workloads serve, and which of their ports take no plaintext.
    package func setInboundEndpoints(_ endpoints: [SocketAddress], strictPorts: Set<UInt16> = []) {
        let endpoints = Set(endpoints)
        guard endpoints != self.endpoints || strictPorts != self.strictPorts else { return }
        self.endpoints = endpoints
        self.strictPorts = strictPorts
        reconcile()
    }

    /// Every workload and its cgroups, configured ones first.
    package func list() -> [WorkloadCapture] {
        var cgroups: [Int: [MatchedCgroup]] = [:]
        for cgroup in running?.tree.matched.values ?? [:].values { cgroups[cgroup.workload, default: []].append(cgroup) }
        return workloads.enumerated().map { index, workload in
            let sorted = (cgroups[index] ?? []).sorted { $0.path < $1.path }
            return WorkloadCapture(workload: workload, isAdded: index >= configured.count, cgroups: sorted)
        }
    }

    private func lookAgain() {
        running?.tree.setWorkloads(workloads)
        reconcile()
    }

    private func check(_ workloads: [Workload]) throws(MeshError) {
        var seen: Set<String> = []
        for workload in workloads where !seen.insert(workload.name).inserted {
            throw MeshError(
                .configuration, code: "duplicate_workload", "two workloads are called \(workload.name)",
                remedy: "give each workload a name of its own")
        }
    }
}
