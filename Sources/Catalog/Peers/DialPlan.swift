import MeshModel
import Platform

/// Which other nodes to dial, and when: pure.
///
/// Between two nodes that know each other the one with the smaller name dials; the other waits `patience` first, in case only it can get through.
/// A seed is an address whose node is not known yet; it is dialled until a stream shows who lives there.
package struct DialPlan: Sendable {
    /// Who or where.
    package enum Target: Hashable, Sendable {
        case node(String)
        case seed(SocketAddress)
    }
    package struct Dial: Hashable, Sendable {
        package var target: Target
        package var address: SocketAddress
    }

    /// How long the larger name waits for the smaller to dial.
    package static let patience = Duration.seconds(5)
    /// All nodes dial one that returns, and each dial is a handshake for it: this for each of them, so that up to 400 take about a fifth of one of its workers.
    package static let returnSpread = Duration.milliseconds(5)
    package static let longestReturnSpread = Duration.seconds(2)
    /// The most dials under way at once.
    package static let simultaneous = 32

    private struct State {
        var address: SocketAddress
        var due: MonotonicTime
        var backoff = Backoff()
        var dialling = false
    }
    private let node: String
    private var states: [Target: State] = [:]
    private var seeds: Set<SocketAddress> = []
    /// What a seed turned out to be.
    private var seedNames: [SocketAddress: String] = [:]
    private var connected: Set<String> = []
    private var gone: Set<String> = []
    /// Of those, the ones to dial all the same, once.
    private var called: Set<String> = []

    package init(node: String) { self.node = node }

    // MARK: Inputs

    package mutating func setSeeds(_ addresses: some Sequence<SocketAddress>, _ now: MonotonicTime) {
        seeds = Set(addresses)
        for (target, _) in states {
            if case .seed(let address) = target, !seeds.contains(address) { states[target] = nil }
        }
        for seed in seeds where states[.seed(seed)] == nil { states[.seed(seed)] = State(address: seed, due: now) }
    }

    /// The addresses of all other nodes, from their signed records.
    package mutating func setNodes(_ addresses: [String: SocketAddress], _ now: MonotonicTime) {
        for (target, _) in states {
            if case .node(let name) = target, addresses[name] == nil { states[target] = nil }
        }
        for (name, address) in addresses where name != node {
            if states[.node(name)] == nil {
                states[.node(name)] = State(address: address, due: node < name ? now : now + Self.patience)
            } else if states[.node(name)]?.address != address {
                states[.node(name)]?.address = address
                states[.node(name)]?.backoff.reset()
                states[.node(name)]?.due = node < name ? now : now + Self.patience
            }
        }
    }

    /// - Parameter random: from 0 to 1; when a node that returns is dialled.
    package mutating func setGone(_ name: String, _ isGone: Bool, _ now: MonotonicTime, random: Double) {
        guard gone.contains(name) != isGone else { return }
        if isGone {
            gone.insert(name)
        } else {
            gone.remove(name)
            states[.node(name)]?.backoff.reset()
            let spread = min(Self.longestReturnSpread, Self.returnSpread * states.count)
            let due = now + .nanoseconds(Int64(Double(spread.nanoseconds) * random))
            states[.node(name)]?.due = node < name ? due : due + Self.patience
        }
    }

    /// A node that is gone is dialled at once, and once.
    package mutating func callOnce(_ name: String, _ now: MonotonicTime) {
        guard gone.contains(name), states[.node(name)] != nil else { return }
        called.insert(name)
        states[.node(name)]?.due = now
    }

    package mutating func connected(_ name: String) {
        called.remove(name)
        connected.insert(name)
        states[.node(name)]?.backoff.reset()
    }

    package mutating func disconnected(_ name: String, _ now: MonotonicTime, random: Double) {
        connected.remove(name)
        let wait = states[.node(name)]?.backoff.next(random: random) ?? .zero
        states[.node(name)]?.due = now + wait + (node < name ? .zero : Self.patience)
    }

    /// A dial ended. With a name, a stream to that node is up; nil means that it failed.
    package mutating func finished(_ dial: Dial, reached name: String?, _ now: MonotonicTime, random: Double) {
        states[dial.target]?.dialling = false
        if case .node(let name) = dial.target { called.remove(name) }
        if let name, case .seed(let address) = dial.target { seedNames[address] = name }
        if name == nil {
            let wait = states[dial.target]?.backoff.next(random: random) ?? .zero
            states[dial.target]?.due = now + wait
            // Perhaps another node lives there now.
            if case .seed(let address) = dial.target { seedNames[address] = nil }
        } else {
            states[dial.target]?.backoff.reset()
            states[dial.target]?.due = now + Backoff.shortest
        }
    }

    // MARK: Output

    /// The dials to start now; they count as under way until `finished`.
    package mutating func due(_ now: MonotonicTime) -> [Dial] {
        var left = Self.simultaneous - states.values.count { $0.dialling }
        var dials: [Dial] = []
        // A loop: a closure that asks `self` copies the plan for each target.
        var ready: [(target: Target, state: State)] = []
        for (target, state) in states where !state.dialling && state.due <= now && isWanted(target, state) { ready.append((target, state)) }
        for (target, state) in ready.sorted(by: { ($0.state.due, $0.state.address) < ($1.state.due, $1.state.address) }) {
            guard left > 0 else { break }
            states[target]?.dialling = true
            dials.append(Dial(target: target, address: state.address))
            left -= 1
        }
        return dials
    }

    private func isWanted(_ target: Target, _ state: State) -> Bool {
        switch target {
        case .node(let name): return !connected.contains(name) && (!gone.contains(name) || called.contains(name))
        case .seed(let address):
            if let name = seedNames[address] {
                // Known by name: dialled as a node, once its record is here.
                return name != node && !connected.contains(name) && states[.node(name)] == nil
            }
            // A node that is connected from that very address need not be dialled again.
            return !states.contains { target, state in
                if case .node(let name) = target { return state.address == address && connected.contains(name) }
                return false
            }
        }
    }
}

/// Which of two streams between the same two nodes to keep: the one that the smaller name dialled; of two dialled by the same side the newer.
package enum StreamChoice {
    package static func keepsNew(node: String, peer: String, oldDialledHere: Bool, newDialledHere: Bool) -> Bool {
        guard oldDialledHere != newDialledHere else { return true }
        return newDialledHere == (node < peer)
    }
}
