import MeshModel

/// What happened in capture that an operator may want to know. Also logged.
package enum CaptureEvent: Sendable, CustomStringConvertible {
    case captured(workload: String, path: String)
    case released(workload: String, path: String)
    case refused(workload: String, path: String, CaptureRefusal)
    /// Somebody changed what is Weft's in the kernel, and it was put back: one line for each thing.
    case repaired([String])
    case problem(MeshError)

    package var description: String {
        switch self {
        case .captured(let workload, let path): "workload \(workload) captures \(path)"
        case .released(let workload, let path): "workload \(workload) no longer captures \(path)"
        case .refused(let workload, let path, let reason): "workload \(workload) does not capture \(path): \(reason)"
        case .repaired(let lines): "put back in the kernel: \(lines.joined(separator: "; "))"
        case .problem(let error): "\(error)"
        }
    }
}

/// Totals since the engine was made, for metrics.
package struct CaptureCounters: Equatable, Sendable {
    package var transactions = 0
    package var repairs = 0
    /// Repairs that waited because too many came before.
    package var repairsDelayed = 0
    package var failures = 0
}

/// One workload and what is captured for it, for `weft capture list`.
package struct WorkloadCapture: Sendable {
    package let workload: Workload
    /// Added at run time by `addSelector`, not by configuration.
    package let isAdded: Bool
    /// Sorted by path.
    package let cgroups: [MatchedCgroup]

    init(workload: Workload, isAdded: Bool, cgroups: [MatchedCgroup]) {
        self.workload = workload
        self.isAdded = isAdded
        self.cgroups = cgroups
    }

    /// A workload of which nothing is captured yet, as `weft capture add --dry-run` shows it.
    package init(waiting workload: Workload) { self.init(workload: workload, isAdded: true, cgroups: []) }

    package enum State: String, Sendable {
        /// At least one cgroup is in the kernel's set.
        case captured
        /// No cgroup matches yet.
        case waiting
        /// Cgroups match, and each was refused.
        case refused
    }
    package var state: State {
        if cgroups.isEmpty { return .waiting }
        return cgroups.contains { $0.refusal == nil } ? .captured : .refused
    }
}
