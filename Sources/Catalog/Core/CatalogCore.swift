import MeshModel
import Platform

/// The catalog of one node as a pure machine.
///
/// Overview: every node owns the records of its own workloads and signs them; everybody else keeps copies. Because a record has one writer
/// there is nothing to merge: of two states of an origin the one with the higher `(generation, version)` is right.
/// Function: local changes are collected and signed by `commit`, which sends what changed to every connected peer. `exchange` compares
/// with one peer; who turns out to lack something asks for it. Membership's word on nodes decides which endpoints get traffic, never
/// what is known.
/// Implementation: inputs append to `effects`; time comes in, nothing is read from the world. A value, owned by one shell or one simulator.
package struct CatalogCore: Sendable {
    package let node: String
    package let trustDomain: String
    package let limits: CatalogLimits
    package internal(set) var counters = CatalogCounters()
    /// What the shell has to do; it takes and clears them after each input.
    package var effects: [CatalogEffect] = []

    let authority: RecordAuthority
    var generation: UInt64
    /// The own log as it was last signed; nil before the first commit.
    var own: OriginLog?
    /// Local changes since the last commit; nil is a deletion.
    var pending: [RecordKey: [UInt8]?] = [:]
    /// The last commit found no certificate to sign with; changes wait.
    package internal(set) var isUnsigned = false
    var lastJump: MonotonicTime?

    var logs: [String: OriginLog] = [:]
    /// Of those, which have deletions: time changes only them.
    var withTombstones: Set<String> = []
    /// How far this node knows each origin, itself included: of every log its position.
    var positions: KnownPositions
    var standings: [String: Standing] = [:]
    var forgotten: [String: Forgotten] = [:]
    var rates: [String: TokenBucket] = [:]
    var requests: [String: Request] = [:]
    /// Peers that know something else, to be compared with when there is time.
    var differing: Set<String> = []
    var comparing: Comparison?
    /// Of those, whose turn was last.
    var lastCompared = ""
    var refusedHeads: [RefusedHead.Key: RefusedHead] = [:]
    var peers: [String: Peer] = [:]
    var index = CatalogIndex()
    var sequence: UInt64 = 0
    var eventBudget: TokenBucket?

    /// What is known about an origin apart from its records.
    struct Standing: Sendable {
        var liveness: Liveness?
        /// Since when it has that liveness, or since when it is known at all.
        var since: MonotonicTime
        /// Nothing since this agent's start says that it is still as on disk.
        var stale = false
        var reach = Reach(reachable: true, stale: false)
    }
    struct Forgotten: Sendable {
        var position: Position
        var expires: MonotonicTime
    }
    struct Request: Sendable {
        var peer: String
        var asked: MonotonicTime
    }
    struct Peer: Sendable {
        var patience: TokenBucket
        /// Of its overviews, parts and digests.
        var questions: TokenBucket
        /// When it last gave what it was asked for.
        var answered: MonotonicTime?
        /// It has let a request pass since.
        var owes = false
    }
    struct RefusedHead: Sendable {
        struct Key: Hashable, Sendable {
            var origin: String
            var peer: String
        }
        var position: Position
        var expires: MonotonicTime
    }

    /// - Parameter generation: higher than that of any earlier life of this node, and stored durably.
    package init(node: String, trustDomain: String, generation: UInt64, limits: CatalogLimits, authority: RecordAuthority) {
        precondition(generation > 0, "generations start at 1")
        self.node = node
        self.trustDomain = trustDomain
        self.generation = generation
        self.limits = limits
        self.authority = authority
        positions = KnownPositions(sha256: authority.sha256)
    }

    // MARK: Asking

    /// How many entries its tables have beside the records themselves.
    package var tableEntries: Int {
        standings.count + forgotten.count + rates.count + requests.count + refusedHeads.count + peers.count + differing.count + pending.count
    }

    /// How far each origin is known, this node included.
    package var knownPositions: [String: Position] { positions.all }

    /// The same with what the records come to.
    package var summaries: [String: OriginSummary] {
        var logs = logs
        logs[node] = own
        return logs.mapValues { OriginSummary(position: $0.position, records: $0.records.count, root: $0.head.root) }
    }

    /// All that is known of another origin, to keep on disk; nil when it is nothing.
    package func whole(of origin: String) -> OriginDelta? { logs[origin]?.whole }

    /// The same of all other origins.
    package var remote: [OriginDelta] { logs.sorted { $0.key < $1.key }.map(\.value.whole) }

    /// The tunnel addresses of all other nodes, from their own signed records.
    package var nodeAddresses: [String: SocketAddress] {
        var addresses = index.nodes.mapValues(\.tunnel)
        addresses[node] = nil
        return addresses
    }

    /// The same of one node; nil while it has no record.
    package func nodeAddress(_ name: String) -> SocketAddress? { index.nodes[name]?.tunnel }

    /// What membership last said.
    package var livenesses: [String: Liveness] { standings.compactMapValues(\.liveness) }

    /// The catalog as of now. Port conflicts that are new come as events.
    package mutating func view() -> CatalogView {
        var events: [CatalogEvent] = []
        let standings = self.standings
        let node = self.node
        let services = index.build(
            { $0 == node ? .init(reachable: true, stale: false) : standings[$0]?.reach ?? .init(reachable: true, stale: false) }, conflicts: &events)
        effects += events.map { .event($0) }
        sequence += 1
        let nodes = index.nodesInOrder().map { info in
            let own = info.name == node
            let standing = standings[info.name]
            return CatalogView.NodeView(
                info: info, liveness: own ? .alive : standing?.liveness, reachable: own || standing?.reach.reachable ?? true,
                stale: standing?.reach.stale ?? false,
                position: positions[info.name] ?? .none, endpoints: index.endpoints(of: info.name))
        }
        return CatalogView(sequence: sequence, nodes: nodes, services: services)
    }

    /// The subsets that resources name.
    package mutating func setSubsetRules(_ rules: [ServiceName: [SubsetRule]]) {
        if index.setRules(rules) { viewChanged() }
    }

    // MARK: Shared by the inputs

    mutating func refuse(_ reason: Refusal, origin: String, peer: String, _ now: MonotonicTime) {
        counters.refused[reason.code, default: 0] += 1
        var budget = eventBudget ?? TokenBucket(burst: limits.eventBurst, now: now)
        if budget.take(1, rate: limits.eventRate, burst: limits.eventBurst, now: now) {
            effects.append(.event(.refused(reason, origin: origin, peer: peer)))
        } else {
            counters.untold += 1
        }
        eventBudget = budget
        // Who passes on what it could not know to be bad is not to blame.
        guard peer == origin || reason.blamesRelay else { return }
        let patient = peers[peer]?.patience.take(1, rate: 0.1, burst: limits.refusalsPerPeer, now: now) ?? true
        if !patient { effects.append(.disconnect(peer)) }
    }

    mutating func viewChanged() {
        if effects.last != .viewChanged { effects.append(.viewChanged) }
    }

    mutating func viewImproved() {
        if effects.last != .viewChanged, effects.last != .viewImproved { effects.append(.viewImproved) }
    }
}
