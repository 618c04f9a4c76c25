/// From the id of a process's own cgroup to the workload among its ancestors. For one worker thread; remembers what it found.
struct LeafResolver {
    /// Answers remembered; beyond it all are forgotten and found again.
    static let remembered = 4096
    /// Directories read for one unknown id.
    static let directories = 4096

    private var generation: UInt64 = .max
    private var known: [UInt64: Int?] = [:]

    /// The nearest captured ancestor's workload; nil when the cgroup lies below none.
    ///
    /// Most callers are in a captured cgroup itself: one dictionary look-up. Else (a unit in a captured slice) the directories below the
    /// captured cgroups are read until the id appears, once for each new cgroup; readdir gives the ids, and no capability is needed.
    mutating func workload(of leaf: UInt64, in index: CgroupIndex) -> Int? {
        if let direct = index.roots[leaf] { return direct }
        if generation != index.generation || known.count >= Self.remembered {
            known.removeAll(keepingCapacity: true)
            generation = index.generation
        }
        if let answer = known[leaf] { return answer }
        // Remembered also when it is none: a directory is there before a socket can be made in it, so a later look would find no more.
        let answer = Self.search(leaf, index)
        known[leaf] = .some(answer)
        return answer
    }

    private static func search(_ leaf: UInt64, _ index: CgroupIndex) -> Int? {
        var budget = directories
        for path in index.paths {
            let directory = index.mount + path
            // Only what is in the index by its id counts: a path may have come back as somebody else's.
            guard let id = CgroupDirectory.id(directory), let workload = index.roots[id] else { continue }
            if let found = search(leaf, below: directory, workload, index, &budget) { return found }
        }
        return nil
    }

    private static func search(_ leaf: UInt64, below directory: String, _ workload: Int, _ index: CgroupIndex, _ budget: inout Int) -> Int? {
        guard budget > 0 else { return nil }
        budget -= 1
        let children = CgroupDirectory.children(directory)
        for child in children where child.id == leaf { return index.roots[child.id] ?? workload }
        for child in children {
            if let found = search(leaf, below: directory + "/" + child.name, index.roots[child.id] ?? workload, index, &budget) { return found }
        }
        return nil
    }
}
