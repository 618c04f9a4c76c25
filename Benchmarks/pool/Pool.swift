import Glibc
import Membership
import Platform
import Reactor
import SWIM

/// All members of one run, and the measurements.
@Control
final class Pool {
    private(set) var nodes: [Node] = []
    private let count: Int
    private let links: Int
    private var latest = MonotonicTime.now()
    /// The most that a timer of this process was late since it was last asked.
    private var lateness = Duration.zero

    init(_ count: Int, links: Int, port: UInt16) throws {
        (self.count, self.links) = (count, links)
        for number in 0..<count { nodes.append(try Node(number, port: port)) }
        watchLateness()
    }

    private func watchLateness() {
        let due = MonotonicTime.now() + .milliseconds(20)
        ControlLoop.shared.after(.milliseconds(20)) { [weak self] in
            self?.lateness = max(self?.lateness ?? .zero, MonotonicTime.now() - due)
            self?.watchLateness()
        }
    }

    var running: [Node] { nodes.filter(\.isRunning) }

    /// How long it took from `start` until the condition held, looked at every few milliseconds.
    private func time(from start: MonotonicTime, atMost limit: Duration, until condition: () -> Bool) async -> Double? {
        while !condition() {
            if MonotonicTime.now() - start > limit { return nil }
            await ControlLoop.shared.sleep(.milliseconds(5))
        }
        return (MonotonicTime.now() - start).seconds
    }

    // MARK: Measurements

    /// All join the first at once, `concurrent` at a time.
    func join(concurrent: Int = 16) async -> Report {
        let (start, before) = (MonotonicTime.now(), Usage.now(nodes))
        let (seed, joiners) = (nodes[0].address, Array(nodes.dropFirst()))
        var next = 0
        var open = 0
        var called: Double?
        func more() {
            while open < concurrent, next < joiners.count {
                let joiner = joiners[next]
                next += 1
                open += 1
                Task { @Control in
                    while await joiner.gossip.join([seed]).contacted == 0 { await ControlLoop.shared.sleep(.seconds(1)) }
                    open -= 1
                    more()
                }
            }
            if open == 0, called == nil { called = (MonotonicTime.now() - start).seconds }
        }
        more()
        let half = await time(from: start, atMost: .seconds(60)) { nodes.count { $0.live.count == count } * 2 >= count }
        let all = await time(from: start, atMost: .seconds(60)) { nodes.allSatisfy { $0.live.count == count } }
        if links > 0 { await link() }
        return ["called": called, "half": half, "all": all].merging(Usage.now(nodes).since(before).total) { $1 }
    }

    private func link() async {
        do {
            for node in nodes { try node.listen() }
            for (number, node) in nodes.enumerated() { try node.link(to: (1...links).map { nodes[(number + $0 * $0) % count] }) }
        } catch {
            print("links: \(error)")
            Glibc.exit(1)
        }
        await ControlLoop.shared.sleep(.seconds(1))
    }

    /// One member's process ends; how long until somebody suspects it, and until the first and the last know.
    func exit(_ victim: Node) async -> Report {
        let others = running.filter { $0 !== victim }
        let start = MonotonicTime.now()
        var suspected: Double?
        var first: Double?
        for node in others {
            node.onEvent = { _, event in
                guard event.member.name == victim.name else { return }
                if event.kind == .suspected { suspected = suspected ?? (MonotonicTime.now() - start).seconds }
                if event.kind == .died { first = first ?? (MonotonicTime.now() - start).seconds }
            }
        }
        victim.exit()
        let last = await time(from: start, atMost: .seconds(60)) { others.allSatisfy { !$0.live.contains(victim.name) } }
        for node in others { node.onEvent = nil }
        return ["suspected": suspected, "first": first, "last": last]
    }

    /// One member announces other tags; how long until the others have them, each.
    func retag(_ origin: Node, _ text: String) async -> Report {
        let others = running.filter { $0 !== origin }
        let start = MonotonicTime.now()
        var times: [Double] = []
        for node in others {
            node.onEvent = { _, event in
                if event.member.name == origin.name, event.kind == .updated { times.append((MonotonicTime.now() - start).seconds) }
            }
        }
        try? origin.gossip.setMeta(["v": text])
        _ = await time(from: start, atMost: .seconds(30)) { times.count >= others.count }
        for node in others { node.onEvent = nil }
        let sorted = times.sorted()
        guard sorted.count == others.count, let last = sorted.last else { return ["p50": nil, "last": nil] }
        return ["p50": sorted[sorted.count / 2], "last": last]
    }

    /// What the members do and use in a while; healthy members that were suspected and declared dead meanwhile.
    func watch(_ seconds: Int) async -> Report {
        lateness = .zero
        for node in nodes { node.forget() }
        let before = Usage.now(nodes)
        await ControlLoop.shared.sleep(.seconds(seconds))
        let usage = Usage.now(nodes).since(before)
        let dead = running.reduce(into: Set<String>()) { $0.formUnion($1.declared) }
        return usage.perNode(running.count).merging([
            "lateness": lateness.seconds, "suspicions": Double(running.reduce(0) { $0 + $1.suspicions }), "false_deaths": Double(dead.count), "sightings": Double(running.reduce(0) { $0 + $1.sightings }),
        ]) { $1 }
    }
}

extension Duration {
    var seconds: Double { Double(nanoseconds) / 1e9 }
}
