import MeshModel

extension CaptureEngine {
    /// The workload that a process of this host belongs to now, by its cgroup and those above it; nil when it is gone, or of none.
    package func workload(of process: Int32) -> Workload? {
        guard process > 0, let text = TextFile.read("/proc/\(process)/cgroup"), let path = Self.unifiedPath(in: text), let tree = running?.tree else { return nil }
        let held = Dictionary(tree.matched.values.filter(\.isHeld).map { ($0.path, $0) }) { first, _ in first }
        var rest = path[...]
        while !rest.isEmpty {
            if let cgroup = held[String(rest)] { return workloads.indices.contains(cgroup.workload) ? workloads[cgroup.workload] : nil }
            rest = rest[..<(rest.lastIndex(of: "/") ?? rest.startIndex)]
        }
        return nil
    }

    /// Of a process's cgroups the one in the unified hierarchy, as `/shop.slice/web.service`: its line has the number 0 and no controllers (cgroups(7)).
    static func unifiedPath(in text: String) -> String? {
        text.split(separator: "\n").first { $0.hasPrefix("0::/") }.map { String($0.dropFirst(3)) }
    }
}
