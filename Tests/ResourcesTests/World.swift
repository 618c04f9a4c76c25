import MeshModel
import Platform

@testable import Resources

/// Several nodes with real cores, in virtual time, on a network that delays, loses and splits. Everything follows from the seed.
struct World {
    struct Node {
        var core: ResourceCore
        /// Milliseconds that its wall clock is ahead.
        var skew: Int64 = 0
        var isUp = true
        var reach: Set<String> = []
    }
    var nodes: [String: Node] = [:]
    var milliseconds: UInt64 = 1_800_000_000_000
    var loss = 0.0
    private var mail: [(due: UInt64, order: Int, from: String, to: String, message: ResourceMessage)] = []
    private var order = 0
    private(set) var random: SplitMix
    private(set) var events: [String: [ResourceEvent]] = [:]
    private(set) var sent = 0
    let limits: ResourceLimits

    /// - Parameter rights: of each node, by name.
    init(_ rights: [String: [ConfigurationRight]], seed: UInt64 = 1, limits: ResourceLimits = ResourceLimits()) {
        random = SplitMix(seed)
        self.limits = limits
        for name in rights.keys.sorted() {
            nodes[name] = Node(core: ResourceCore(node: name, limits: limits, authority: .cheap(node: name, rights: rights)))
        }
    }

    func now(_ name: String) -> Moment {
        let wall = UInt64(Int64(milliseconds) + (nodes[name]?.skew ?? 0))
        return Moment(
            monotonic: MonotonicTime(nanoseconds: milliseconds * 1_000_000),
            wall: WallTime(seconds: Int64(wall / 1000), nanoseconds: Int32(wall % 1000) * 1_000_000))
    }

    // MARK: The network

    /// Every two of these have a stream, and none to the others.
    mutating func connect(_ names: [String]) {
        for a in names {
            for b in nodes.keys.sorted() where a != b { set(a, b, isConnected: names.contains(b)) }
        }
    }
    mutating func connectAll() { connect(nodes.keys.sorted().filter { nodes[$0]!.isUp }) }

    mutating func set(_ a: String, _ b: String, isConnected: Bool) {
        guard nodes[a]!.reach.contains(b) != isConnected else { return }
        for (one, other) in [(a, b), (b, a)] {
            if isConnected {
                nodes[one]!.reach.insert(other)
                input(one) { $0.connected(other, $1) }
            } else {
                nodes[one]!.reach.remove(other)
                input(one) { core, _ in core.disconnected(other) }
            }
        }
        if !isConnected { mail.removeAll { Set([$0.from, $0.to]) == Set([a, b]) } }
    }

    // MARK: Time

    /// Runs the mail and the timers for some seconds.
    mutating func run(seconds: Int) {
        for _ in 0..<seconds * 20 {
            milliseconds += 50
            deliver()
            for name in nodes.keys.sorted() where nodes[name]!.isUp {
                if milliseconds % 1000 == 0 { input(name) { $0.tick($1) } }
                if random.chance(0.01) {
                    let number = random.next()
                    input(name) { core, _ in core.exchange(random: number) }
                }
            }
        }
    }

    /// Nobody hears of each other meanwhile.
    mutating func pass(days: UInt64) {
        milliseconds += days * 86_400_000
        for name in nodes.keys.sorted() where nodes[name]!.isUp { input(name) { $0.tick($1) } }
    }

    private mutating func deliver() {
        let due = mail.filter { $0.due <= milliseconds }.sorted { ($0.due, $0.order) < ($1.due, $1.order) }
        mail.removeAll { $0.due <= milliseconds }
        for next in due {
            guard nodes[next.to]!.isUp, nodes[next.to]!.reach.contains(next.from) else { continue }
            input(next.to) { $0.received(next.message, from: next.from, $1) }
        }
    }

    // MARK: Inputs

    @discardableResult
    mutating func write(
        _ name: String, _ key: ResourceKey, _ text: String?, expecting: ResourceCore.Expectation = .anything
    ) -> Result<ResourceVersion?, ResourceRefusal> {
        let moment = now(name)
        var result: Result<ResourceVersion?, ResourceRefusal> = .success(nil)
        input(name) { core, _ in
            do throws(ResourceRefusal) {
                result = .success(try core.write(key, payload: text.map { Array($0.utf8) }, expecting: expecting, moment))
            } catch {
                result = .failure(error)
            }
        }
        return result
    }

    mutating func send(_ message: ResourceMessage, from: String, to: String) { input(to) { $0.received(message, from: from, $1) } }

    /// Starts the node anew from what it had on disk.
    mutating func restart(_ name: String) {
        let old = nodes[name]!.core
        for other in nodes.keys.sorted() where other != name { set(name, other, isConnected: false) }
        nodes[name]!.core = ResourceCore(node: name, limits: limits, authority: old.authority)
        input(name) { $0.restore(old.writes, lastAgreed: old.lastAgreed, $1) }
    }

    mutating func input(_ name: String, _ body: (inout ResourceCore, Moment) -> Void) {
        let moment = now(name)
        body(&nodes[name]!.core, moment)
        let effects = nodes[name]!.core.effects
        nodes[name]!.core.effects = []
        for effect in effects {
            switch effect {
            case .send(let message, let peer): post(message, name, peer)
            case .broadcast(let message): for peer in nodes[name]!.reach.sorted() { post(message, name, peer) }
            case .spread(let message, let except):
                for peer in random.sample(nodes[name]!.reach.sorted().filter({ $0 != except }), 3) { post(message, name, peer) }
            case .event(let event): events[name, default: []].append(event)
            case .disconnect(let peer): set(name, peer, isConnected: false)
            case .changed, .agreed: break
            }
        }
    }

    private mutating func post(_ message: ResourceMessage, _ from: String, _ to: String) {
        sent += 1
        guard !random.chance(loss) else { return }
        order += 1
        mail.append((milliseconds + 1 + random.next() % 100, order, from, to, message))
    }

    // MARK: Asking

    func text(_ name: String, _ key: ResourceKey) -> String? {
        nodes[name]!.core.write(of: key).flatMap { $0.payload.map { String(decoding: $0, as: UTF8.self) } }
    }
    /// Whether all these nodes have the same.
    func agree(_ names: [String]? = nil) -> Bool { Set((names ?? Array(nodes.keys)).map { nodes[$0]!.core.digestOfAll }).count == 1 }
}

/// Vigna's SplitMix64: small and the same everywhere.
struct SplitMix {
    private var state: UInt64
    init(_ seed: UInt64) { state = seed }
    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var z = state
        z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
        z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
        return z ^ (z >> 31)
    }
    mutating func chance(_ probability: Double) -> Bool { Double(next() >> 11) / Double(1 << 53) < probability }
    mutating func sample(_ all: [String], _ count: Int) -> [String] {
        var rest = all
        var taken: [String] = []
        while taken.count < count, !rest.isEmpty { taken.append(rest.remove(at: Int(next() % UInt64(rest.count)))) }
        return taken
    }
}

extension ResourceAuthority {
    /// Signs by naming the author and a sum of the bytes: enough to tell forgeries, and quick. Real signatures are tried in the lab.
    static func cheap(node: String, rights: [String: [ConfigurationRight]]) -> ResourceAuthority {
        @Sendable func sum(_ bytes: [UInt8]) -> [UInt8] {
            var hash: UInt64 = 0xcbf2_9ce4_8422_2325
            var result: [UInt8] = []
            for round: UInt8 in 0..<4 {
                for byte in bytes + [round] { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01b3 }
                for shift in stride(from: 0, to: 64, by: 8) { result.append(UInt8(truncatingIfNeeded: hash >> UInt64(shift))) }
            }
            return result
        }
        return ResourceAuthority(
            sha256: { sum($0) }, sign: { (Array(node.utf8), sum(Array(node.utf8) + $0)) }, ownRights: { rights[node] ?? [] },
            verify: { bytes, write in
                guard write.certificate == Array(write.version.author.utf8) else { return .failure(.badSignature("of another node")) }
                guard write.signature == sum(write.certificate + bytes) else { return .failure(.badSignature("it is wrong")) }
                return .success(rights[write.version.author] ?? [])
            })
    }
}

func key(_ name: String, in namespace: String = "shop") -> ResourceKey {
    ResourceKey(kind: "DestinationRule", group: "networking.istio.io", namespace: namespace, name: name)!
}
