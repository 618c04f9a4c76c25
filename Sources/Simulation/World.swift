import Catalog
import MeshModel
import Platform
import SWIM

/// A whole mesh in one process and virtual time: the real cores of membership and catalog on a network that a seed decides.
///
/// Overview: the cores are those of the agent; what is simulated are their shells (timers, sockets, streams, the disk), the network and the clocks.
/// Function: `start` nodes and let time `run`; `do` whatever goes wrong. The same seed gives the same run, on any machine.
/// Implementation: one queue of what is to happen. Nothing here may depend on the order of a hash table or on a real clock. The topics are in `World+….swift`.
package final class World {
    static let trustDomain = "simulation.example"

    package let count: Int
    package let seed: UInt64
    package let pace: Pace
    let timers = SWIMTimers.lan
    package private(set) var now = MonotonicTime(nanoseconds: 1_000_000_000)
    var queue: EventQueue
    var random: SWIMRandom
    var nodes: [Node] = []
    var paths: Paths
    var weather = Weather.calm
    /// Since when no fault is on.
    var calmSince: MonotonicTime?
    /// Live streams, the closed ones until the next sweep.
    var streams: [PlaneLink] = []
    var callers: [UInt64: (node: Int, life: Int, dial: DialID)] = [:]
    var calls: UInt64 = 0
    private var swimEffects: [SWIMEffect] = []
    private var nextSecond = MonotonicTime(nanoseconds: 2_000_000_000)
    var nextToCheck = 0
    /// Who was asked last whether it holds the truth, and did not.
    var doubted = 0
    /// The first that was seen; nothing more happens then.
    package var violation: Violation?
    package var figures = Figures()
    /// Changes with everything that happens: equal for equal runs.
    package private(set) var trace: UInt64 = 0xcbf2_9ce4_8422_2325
    /// Prints what happens to this node.
    package var watched: Int?

    package init(count: Int, seed: UInt64, pace: Pace? = nil) {
        self.count = count
        self.seed = seed
        self.pace = pace ?? Pace(count: count)
        queue = EventQueue(capacity: 64 * count)
        random = SWIMRandom(seed: seed)
        paths = Paths(count)
        for index in 0..<count {
            let node = Node(index, of: count, ip: Self.ip(index, move: 0), random: SWIMRandom(seed: random.next()))
            nodes.append(node)
        }
    }

    static func ip(_ index: Int, move: Int) -> IPAddress { IPAddress(v4: 0x0a00_0101 + UInt32(move) << 16 + UInt32(index / 250) << 8 + UInt32(index % 250)) }

    /// The inverse of `ip(_:move:)`, for addresses that somebody has.
    func node(at ip: IPAddress) -> Int? {
        let offset = Int(ip.v4Number & 0xffff) - 0x0101
        let index = offset / 256 * 250 + offset % 256
        return offset >= 0 && nodes.indices.contains(index) && nodes[index].ip == ip ? index : nil
    }
    func move(_ node: Node) {
        figures.moves += 1
        node.ip = Self.ip(node.index, move: 1 + figures.moves % 200)
    }

    // MARK: Time

    package func run(_ duration: Duration) {
        let end = now + duration
        while violation == nil {
            let until = min(end, nextSecond)
            while violation == nil, let (time, number, event) = queue.pop(until: until) {
                now = max(now, time)
                figures.events += 1
                deliver(event, number)
            }
            now = max(now, until)
            if until == nextSecond, violation == nil {
                nextSecond = nextSecond + .seconds(1)
                secondPassed()
            }
            if now >= end { return }
        }
    }

    private func secondPassed() {
        sweepStreams()
        checkSecond()
    }

    // MARK: What happens

    func push(_ delay: Duration, _ node: Int, life: Int?, _ what: Happening) {
        queue.push(EventQueue.Event(node: node, life: life, what: what), at: now + delay)
    }

    private func deliver(_ event: EventQueue.Event, _ number: UInt64) {
        let node = nodes[event.node]
        if let life = event.life, life != node.lives { return }
        switch node.life {
        case .running: happen(node, event.what, number)
        case .paused:
            // Timers are looked at when it wakes.
            if case .timer = event.what { return }
            if node.backlog.count < Node.backlogBound { node.backlog.append(event) } else { figures.backlogDrops += 1 }
        case .crashed, .exited, .left: break
        }
    }

    func happen(_ node: Node, _ what: Happening, _ number: UInt64) {
        switch what {
        case .datagram(let bytes, let source): step(node, .datagram(bytes, from: source))
        case .timer(let timer):
            guard node.timers[timer]?.number == number else { return }
            node.timers[timer] = nil
            step(node, .timer(timer))
        case .call(let dial, let address, let request, let timeout): call(node, dial, address, request, timeout)
        case .answer(let dial, let bytes): step(node, .answer(dial, bytes))
        case .callFailed(let dial, let failure): step(node, .dialFailed(dial, failure))
        case .connect(let dial): connect(node, dial)
        case .connectFailed(let dial): node.plan.finished(dial, reached: nil, node.clock.local(now), random: fraction(node))
        case .message(let link, let message): received(message, on: link, at: node)
        case .closed(let link):
            // As the agent does: the end of a stream makes gossip look.
            if linkEnded(link, at: node) { step(node, .check(nodes[link.other(node.index)].name)) }
        case .tick: tick(node)
        case .exchange: exchange(node)
        case .commit:
            node.isCommitArmed = false
            node.catalog.commit(node.clock.local(now))
            perform(node)
        case .publish: publish(node)
        case .rejoin: rejoin(node)
        }
    }

    // MARK: Membership

    /// One event for a node's membership, what follows from it, and a look at whether all is well there.
    func step(_ node: Node, _ event: SWIMEvent) {
        let before = Self.ask(&node.core) { $0.own?.incarnation ?? 0 }
        var effects = swimEffects
        swimEffects = []
        node.core.step(event, now: node.clock.local(now), rng: &node.random, effects: &effects)
        if watched == node.index { tell(node, event, effects) }
        for effect in effects {
            perform(node, effect)
            if violation != nil { return }
        }
        effects.removeAll(keepingCapacity: true)
        swimEffects = effects
        checkStep(node, event, incarnation: before)
    }

    /// Asks a core by reference: asked of the node's property it would be copied first, with everything in it.
    static func ask<Core, Answer>(_ core: inout Core, _ question: (inout Core) -> Answer) -> Answer { question(&core) }

    func mix(_ value: UInt64) { trace = (trace ^ value ^ now.nanoseconds) &* 0x100_0000_01b3 }

    func fraction(_ node: Node) -> Double { Double.random(in: 0..<1, using: &node.random) }
}

/// How often the simulated shells look after their cores. A thousand nodes are looked after less often: what that costs grows with the square.
package struct Pace: Hashable, Sendable {
    /// Between two ticks of a catalog, in which due streams are dialled too (the agent: 1 s).
    package var tick: Duration
    /// Between two comparisons of digests (the agent: 5 s).
    package var exchange: Duration
    /// How long changes are collected before the view is published (the agent: 10 ms).
    package var debounce: Duration
    /// Every two nodes keep a stream, as in the agent. In a big world those whose numbers differ by a power of two do, and everybody with the seeds.
    package var isFullMesh: Bool
    /// How many nodes are looked into each second.
    package var checks: Int

    package init(count: Int) {
        let isBig = count > 100
        tick = isBig ? .seconds(5) : .seconds(1)
        exchange = isBig ? .seconds(count > 500 ? 30 : 20) : .seconds(5)
        debounce = isBig ? .seconds(1) : .milliseconds(10)
        isFullMesh = !isBig
        checks = isBig ? (count > 500 ? 2 : 4) : count
    }
}

/// What a run cost and did.
package struct Figures: Hashable, Sendable {
    package var events: UInt64 = 0
    package var datagrams: UInt64 = 0
    package var datagramBytes: UInt64 = 0
    package var lost: UInt64 = 0
    package var calls: UInt64 = 0
    package var messages: UInt64 = 0
    package var streams: UInt64 = 0
    package var deaths: UInt64 = 0
    package var refutations: UInt64 = 0
    package var writes: UInt64 = 0
    package var moves = 0
    /// What came for a paused node beyond what its kernel keeps.
    package var backlogDrops: UInt64 = 0
    /// How long after the end of the faults everybody held the truth, of each time.
    package var convergences: [Duration] = []
    /// How long after the end of the last faults the run ended, when somebody did not hold the truth yet and did not have to.
    package var unjudged: Duration?

    package init() {}
}
