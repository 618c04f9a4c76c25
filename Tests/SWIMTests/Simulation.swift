import Platform

@testable import SWIM

/// A whole pool in one process and virtual time: the real cores on a network that a seed decides.
///
/// Faults are set by the test while it runs: loss, cut links, crashed, exited and paused nodes. The same seed gives the same run.
struct Simulation {
    enum Life { case running, paused, crashed, exited }

    struct Node {
        let name: String
        let address: SocketAddress
        var core: SWIMCore
        var random: SWIMRandom
        var life = Life.running
        /// The set time counts; an entry in the queue with another one is stale.
        var timers: [SWIMTimer: MonotonicTime] = [:]
        /// What arrived while the node was paused.
        var backlog: [SWIMEvent] = []
        var generation = 0
        var events: [(time: MonotonicTime, event: MemberEvent)] = []
        var lastIncarnation: UInt32 = 0
        var hasLeft = false
        /// By how much its clock is ahead.
        var ahead: Duration = .zero
    }

    private enum What {
        case event(Int, generation: Int, SWIMEvent)
        case timer(Int, generation: Int, SWIMTimer)
        case call(Int, DialID, to: SocketAddress, [UInt8], timeout: Duration, generation: Int)
    }
    private struct Entry {
        var time: MonotonicTime
        var number: UInt64
        var what: What
    }

    private(set) var now = MonotonicTime(nanoseconds: 1_000_000_000)
    var nodes: [Node] = []
    private var queue: [Entry] = []
    private var number: UInt64 = 0
    private var random: SWIMRandom
    private var callers: [InboundID: (node: Int, dial: DialID, generation: Int)] = [:]
    private var nextInbound: UInt64 = 1
    private var byAddress: [SocketAddress: Int] = [:]
    /// Addresses of hosts on which no member runs any more.
    private var deserted: Set<SocketAddress> = []
    let timers: SWIMTimers

    /// Of datagrams, each way.
    var loss = 0.0
    /// One way, as 200 µs … 2 ms on a network of one site.
    var latency: ClosedRange<Int64> = 200_000...2_000_000
    /// False when nothing goes from the first to the second.
    var isLinked: @Sendable (Int, Int) -> Bool = { _, _ in true }
    /// What the kernel keeps for a process that does not read.
    var backlogBound = 2000
    private(set) var datagrams = 0
    private(set) var bytes = 0
    /// Changes with everything that happens: equal for equal runs.
    private(set) var trace: UInt64 = 0xcbf2_9ce4_8422_2325

    init(_ count: Int, seed: UInt64, timers: SWIMTimers = .lan) {
        random = SWIMRandom(seed: seed)
        self.timers = timers
        for index in 0..<count { add(index) }
    }

    private static let names = (0..<1024).map { "n\($0)" }
    static func name(_ index: Int) -> String { names[index] }
    static func address(_ index: Int) -> SocketAddress { SocketAddress(IPAddress(v4: 0x0a00_0100 + UInt32(index)), port: 7946) }

    private func makeNode(_ index: Int, name: String, at address: SocketAddress, seed: UInt64, generation: Int) -> Node {
        var configuration = SWIMConfiguration(name: name, address: address)
        configuration.timers = timers
        configuration.meta = (["n": "\(index)"] as Tags).meta
        var node = Node(name: name, address: address, core: SWIMCore(configuration), random: SWIMRandom(seed: seed))
        node.generation = generation
        return node
    }

    private mutating func add(_ index: Int, name: String? = nil) {
        let address = Simulation.address(index)
        nodes.append(makeNode(index, name: name ?? Simulation.name(index), at: address, seed: random.next(), generation: 0))
        byAddress[address] = index
        step(index, .start)
    }

    // MARK: What a test does

    mutating func join(_ index: Int, _ seeds: [Int]) {
        step(index, .join(JoinID(number: UInt64(index)), seeds.map { nodes[$0].address }))
    }
    mutating func joinAll(to seed: Int = 0) {
        for index in nodes.indices where index != seed { join(index, [seed]) }
    }
    mutating func leave(_ index: Int) { step(index, .leave) }
    mutating func setTags(_ index: Int, _ tags: Tags) { step(index, .setMeta(tags.meta)) }
    /// The host is gone: nothing answers.
    mutating func crash(_ index: Int) { nodes[index].life = .crashed }
    /// The process is gone: its port refuses.
    mutating func exit(_ index: Int) { nodes[index].life = .exited }
    /// With nothing remembered.
    mutating func restart(_ index: Int) {
        let node = nodes[index]
        nodes[index] = makeNode(index, name: node.name, at: node.address, seed: random.next(), generation: node.generation + 1)
        step(index, .start)
    }
    /// With nothing remembered, on another host. The old one is gone, or is there and nobody listens.
    mutating func move(_ index: Int, to number: Int, oldHostIsThere: Bool) {
        let node = nodes[index]
        byAddress[node.address] = nil
        if oldHostIsThere { deserted.insert(node.address) }
        let address = Simulation.address(number)
        nodes[index] = makeNode(index, name: node.name, at: address, seed: random.next(), generation: node.generation + 1)
        byAddress[address] = index
        step(index, .start)
    }
    /// A second node of that name, at an address of its own.
    mutating func addTwin(of index: Int) -> Int {
        add(nodes.count, name: nodes[index].name)
        return nodes.count - 1
    }
    /// The host's clock jumps ahead, as when a virtual machine was stopped: everything that was to come is late.
    mutating func jump(_ index: Int, by duration: Duration) {
        nodes[index].ahead += duration
        for (timer, time) in nodes[index].timers.sorted(by: { ($0.value, "\($0.key)") < ($1.value, "\($1.key)") }) {
            let due = time - now > duration ? MonotonicTime(nanoseconds: time.nanoseconds - UInt64(duration.nanoseconds)) : now
            nodes[index].timers[timer] = due
            push(Entry(time: due, number: 0, what: .timer(index, generation: nodes[index].generation, timer)))
        }
    }
    mutating func pause(_ index: Int) { nodes[index].life = .paused }
    /// Reads what came first, as the shell does, then its timers, all late.
    mutating func resume(_ index: Int) {
        nodes[index].life = .running
        let backlog = nodes[index].backlog
        nodes[index].backlog = []
        for event in backlog { step(index, event) }
        for (timer, time) in nodes[index].timers.sorted(by: { ($0.value, "\($0.key)") < ($1.value, "\($1.key)") }) where time <= now {
            guard nodes[index].timers[timer] == time else { continue }
            nodes[index].timers[timer] = nil
            step(index, .timer(timer))
        }
    }

    /// Runs until `condition` holds, looked at every 20 ms; the time that took, or nil after `limit`.
    mutating func run(atMost limit: Duration, until condition: (Simulation) -> Bool) -> Duration? {
        let start = now
        while now - start <= limit {
            if condition(self) { return now - start }
            run(.milliseconds(20))
        }
        return nil
    }

    mutating func run(_ duration: Duration) {
        let end = now + duration
        while let entry = queue.first, entry.time <= end {
            pop()
            now = max(now, entry.time)
            perform(entry.what)
        }
        now = end
    }

    // MARK: What a test asks

    var running: [Int] { nodes.indices.filter { nodes[$0].life == .running && !nodes[$0].hasLeft } }

    func state(of index: Int, at observer: Int) -> MemberState? { nodes[observer].core.member(nodes[index].name)?.state }
    func address(of index: Int, at observer: Int) -> SocketAddress? { nodes[observer].core.member(nodes[index].name)?.address }

    /// Every running node of the set holds exactly the running ones of it for alive.
    func agrees(_ set: [Int]? = nil) -> Bool {
        let set = (set ?? Array(nodes.indices)).filter { nodes[$0].life == .running && !nodes[$0].hasLeft }
        return set.allSatisfy { nodes[$0].core.liveCount == set.count }
            && set.allSatisfy { observer in set.allSatisfy { state(of: $0, at: observer) == .alive } }
    }

    func events(_ kind: MemberEvent.Kind, since time: MonotonicTime) -> Int {
        nodes.reduce(0) { $0 + $1.events.count { $0.time >= time && $0.event.kind == kind } }
    }

    /// What must hold at any moment, whatever the network does.
    func violation() -> String? {
        for (index, node) in nodes.enumerated() {
            let core = node.core
            guard let own = core.member(node.name) else { return "n\(index) does not know itself" }
            if own.state != .alive && !core.isLeaving { return "n\(index) holds itself \(own.state)" }
            if own.incarnation < node.lastIncarnation { return "n\(index)'s incarnation fell" }
            if core.members.count > nodes.count { return "n\(index) invented members" }
            if core.members.count(where: \.state.isLive) != core.liveCount { return "n\(index) miscounts" }
            if core.queuedBroadcasts > 3 * nodes.count + 10 { return "n\(index)'s queue has \(core.queuedBroadcasts) items" }
            if core.relays.count > 50 || core.dials.count > 100 || core.unsettled.count > 10 { return "n\(index) forgets to clean up" }
            if core.awareness > 7 { return "n\(index)'s score is \(core.awareness)" }
            if let bad = core.counters.refused.first(where: { $0.count > 0 && $0.reason != .notForUs && $0.reason != .nameConflict }) { return "n\(index) refused \(bad)" }
        }
        return nil
    }

    // MARK: Engine

    private mutating func perform(_ what: What) {
        switch what {
        case .event(let index, let generation, let event):
            guard nodes[index].generation == generation else { return }
            switch nodes[index].life {
            case .running: step(index, event)
            case .paused: if nodes[index].backlog.count < backlogBound { nodes[index].backlog.append(event) }
            case .crashed, .exited: break
            }
        case .timer(let index, let generation, let timer):
            guard nodes[index].generation == generation, nodes[index].life == .running, nodes[index].timers[timer] == now else { return }
            nodes[index].timers[timer] = nil
            step(index, .timer(timer))
        case .call(let caller, let dial, let address, let request, let timeout, let generation):
            call(caller, dial, address, request, timeout, generation)
        }
    }

    private mutating func call(_ caller: Int, _ dial: DialID, _ address: SocketAddress, _ request: [UInt8], _ timeout: Duration, _ generation: Int) {
        func fail(_ failure: DialFailure, after delay: Duration, _ simulation: inout Simulation) {
            simulation.schedule(delay, .event(caller, generation: generation, .dialFailed(dial, failure)))
        }
        if deserted.contains(address) { return fail(.refused, after: delay(), &self) }
        guard let target = byAddress[address], isLinked(caller, target), isLinked(target, caller) else {
            return fail(.timedOut, after: timeout, &self)
        }
        switch nodes[target].life {
        case .crashed, .paused: fail(.timedOut, after: timeout, &self)
        case .exited: fail(.refused, after: delay(), &self)
        case .running:
            if nodes[target].hasLeft { return fail(.refused, after: delay(), &self) }
            let id = InboundID(number: nextInbound)
            nextInbound += 1
            callers[id] = (caller, dial, generation)
            step(target, .request(id, request, from: SocketAddress(nodes[caller].address.ip, port: 40_000)))
        }
    }

    private mutating func step(_ index: Int, _ event: SWIMEvent) {
        if nodes[index].hasLeft { return }
        nodes[index].lastIncarnation = nodes[index].core.member(nodes[index].name)?.incarnation ?? 0
        var effects: [SWIMEffect] = []
        var random = nodes[index].random
        nodes[index].core.step(event, now: now + nodes[index].ahead, rng: &random, effects: &effects)
        nodes[index].random = random
        for effect in effects { perform(index, effect) }
    }

    private mutating func perform(_ index: Int, _ effect: SWIMEffect) {
        let generation = nodes[index].generation
        switch effect {
        case .send(let bytes, let address):
            datagrams += 1
            self.bytes += bytes.count
            mix(UInt64(bytes.count) << 32 | UInt64(index))
            guard let target = byAddress[address], isLinked(index, target), Double.random(in: 0..<1, using: &random) >= loss else { return }
            schedule(delay(), .event(target, generation: nodes[target].generation, .datagram(bytes, from: nodes[index].address)))
        case .dial(let id, let address, let request, let timeout):
            schedule(delay() * 2, .call(index, id, to: address, request, timeout: timeout, generation: generation))
        case .reply(let id, let bytes):
            guard let caller = callers.removeValue(forKey: id), isLinked(index, caller.node) else { return }
            schedule(delay(), .event(caller.node, generation: caller.generation, .answer(caller.dial, bytes)))
        case .close(let id):
            guard let caller = callers.removeValue(forKey: id) else { return }
            schedule(delay(), .event(caller.node, generation: caller.generation, .dialFailed(caller.dial, .closed)))
        case .setTimer(let timer, let time):
            let ahead = UInt64(nodes[index].ahead.nanoseconds)
            let due = max(MonotonicTime(nanoseconds: time.nanoseconds - ahead), now)
            nodes[index].timers[timer] = due
            push(Entry(time: due, number: 0, what: .timer(index, generation: generation, timer)))
        case .cancelTimer(let timer): nodes[index].timers[timer] = nil
        case .member(let event):
            mix(UInt64(event.member.incarnation) << 16 | UInt64(event.kind.rawValue.utf8.count))
            nodes[index].events.append((now, event))
        case .leaveFinished: nodes[index].hasLeft = true
        case .hangUp, .joinFinished, .refused, .log: break
        }
    }

    private mutating func mix(_ value: UInt64) { trace = (trace ^ value ^ now.nanoseconds) &* 0x100_0000_01b3 }

    private mutating func delay() -> Duration { .nanoseconds(Int64.random(in: latency, using: &random)) }

    private mutating func schedule(_ delay: Duration, _ what: What) { push(Entry(time: now + delay, number: 0, what: what)) }

    // A binary heap; equal times in the order of their scheduling.

    private static func precedes(_ a: Entry, _ b: Entry) -> Bool { a.time != b.time ? a.time < b.time : a.number < b.number }

    private mutating func push(_ entry: Entry) {
        number += 1
        queue.append(entry)
        queue[queue.count - 1].number = number
        var child = queue.count - 1
        while child > 0, Self.precedes(queue[child], queue[(child - 1) / 2]) {
            queue.swapAt(child, (child - 1) / 2)
            child = (child - 1) / 2
        }
    }

    private mutating func pop() {
        queue.swapAt(0, queue.count - 1)
        queue.removeLast()
        var parent = 0
        while true {
            var least = parent
            for child in [2 * parent + 1, 2 * parent + 2] where child < queue.count && Self.precedes(queue[child], queue[least]) { least = child }
            if least == parent { return }
            queue.swapAt(parent, least)
            parent = least
        }
    }
}
