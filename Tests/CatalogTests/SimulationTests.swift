import MeshModel
import Platform
import Testing

@testable import Catalog

/// Several cores in virtual time: messages are late, lost and out of order, streams break, and nodes restart with and without their state.
struct Simulation {
    struct Flight {
        var at: MonotonicTime
        var from: String
        var to: String
        var message: CatalogMessage
        /// Streams die with their messages.
        var stream: Int
    }
    struct Saved {
        var generation: UInt64
        var remote: [OriginDelta]
    }

    var random: Seeded
    var now = MonotonicTime.at(0)
    var cores: [String: CatalogCore] = [:]
    var saved: [String: Saved] = [:]
    var flights: [Flight] = []
    var streams: [Set<String>: Int] = [:]
    var nextStream = 0
    var loss = 0.0
    /// Everything that was ever written, by origin and key: what a copy may say.
    var written: [String: [RecordKey: Set<[UInt8]>]] = [:]
    /// The highest position that each core has shown of each origin in its life.
    var seen: [String: [String: Position]] = [:]
    var faults: [String] = []

    let names: [String]

    init(seed: UInt64, nodes: Int) {
        random = Seeded(seed)
        names = (0..<nodes).map { "n\($0)" }
        for name in names { start(name, generation: nextGeneration(after: 0), remote: []) }
    }

    mutating func start(_ name: String, generation: UInt64, remote: [OriginDelta]) {
        var core = CatalogCore.test(name, generation: generation)
        core.restore(remote, now)
        cores[name] = core
        seen[name] = [:]
        saved[name] = Saved(generation: generation, remote: [])
        write(name, .node(name)) { try $0.putNode("192.0.2.\(name.dropFirst()):15008") }
    }

    mutating func write(_ name: String, _ key: RecordKey, _ body: (inout CatalogCore) throws -> Void) {
        guard var core = cores[name] else { return }
        do { try body(&core) } catch { faults.append("\(name) cannot write \(key): \(error)") }
        if let payload = core.ownPayload(key) { written[name, default: [:]][key, default: []].insert(payload) }
        cores[name] = core
        flush(name)
    }

    // MARK: Faults and work

    mutating func randomStep() {
        let name = names.randomElement(using: &random)!
        let other = names.randomElement(using: &random)!
        switch Int.random(in: 0..<100, using: &random) {
        case 0..<45:
            let host = Int.random(in: 1...12, using: &random)
            let key = RecordKey.endpoint("reviews.default/192.0.2.\(host):80")
            if Bool.random(using: &random) {
                write(name, key) { try $0.putEndpoint("reviews.default", "192.0.2.\(host):80", version: "v\(host % 3)\(name)") }
            } else {
                cores[name]?.delete(key)
            }
            cores[name]?.commit(now)
        case 45..<60: if other != name { connect(name, other) }
        case 60..<70: if other != name { cut(name, other) }
        case 70..<80: cores[name]?.exchange(now, random: random.next())
        case 80..<84: restart(name, keepsState: true)
        case 84..<86: restart(name, keepsState: false)
        case 86..<90: cores[name]?.resign(now)
        default: cores[name]?.tick(now)
        }
        flush(name)
        advance(.milliseconds(Int64.random(in: 0...300, using: &random)))
    }

    mutating func connect(_ a: String, _ b: String) {
        cut(a, b)
        nextStream += 1
        streams[[a, b]] = nextStream
        cores[a]?.connected(b, now)
        cores[b]?.connected(a, now)
        flush(a)
        flush(b)
    }

    mutating func cut(_ a: String, _ b: String) {
        guard streams.removeValue(forKey: [a, b]) != nil else { return }
        cores[a]?.disconnected(b, now)
        cores[b]?.disconnected(a, now)
        flush(a)
        flush(b)
    }

    /// The clock stands still, so lives come to the same number often.
    mutating func nextGeneration(after last: UInt64) -> UInt64 { Generation.after(last, salt: random.next()) }

    mutating func restart(_ name: String, keepsState: Bool) {
        for other in names { cut(name, other) }
        start(name, generation: nextGeneration(after: keepsState ? saved[name]?.generation ?? 0 : 0), remote: keepsState ? cores[name]?.remote ?? [] : [])
    }

    // MARK: The network

    mutating func flush(_ name: String) {
        guard var core = cores[name] else { return }
        for effect in core.drain() {
            switch effect {
            case .send(let message, to: let peer): post(name, peer, message)
            case .broadcast(let message): for peer in core.connectedPeers { post(name, peer, message) }
            case .saveGeneration(let generation): saved[name]?.generation = generation
            case .disconnect(let peer): faults.append("\(name) cuts \(peer) off")
            case .event(.refused(let reason, origin: let origin, peer: let peer)): faults.append("\(name) refuses \(origin) from \(peer): \(reason)")
            case .event, .viewChanged, .viewImproved, .save: break
            }
        }
        cores[name] = core
        check(name)
    }

    mutating func post(_ from: String, _ to: String, _ message: CatalogMessage) {
        guard let stream = streams[[from, to]], Double.random(in: 0..<1, using: &random) >= loss else { return }
        let delay = Duration.milliseconds(Int64.random(in: 1...200, using: &random))
        flights.append(Flight(at: now + delay, from: from, to: to, message: message, stream: stream))
    }

    mutating func advance(_ duration: Duration) {
        let end = now + duration
        while let next = flights.indices.min(by: { flights[$0].at < flights[$1].at }), flights[next].at <= end {
            let flight = flights.remove(at: next)
            now = max(now, flight.at)
            guard streams[[flight.from, flight.to]] == flight.stream else { continue }
            cores[flight.to]?.received(flight.message, from: flight.from, now)
            flush(flight.to)
        }
        now = end
    }

    /// No more faults: everybody talks to everybody until nothing is left to say.
    mutating func heal() {
        loss = 0
        for a in names { for b in names where a < b { connect(a, b) } }
        for _ in 0..<(names.count * 6) {
            advance(.seconds(3))
            for name in names {
                cores[name]?.tick(now)
                cores[name]?.exchange(now, random: random.next())
                flush(name)
            }
        }
        advance(.seconds(5))
    }

    // MARK: Invariants

    mutating func check(_ name: String) {
        guard let core = cores[name] else { return }
        for (origin, position) in core.knownPositions {
            if let before = seen[name]?[origin], position < before { faults.append("\(name) goes back on \(origin) from \(before) to \(position)") }
            seen[name, default: [:]][origin] = position
        }
        for (origin, log) in core.logs {
            for (key, record) in log.records where record.payload.map({ written[origin]?[key]?.contains($0) != true }) ?? true {
                faults.append("\(name) has a record \(key) of \(origin) that \(origin) never wrote")
            }
        }
    }

    var isConverged: Bool {
        names.allSatisfy { name in
            guard let core = cores[name] else { return false }
            return names.allSatisfy { origin in
                guard let truth = cores[origin]?.own else { return false }
                let copy = origin == name ? core.own : core.logs[origin]
                return copy?.position == truth.position && copy?.records == truth.records
            }
        }
    }
}

@Suite struct SimulationTests {
    @Test(arguments: [1, 2, 3, 4, 5, 6, 7, 8] as [UInt64])
    func coresConvergeWhateverTheNetworkAndTheNodesDo(_ seed: UInt64) {
        var simulation = Simulation(seed: seed, nodes: 6)
        simulation.loss = 0.15
        for _ in 0..<400 { simulation.randomStep() }
        simulation.heal()
        #expect(simulation.faults.isEmpty, "seed \(seed): \(simulation.faults.prefix(5))")
        #expect(simulation.isConverged, "seed \(seed)")
        let views = simulation.names.map { name in
            simulation.cores[name]!.view().services.map { service in service.endpoints.map(\.endpoint) }
        }
        #expect(Set(views).count == 1, "seed \(seed): all see the same services")
    }

    @Test func aFreshSeedConvergesToo() {
        let seed = UInt64.random(in: 1_000...1_000_000)
        var simulation = Simulation(seed: seed, nodes: 5)
        simulation.loss = 0.3
        for _ in 0..<300 { simulation.randomStep() }
        simulation.heal()
        #expect(simulation.faults.isEmpty && simulation.isConverged, "seed \(seed): \(simulation.faults.prefix(5))")
    }

    @Test func aNodeThatKnowsNothingGetsTenThousandEndpointsFromOnePeer() throws {
        let nodes = 100
        var limits = CatalogLimits()
        limits.messageBytes = 256 << 10
        var full = CatalogCore.test("full", limits: limits)
        for number in 0..<nodes {
            var origin = CatalogCore.test("n\(number)")
            for endpoint in 0..<100 { try origin.putEndpoint("s\(endpoint).default", "10.0.\(number).\(endpoint + 1):80") }
            origin.commit(.at(0))
            full.restore([origin.own!.whole], .at(0))
        }
        var pair = Pair(full, .test("new"))
        pair.connect()
        #expect(pair.b.view().services.count == 100)
        #expect(pair.b.view().services.allSatisfy { $0.endpoints.count == nodes })
        #expect(pair.b.counters.deltasReceived == UInt64(nodes), "each origin came once")
    }
}
