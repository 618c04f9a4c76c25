import MeshModel

extension CaptureEngine {
    /// Ends capture of what was added at run time under this workload name.
    /// - Returns: whether there was one.
    @discardableResult
    package func removeSelector(named name: String) -> Bool {
        guard added.contains(where: { $0.name == name }) else { return false }
        added.removeAll { $0.name == name }
        lookAgain()
        return true
    }
}

extension WorkloadCapture {
    /// A workload of which nothing is captured yet, as `weft capture add --dry-run` shows it.
    package init(waiting workload: Workload) { self.init(workload: workload, isAdded: true, cgroups: []) }
}
