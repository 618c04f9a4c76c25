import Catalog
import MeshModel
import Platform
import SWIM

/// What goes wrong, and what people do.
package enum Fault: Hashable, Sendable, CustomStringConvertible {
    /// The host is gone: nothing answers.
    case crash(Int)
    /// The process is gone: its ports refuse.
    case exit(Int)
    /// It says goodbye.
    case leave(Int)
    /// With what is on its disk or without, at its address or another.
    case start(Int, keepsState: Bool, moves: Bool)
    case pause(Int)
    case resume(Int)
    /// Nothing goes from the first to the second.
    case cut(from: Int, to: Int)
    /// By side; nothing goes from one to another.
    case divide([UInt8])
    case healPaths
    case weather(Weather)
    /// How fast the node's clocks run from now on.
    case clockRate(Int, Double)
    /// Somebody sets the wall clock, by so many seconds.
    case wallClock(Int, Int64)
    /// An instance of a service comes, changes or goes.
    case write(Int)
    case tags(Int, Int)

    package var description: String {
        switch self {
        case .crash(let node): "n\(node) crashes"
        case .exit(let node): "n\(node) exits"
        case .leave(let node): "n\(node) leaves"
        case .start(let node, let keepsState, let moves):
            "n\(node) starts, \(keepsState ? "with" : "without") its state\(moves ? ", at another address" : "")"
        case .pause(let node): "n\(node) is paused"
        case .resume(let node): "n\(node) goes on"
        case .cut(let from, let to): "nothing goes from n\(from) to n\(to)"
        case .divide(let sides): "a partition: \(Set(sides).sorted().map { side in "\(sides.count { $0 == side })" }.joined(separator: " and ")) nodes"
        case .healPaths: "all paths lead again"
        case .weather(let weather):
            "weather: \(Int(weather.loss * 100)) % lost, \(Int(weather.duplication * 100)) % twice, \(Int(weather.straggling * 100)) % late, "
                + "up to \(weather.latency.upperBound / 1_000_000) ms"
        case .clockRate(let node, let rate): "the clock of n\(node) runs at \(Int(rate * 1000)) thousandths"
        case .wallClock(let node, let seconds): "the wall clock of n\(node) is set by \(seconds) s"
        case .write(let node): "n\(node) declares other instances"
        case .tags(let node, let number): "n\(node) has tags \(number)"
        }
    }
}

extension World {
    /// Lets it happen now. What cannot be, as the crash of a node that is down, is nothing.
    package func `do`(_ fault: Fault) {
        guard violation == nil else { return }
        if watched != nil { print("\(now.inSeconds) -- \(fault)") }
        switch fault {
        case .crash(let index): end(nodes[index], .crashed)
        case .exit(let index): end(nodes[index], .exited)
        case .leave(let index): if nodes[index].isRunning { step(nodes[index], .leave) }
        case .start(let index, let keepsState, let moves): start(nodes[index], keepsState: keepsState, moves: moves)
        case .pause(let index): pause(nodes[index])
        case .resume(let index): resume(nodes[index])
        case .cut(let from, let to): paths.cut(from, to)
        case .divide(let sides): paths.divide(sides)
        case .healPaths: paths.heal()
        case .weather(let weather): self.weather = weather
        case .clockRate(let index, let rate): nodes[index].clock.setRate(rate, at: now)
        case .wallClock(let index, let seconds): nodes[index].clock.wallError += seconds
        case .write(let index): declareAnother(nodes[index])
        case .tags(let index, let number): if nodes[index].isRunning { step(nodes[index], .setMeta((["n": "\(number)"] as Tags).meta)) }
        }
    }

    private func start(_ node: Node, keepsState: Bool, moves: Bool) {
        guard node.life != .running, node.life != .paused else { return }
        if moves { move(node) }
        boot(node, keepsState: keepsState)
        publish(node)
        join(node)
        lookAfter(node)
        dialDue(node)
    }

    /// Its cores begin, with what is on its disk.
    func boot(_ node: Node, keepsState: Bool) {
        node.lives += 1
        node.life = .running
        node.downSince = nil
        node.upSince = now
        node.timers = [:]
        node.backlog = []
        node.links = [:]
        node.view = CatalogView()
        node.addresses = [:]
        node.isCommitArmed = false
        node.isPublishArmed = false
        node.announcedBefore = node.announced
        for origin in node.seen.indices { node.seen[origin] = .none }
        node.random = SWIMRandom(seed: random.next())

        var configuration = SWIMConfiguration(name: node.name, address: node.gossipAddress)
        configuration.timers = timers
        configuration.meta = (["n": node.name] as Tags).meta
        node.core = SWIMCore(configuration)

        if !keepsState {
            node.savedGeneration = 0
            node.savedRemote = []
        }
        let local = node.clock.local(now)
        node.savedGeneration = Generation.after(node.savedGeneration, seconds: node.clock.wall(now), salt: node.random.next())
        node.catalog = CatalogCore(
            node: node.name, trustDomain: Self.trustDomain, generation: node.savedGeneration, limits: CatalogLimits(),
            authority: CheapAuthority.make(node.name))
        node.plan = DialPlan(node: node.name)
        node.plan.setSeeds(seeds(for: node).map(\.planeAddress), local)
        node.catalog.restore(node.savedRemote, local)
        node.savedRemote = []
        declareAll(node)
        step(node, .start)
    }

    /// What its shells do again and again begins.
    func lookAfter(_ node: Node) {
        push(spread(pace.tick, node), node.index, life: node.lives, .tick)
        push(spread(pace.exchange, node), node.index, life: node.lives, .exchange)
        push(.seconds(30), node.index, life: node.lives, .rejoin)
    }

    private func spread(_ duration: Duration, _ node: Node) -> Duration { .nanoseconds(Int64(Double(duration.nanoseconds) * fraction(node))) }

    private func end(_ node: Node, _ life: Node.Life) {
        guard node.life == .running || node.life == .paused else { return }
        node.life = life
        node.downSince = now
        node.signed = max(node.signed, Self.position(of: node.name, &node.catalog))
        node.savedRemote = Self.ask(&node.catalog) { $0.remote }
        node.backlog = []
        // The kernel closes the sockets of a process; of a host that is gone nobody hears.
        dropLinks(node, told: life != .crashed)
    }

    func hasLeft(_ node: Node) { end(node, .left) }

    private func pause(_ node: Node) {
        guard node.isRunning else { return }
        node.life = .paused
    }

    /// Reads what came first, as the shells do, then come its timers, all late.
    private func resume(_ node: Node) {
        guard node.life == .paused else { return }
        node.life = .running
        node.upSince = now
        let backlog = node.backlog
        node.backlog = []
        for event in backlog where node.isRunning { happen(node, event.what, 0) }
        let late = node.timers.filter { $0.value.due <= now }.sorted { ($0.value.due, $0.value.number) < ($1.value.due, $1.value.number) }
        for (timer, armed) in late where node.isRunning && node.timers[timer]?.number == armed.number { happen(node, .timer(timer), armed.number) }
    }

    private func declareAnother(_ node: Node) {
        // Nobody hears it now.
        if node.life == .paused { return }
        let number = Int.random(in: 0..<4, using: &random)
        figures.writes += 1
        if node.declared[number] != nil, Int.random(in: 0..<3, using: &random) == 0 {
            node.declared[number] = nil
        } else {
            node.declared[number] = Node.Declared(
                service: Int.random(in: 0..<max(5, count / 10), using: &random), port: UInt16(8000 + number), version: Int(figures.writes))
        }
        if node.isRunning { declare(node, number) }
    }
}
