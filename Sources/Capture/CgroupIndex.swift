import MeshModel

/// Which cgroups belong to which workload, as the workers see it. Immutable: a change makes a new one with a higher generation.
package struct CgroupIndex: Sendable {
    /// Grows with every change; workers drop what they remembered when it does.
    package let generation: UInt64
    /// Where the cgroup v2 hierarchy is mounted.
    package let mount: String
    package let workloads: [Workload]
    /// The id of every captured cgroup → its workload, by index into `workloads`. Ids that ended a short while ago are still here: a flow may
    /// outlive its cgroup, and the kernel does not give an id out twice.
    package let roots: [UInt64: Int]
    /// The paths of the captured cgroups below the mount, `/shop.slice/web.service`, the deepest first.
    package let paths: [String]

    package init(generation: UInt64 = 0, mount: String = "", workloads: [Workload] = [], roots: [UInt64: Int] = [:], paths: [String] = []) {
        self.generation = generation
        self.mount = mount
        self.workloads = workloads
        self.roots = roots
        self.paths = paths
    }
}

/// What a caller turned out to be. There is no default: who is not found is unknown, and refused.
package enum WorkloadMatch: Equatable, Sendable {
    /// By index into `CgroupIndex.workloads`.
    case workload(Int)
    case unknown(Reason)

    package enum Reason: String, Equatable, Sendable {
        /// The kernel has no socket with that tuple any more: the caller has gone.
        case noSocket = "no_socket"
        /// Its cgroup belongs to no workload.
        case notCaptured = "not_captured"
        /// The kernel did not answer.
        case lookupFailed = "lookup_failed"
    }
}
