import Catalog
import Identity
import ManagementAPI
import Membership
import MeshModel
import Platform
import Reactor
import SWIM
import Settings

/// What membership did, this node's part in it, and what nodes know of each other.
extension AgentAPI {
    @Control
    func memberChanges(_ request: MemberWatch) async throws(APIError) -> MemberChanges {
        try await explained { () async throws(MeshError) in
            let mesh = try requireMesh()
            let reading = try await mesh.gossip.changes(after: request.after, timeout: .seconds(request.timeoutSeconds))
            return MemberChanges(changes: reading.changes.map(Self.change), last: reading.last, missed: reading.missed)
        }
    }

    @Control
    func gossip() async throws(APIError) -> GossipReport {
        try await explained { () async throws(MeshError) in
            let mesh = try requireMesh()
            let gossip = mesh.gossip
            let members = gossip.members()
            func count(_ state: Liveness) -> Int { members.count { $0.state == state } }
            let own = members.first { $0.isLocal }
            let configuration = gossip.configuration
            return GossipReport(
                node: configuration.name, address: "\(own?.address ?? configuration.bind)", incarnation: own?.incarnation ?? 0,
                pool: configuration.pool.rawValue, label: configuration.label,
                keys: gossip.keyring.keys.map(GossipKeyring.fingerprint), awareness: gossip.awareness,
                awarenessMaximum: configuration.timers.awarenessMaximum - 1,
                members: .init(alive: count(.alive), suspect: count(.suspect), dead: count(.dead), left: count(.left)),
                queued: gossip.queuedBroadcasts, counters: Self.counters(gossip.counters),
                refused: gossip.counters.core.refused.filter { $0.count > 0 }.map {
                    .init(reason: $0.reason.rawValue, count: $0.count, meaning: $0.reason.explanation)
                }, keyOrder: mesh.keys.progress.map { .init(done: $0.done, nodes: $0.of) },
                contested: gossip.contests.map { .init(name: $0.name, address: "\($0.address)", claimant: "\($0.claimant)") })
        }
    }

    @Control
    func catalogDiff(node: String) async throws(APIError) -> CatalogDiff {
        try await explained { () async throws(MeshError) in
            let mesh = try requireMesh()
            let own = mesh.configuration.node.name
            guard node != own else {
                throw MeshError(.configuration, code: "same_node", "\(node) is this node", remedy: "name another one of `weft members`")
            }
            let known = mesh.catalog.view.nodes.map(\.info.name)
            guard known.contains(node) else {
                let near = Suggestion.nearest(to: node, among: known.filter { $0 != own })
                throw MeshError(
                    .configuration, code: "node_not_found", "no node \"\(node.prefix(64))\" is known here",
                    remedy: near.map { "did you mean \($0)?" } ?? "`weft members` lists the nodes")
            }
            let difference = try await mesh.catalog.difference(with: node)
            return CatalogDiff(
                node: own, peer: node, equal: difference.equal,
                differences: difference.entries.map {
                    .init(origin: $0.origin, verdict: Self.verdict($0.verdict), here: $0.here.map(Self.known), there: $0.there.map(Self.known))
                })
        }
    }

    // MARK: Forms

    private static func change(_ change: MemberLog.Change) -> MemberChange {
        let event = change.event
        var result = MemberChange(
            number: change.number, time: change.time.rfc3339, name: event.member.name, address: "\(event.member.address)",
            kind: MemberChange.Kind(rawValue: event.kind.rawValue) ?? .updated,
            state: ManagementAPI.Member.State(rawValue: event.member.state.rawValue) ?? .dead, by: event.by, cause: .ourselves, why: event.why)
        switch event.cause {
        case .gossip: result.cause = .gossip
        case .exchange: result.cause = .exchange
        case .unanswered(let helpers): (result.cause, result.helpers) = (.unanswered, helpers)
        case .refused(let witnesses): (result.cause, result.suspectedBy) = (.refused, witnesses)
        case .suspicionExpired(let confirmers): (result.cause, result.suspectedBy) = (.notRefuted, confirmers)
        case .claimed(let address): (result.cause, result.claimant) = (.claimed, "\(address)")
        case .ourselves: result.cause = .ourselves
        case .expired: result.cause = .expired
        }
        return result
    }

    private static func counters(_ counters: GossipCounters) -> GossipReport.Counters {
        var result = GossipReport.Counters()
        result.probes = counters.core.probes
        result.probesFailed = counters.core.probesFailed
        result.probesDiscarded = counters.core.probesDiscarded
        result.probesByStreamOnly = counters.core.probesByStreamOnly
        result.relayed = counters.core.relayed
        result.suspicions = counters.core.suspicions
        result.deaths = counters.core.deaths
        result.refutations = counters.core.refutations
        result.contests = counters.core.contests
        result.exchanges = counters.core.pushPulls
        result.exchangesFailed = counters.core.pushPullsFailed
        result.datagramsReceived = counters.core.datagramsIn
        result.datagramsSent = counters.core.datagramsOut
        result.bytesReceived = counters.core.bytesIn
        result.bytesSent = counters.core.bytesOut
        result.sendFailures = counters.sendFailures
        result.streamsRefused = counters.streamsRefused
        result.streamsTimedOut = counters.streamsTimedOut
        return result
    }

    private static func known(_ summary: OriginSummary) -> CatalogDiff.Known {
        .init(
            generation: summary.position.generation, version: summary.position.version, records: summary.records, digest: Hex.encode(summary.root.bytes))
    }

    private static func verdict(_ verdict: CatalogDifference.Verdict) -> CatalogDiff.Difference.Verdict {
        switch verdict {
        case .hereNewer: .hereNewer
        case .thereNewer: .thereNewer
        case .onlyHere: .onlyHere
        case .onlyThere: .onlyThere
        case .forked: .forked
        }
    }
}
