import CLinux
import Glibc
import MeshModel
import Platform
import Reactor

/// Follows the cgroups that selectors match: as they appear, disappear, come back with another id, or change hands.
///
/// Overview: inotify on every directory below which something could match. Nothing is polled.
/// Function: `setWorkloads` says what to look for; `onChange` tells that `matched` is another; `refresh` looks at once.
/// Implementation: a directory is watched first and read then, so nothing can slip in between; events only say where to look again. What
/// decides (names, ownership) is in `SelectorMatcher` and `CgroupOwnership`.
@Control
package final class CgroupTree {
    /// Directories followed at most; what lies beyond is reported and not captured.
    package static let maximumDirectories = 65_536

    package let mount: CgroupMount
    /// By path.
    package private(set) var matched: [String: MatchedCgroup] = [:]
    package var onChange: @Control () -> Void = {}
    /// Something can't be followed; the rest goes on.
    package var onProblem: @Control (MeshError) -> Void = { _ in }
    /// Times that the kernel's event queue overflowed and everything was read again.
    package private(set) var overflows = 0

    private struct Node {
        var id: UInt64
        var watch: CInt?
        var children: Set<String> = []
        var round: UInt64
    }
    private enum Watched { case directory([String]), population([String]) }

    private var matcher = SelectorMatcher([])
    private var workloads: [Workload] = []
    private var nodes: [String: Node] = [:]
    private var watched: [CInt: Watched] = [:]
    private var populationWatches: [String: CInt] = [:]
    private var round: UInt64 = 0
    private var inotify: Inotify
    private var watchID: WatchID?
    private var retry: TimerID?
    private let ownNamespace: String?
    private var changed = false
    /// Cgroups that are looked at again in a second.
    private var looksPending: Set<String> = []
    private var toldTooMany = false

    /// Reads of 64 KiB for one wake-up; the rest stays readable, so that a storm of events does not hold the control loop.
    private static let readsPerTurn = 16

    /// Starts following at once; there is nothing to find before `setWorkloads`.
    package init(mount: CgroupMount) throws(MeshError) {
        self.mount = mount
        ownNamespace = NetworkNamespaceCheck.own()
        do throws(Errno) {
            inotify = try Inotify()
            watchID = try ControlLoop.shared.watch(inotify.fd.raw, .read) { [weak self] _ in self?.readEvents() }
        } catch {
            throw CgroupTree.problem("following cgroups", error)
        }
    }

    package func stop() {
        if let watchID { ControlLoop.shared.unwatch(watchID) }
        watchID = nil
        if let retry { ControlLoop.shared.cancel(retry) }
        retry = nil
        onChange = {}
    }

    /// Everything is looked at again before this returns; `onChange` is not called for it.
    package func setWorkloads(_ workloads: [Workload]) {
        self.workloads = workloads
        matcher = SelectorMatcher(workloads)
        matched = [:]
        rescan()
        changed = false
    }

    /// Takes in everything that the kernel has queued (it queues an event before the call that caused it returns), and looks again at the
    /// matched cgroups of this name.
    package func refresh(name: String) {
        readEvents(turns: 1024)
        for cgroup in matched.values where components(cgroup.path).last == name { evaluate(components(cgroup.path)) }
        settle()
    }

    // MARK: Looking

    private func rescan() {
        round += 1
        toldTooMany = false
        visit([])
        for (path, node) in nodes where node.round != round { forget(path) }
        for cgroup in matched.values where CgroupDirectory.id(mount.path + cgroup.path) != cgroup.id { evaluate(components(cgroup.path)) }
    }

    private func visit(_ path: [String]) {
        let key = key(path)
        guard let id = CgroupDirectory.id(full(path)) else { return forget(key) }
        if let known = nodes[key], known.id != id { forget(key) }
        if !path.isEmpty { evaluate(path) }
        guard matcher.looksInside(path) else {
            if nodes[key] != nil { forgetDirectory(key) }
            return
        }
        if nodes[key] == nil {
            guard nodes.count < Self.maximumDirectories else { return tooMany() }
            nodes[key] = Node(id: id, round: round)
            if !path.isEmpty { nodes[self.key(path.dropLast())]?.children.insert(key) }
        }
        nodes[key]?.round = round
        if nodes[key]?.watch == nil {
            guard let watch = watch(full(path), [.created, .deleted, .attributes, .onlyDirectories]) else { return }
            nodes[key]?.watch = watch
            watched[watch] = .directory(path)
        }
        for child in CgroupDirectory.children(full(path)) { visit(path + [child.name]) }
    }

    /// Decides about one directory, from what is there now.
    private func evaluate(_ path: [String]) {
        let key = key(path)
        guard let workload = matcher.workload(at: path), let facts = facts(path), let id = facts.last?.facts.id else {
            if matched.removeValue(forKey: key) != nil { changed = true }
            unwatchPopulation(key)
            return
        }
        var refusal = CgroupOwnership.refusal(facts, allowDelegated: workloads[workload].allowDelegated)
        if matched[key].map({ $0.id != id }) ?? false { unwatchPopulation(key) }
        if refusal == nil {
            watchPopulation(path)
            if let ownNamespace, NetworkNamespaceCheck.isElsewhere(full(path), own: ownNamespace) { refusal = .otherNetworkNamespace }
        }
        let found = MatchedCgroup(path: key, id: id, workload: workload, refusal: refusal)
        if matched[key] != found {
            matched[key] = found
            changed = true
        }
    }

    private func facts(_ path: [String]) -> [(name: String, facts: CgroupFacts)]? {
        var all: [(String, CgroupFacts)] = []
        for count in 1...path.count {
            guard let facts = CgroupDirectory.facts(full(path.prefix(count))) else { return nil }
            all.append((path[count - 1], facts))
        }
        return all
    }

    // MARK: Forgetting

    private func forget(_ key: String) {
        if matched.removeValue(forKey: key) != nil { changed = true }
        unwatchPopulation(key)
        forgetDirectory(key)
    }

    private func forgetDirectory(_ key: String) {
        guard let node = nodes.removeValue(forKey: key) else { return }
        if let watch = node.watch {
            watched[watch] = nil
            inotify.remove(watch)
        }
        for child in node.children { forget(child) }
        // Leaves that matched but were not worth a watch have no node.
        let below = key + "/"
        for path in matched.keys where path.hasPrefix(below) { forget(path) }
    }

    // MARK: Events

    private func readEvents(turns: Int = readsPerTurn) {
        for _ in 0..<turns {
            let events = inotify.read()
            if events.isEmpty { break }
            for event in events { handle(event) }
        }
        settle()
    }

    private func handle(_ event: Inotify.Event) {
        if event.mask.contains(.overflow) {
            overflows += 1
            rescan()
            return
        }
        guard let subject = watched[event.watch] else { return }
        if event.mask.contains(.ignored) {
            watched[event.watch] = nil
            switch subject {
            case .directory(let path):
                let key = key(path)
                if nodes[key]?.watch == event.watch { nodes[key]?.watch = nil }
                visit(path)
            case .population(let path):
                let key = key(path)
                if populationWatches[key] == event.watch { populationWatches[key] = nil }
            }
            return
        }
        switch subject {
        case .population(let path):
            evaluate(path)
            // A process that is to live in another namespace enters its cgroup first and moves then.
            guard looksPending.insert(key(path)).inserted else { return }
            ControlLoop.shared.after(.seconds(1)) { [weak self] in
                guard let self, watchID != nil else { return }
                looksPending.remove(key(path))
                evaluate(path)
                settle()
            }
        case .directory(let path):
            guard event.mask.contains(.isDirectory) else { return }
            // What it says has happened may be undone already: the file system says what is.
            visit(event.name.isEmpty ? path : path + [event.name])
        }
    }

    private func settle() {
        guard changed else { return }
        changed = false
        onChange()
    }

    // MARK: Watches

    private func watch(_ path: String, _ mask: Inotify.Mask) -> CInt? {
        do throws(Errno) {
            return try inotify.add(path, mask)
        } catch {
            if error.code == ENOENT { return nil }
            // One of a kind is enough: where one watch is refused, most are.
            if retry == nil { onProblem(Self.problem(path, error)) }
            lookAgainLater()
            return nil
        }
    }

    /// `cgroup.events` changes when the first process enters and when the last one leaves (Documentation/admin-guide/cgroup-v2.rst).
    private func watchPopulation(_ path: [String]) {
        let key = key(path)
        guard populationWatches[key] == nil, let watch = watch(full(path) + "/cgroup.events", .modified) else { return }
        populationWatches[key] = watch
        watched[watch] = .population(path)
    }

    private func unwatchPopulation(_ key: String) {
        guard let watch = populationWatches.removeValue(forKey: key) else { return }
        watched[watch] = nil
        inotify.remove(watch)
    }

    private func tooMany() {
        guard !toldTooMany else { return }
        toldTooMany = true
        onProblem(
            MeshError(
                .kernel, code: "cgroup_limit", "more than \(Self.maximumDirectories) cgroup directories; those beyond are not captured",
                remedy: "select workloads by cgroup path, which needs fewer directories to be followed"))
    }

    /// The limit may be raised, or other programs may end.
    private func lookAgainLater() {
        guard retry == nil else { return }
        retry = ControlLoop.shared.after(.seconds(10)) { [weak self] in
            self?.retry = nil
            self?.rescan()
            self?.settle()
        }
    }

    nonisolated static func problem(_ subject: String, _ error: Errno) -> MeshError {
        switch error.code {
        case ENOSPC:
            MeshError(
                .kernel, code: "watch_limit", "\(subject) can't be followed: the user's inotify watches are used up",
                remedy: "raise the limit: sysctl fs.inotify.max_user_watches=524288", retryable: true)
        case EMFILE:
            MeshError(
                .kernel, code: "watch_limit", "\(subject) can't be followed: no inotify instance is left",
                remedy: "raise the limit: sysctl fs.inotify.max_user_instances=1024", retryable: true)
        default:
            MeshError(.kernel, code: "cgroup_watch", "\(subject) can't be followed: \(error)", retryable: true)
        }
    }

    // MARK: Paths

    private func key(_ path: some Sequence<String>) -> String { path.reduce(into: "") { $0 += "/" + $1 } }
    private func components(_ key: String) -> [String] { key.split(separator: "/").map(String.init) }
    private func full(_ path: some Sequence<String>) -> String { mount.path + key(path) }
}
