import Platform
import SWIM

/// A run from a seed: nodes join, then faults and quiet take turns, and after each time of faults all must come to hold the truth.
package struct Scenario {
    package let world: World
    /// The choices of faults, apart from the network's.
    private var random: SWIMRandom
    private let duration: Duration
    private let start: MonotonicTime
    private let isFormed: Bool
    private var down: Set<Int> = []
    private var paused: Set<Int> = []

    /// - Parameter formed: the mesh is there when the run begins; unless given, when it is a big one.
    package init(seed: UInt64, nodes: Int, duration: Duration, watched: Int? = nil, formed: Bool? = nil) {
        world = World(count: nodes, seed: seed)
        world.watched = watched
        random = SWIMRandom(seed: seed ^ 0x5eed)
        self.duration = duration
        isFormed = formed ?? (nodes > 200)
        start = world.now
    }

    /// Runs to the end or to the first violation.
    package mutating func run() -> Violation? {
        comeTogether()
        while world.violation == nil, world.now - start < duration {
            // The bound of a big mesh is longer than a run.
            let calmer = world.pace.isFullMesh ? world.convergenceBound / 2 : min(world.convergenceBound, duration) / 2
            let left = duration - (world.now - start)
            let chaos = min(.seconds(Int.random(in: 20...120, using: &random)), max(.seconds(10), left - calmer))
            goWrong(for: chaos)
            recover()
            guard converge() else { break }
            rest(min(.seconds(Int.random(in: 5...30, using: &random)), max(.seconds(1), duration - (world.now - start))))
        }
        return world.violation
    }

    // MARK: Phases

    private mutating func comeTogether() {
        // Clocks differ by up to a hundredth.
        for node in 0..<world.count { world.do(.clockRate(node, Double.random(in: 0.99...1.01, using: &random))) }
        for node in 0..<world.count {
            for _ in 0..<Int.random(in: 0...2, using: &random) { world.do(.write(node)) }
            if isFormed { continue }
            world.do(.start(node, keepsState: false, moves: false))
            world.run(.milliseconds(Int.random(in: 0...20, using: &random)))
        }
        if isFormed { world.form() }
        if converge() { rest(.seconds(5)) }
    }

    private mutating func goWrong(for duration: Duration) {
        world.calmSince = nil
        let end = world.now + duration
        world.do(.weather(anyWeather()))
        while world.violation == nil, world.now < end {
            for fault in anyFaults() { world.do(fault) }
            world.run(min(.milliseconds(Int.random(in: 100...4000, using: &random)), end - world.now))
        }
    }

    /// The network is well again and what was down is up, but for some that stay away for good.
    private mutating func recover() {
        world.do(.weather(.calm))
        world.do(.healPaths)
        for node in paused.sorted() { world.do(.resume(node)) }
        paused = []
        for node in down.sorted() where world.isSeed(node) || Int.random(in: 0..<3, using: &random) > 0 { restart(node) }
        world.calmSince = world.now
    }

    /// False when the run ends before all hold the truth and before they must: the bound of a thousand nodes is longer than ten minutes.
    private mutating func converge() -> Bool {
        guard let time = agree() else { return false }
        world.figures.convergences.append(time)
        return true
    }

    /// How long it takes until all hold the truth; nil when the run ends before.
    private func agree() -> Duration? {
        let begin = world.now
        let bound = world.convergenceBound
        let step = world.pace.isFullMesh ? Duration.milliseconds(250) : .seconds(5)
        while world.violation == nil {
            guard let disagreement = world.disagreement() else { return world.now - begin }
            if !world.pace.isFullMesh, world.now - start >= duration {
                world.figures.unjudged = world.now - begin
                return nil
            }
            if world.now - begin > bound {
                world.fail(
                    .healedNetworksConverge, world.nodes[0], "\(bound.milliseconds / 1000) s after the last fault \(disagreement)", "the end of the faults")
            }
            world.run(step)
        }
        return nil
    }

    /// Nothing goes wrong, so nothing may change, once the questions from the bad time are over: one whose answer was lost may still end in a suspicion, which its
    /// subject refutes.
    private func rest(_ duration: Duration) {
        let deaths = world.figures.deaths
        if let calmSince = world.calmSince, world.now - calmSince < World.longestQuestion {
            world.run(World.longestQuestion - (world.now - calmSince))
            guard agree() != nil else { return }
        }
        world.run(duration)
        guard world.violation == nil else { return }
        if let disagreement = world.disagreement() {
            world.fail(.healedNetworksConverge, world.nodes[0], "all held the same, and now \(disagreement)", "\(duration.inSeconds) s of rest")
        }
        if world.figures.deaths != deaths {
            world.fail(.healedNetworksConverge, world.nodes[0], "\(world.figures.deaths - deaths) deaths were told while nothing went wrong", "a rest")
        }
    }

    // MARK: Draws

    private mutating func anyWeather() -> Weather {
        var weather = Weather.calm
        if Bool.random(using: &random) { weather.loss = Double.random(in: 0...(isFormed ? 0.1 : 0.3), using: &random) }
        if Bool.random(using: &random) { weather.duplication = Double.random(in: 0...0.2, using: &random) }
        if Bool.random(using: &random) { weather.straggling = Double.random(in: 0...0.2, using: &random) }
        if Int.random(in: 0..<3, using: &random) == 0 { weather.latency = 1_000_000...Int64.random(in: 5_000_000...80_000_000, using: &random) }
        return weather
    }

    private mutating func restart(_ node: Int) {
        down.remove(node)
        let moves = !world.isSeed(node) && Int.random(in: 0..<4, using: &random) == 0
        world.do(.start(node, keepsState: Int.random(in: 0..<3, using: &random) > 0, moves: moves))
    }

    private mutating func anyFaults() -> [Fault] {
        // More at once in a big world.
        let nodes = (0..<max(1, world.count / 500)).map { _ in Int.random(in: 0..<world.count, using: &random) }
        switch Int.random(in: 0..<100, using: &random) {
        case 0..<30: return nodes.map { .write($0) }
        case 30..<35: return nodes.map { .tags($0, Int.random(in: 0..<1000, using: &random)) }
        case 35..<47: return nodes.filter { mayGoDown($0) }.map { Bool.random(using: &random) ? .crash($0) : .exit($0) }
        case 47..<51: return nodes.filter { mayGoDown($0) }.map { .leave($0) }
        case 51..<66:
            for node in down.sorted().prefix(nodes.count) where world.nodes[node].life != .running { restart(node) }
            return []
        case 66..<72:
            let chosen = nodes.filter { !down.contains($0) }
            paused.formUnion(chosen)
            return chosen.map { .pause($0) }
        case 72..<80:
            let chosen = paused.sorted().prefix(nodes.count)
            paused.subtract(chosen)
            return chosen.map { .resume($0) }
        case 80..<85: return nodes.map { .cut(from: $0, to: Int.random(in: 0..<world.count, using: &random)) }
        case 85..<88: return [.divide(anySides())]
        case 88..<93: return [.healPaths]
        case 93..<95: return [.weather(anyWeather())]
        case 95..<97: return nodes.map { .clockRate($0, Double.random(in: 0.99...1.01, using: &random)) }
        default: return nodes.map { .wallClock($0, Int64.random(in: -86_400...86_400, using: &random)) }
        }
    }

    /// Two thirds stay up.
    private mutating func mayGoDown(_ node: Int) -> Bool {
        guard !down.contains(node), down.count < world.count / 3 else { return false }
        paused.remove(node)
        down.insert(node)
        return true
    }

    /// Two or three sides, of any size.
    private mutating func anySides() -> [UInt8] {
        let count = UInt8(Int.random(in: 2...3, using: &random))
        let border = Double.random(in: (isFormed ? 0.95 : 0)...1, using: &random)
        return (0..<world.count).map { _ in Double.random(in: 0..<1, using: &random) < border ? 0 : UInt8.random(in: 1..<count, using: &random) }
    }
}
