import MeshModel

/// One cgroup that a workload's selector matches.
package struct MatchedCgroup: Equatable, Sendable {
    /// Below the mount, `/shop.slice/web.service`.
    package let path: String
    /// The inode number of its directory.
    package let id: UInt64
    /// By index into the workloads that were set.
    package let workload: Int
    /// Nil: it is captured.
    package let refusal: CaptureRefusal?

    /// It is in the kernel's set. A cgroup whose processes are all in another network namespace is refused in name only: it stays there, for its next
    /// process may be in this one, and would go out uncaptured.
    var isHeld: Bool { refusal == nil || refusal == .otherNetworkNamespace }

    package init(path: String, id: UInt64, workload: Int, refusal: CaptureRefusal?) {
        self.path = path
        self.id = id
        self.workload = workload
        self.refusal = refusal
    }
}
