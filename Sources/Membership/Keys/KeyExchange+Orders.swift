import Identity
import MeshModel
import Reactor

/// Orders about the keys of the whole mesh.
extension KeyExchange {
    /// What an order came to.
    package struct Report: Sendable {
        package var fingerprint: String
        /// False when this node had it as ordered already.
        package var isChanged: Bool
        package var revision: UInt64
        /// Live members, this node included, and how many of them have it.
        package var nodes: Int
        package var done: Int
        package var failures: [String: MeshError]
    }

    /// What every live member has.
    package struct Sight: Sendable {
        package var revision: UInt64
        /// Fingerprints by node, the primary first; this node's too.
        package var found: [String: [String]]
        package var failures: [String: MeshError]
    }

    /// Nodes that are asked at one time.
    private static var simultaneous: Int { 64 }

    /// Asks every live member which keys it has, and changes nothing.
    package func look() async throws(MeshError) -> Sight {
        guard let held = surroundings.held() else { throw Self.stopped }
        var sight = Sight(revision: held.revision, found: [surroundings.node: held.fingerprints], failures: [:])
        await each(surroundings.living()) { node in
            do throws(MeshError) { sight.found[node] = try await self.exchange(with: node, withKeys: false).fingerprints } catch { sight.failures[node] = error }
        }
        return sight
    }

    /// Brings every live member up to date, judges the order by what they said, and has all of them take what comes of it. Repeated, it completes what was left.
    ///
    /// - Throws: what `KeySurvey.outcome` throws, before anything has changed; `gossip_keys_busy` while another order runs.
    package func carryOut(_ order: KeyOrder, force: Bool) async throws(MeshError) -> Report {
        guard progress == nil else {
            throw MeshError(.policy, code: "gossip_keys_busy", "another order about gossip keys is being carried out", remedy: "wait until it is done", retryable: true)
        }
        let living = surroundings.living()
        progress = Progress(done: 0, of: living.count + 1)
        defer { progress = nil }
        do throws(MeshError) {
            let report = try await carryOut(order, force: force, living)
            if report.failures.isEmpty { counters.ordersDone += 1 } else { counters.ordersPartly += 1 }
            return report
        } catch {
            counters.ordersRefused += 1
            throw error
        }
    }

    private func carryOut(_ order: KeyOrder, force: Bool, _ living: [String]) async throws(MeshError) -> Report {
        var survey = KeySurvey(removed: removed)
        await each(living) { node in
            do throws(MeshError) { survey.found[node] = try await self.settle(with: node) } catch { survey.failures[node] = error }
        }
        guard let held = surroundings.held() else { throw Self.stopped }
        let outcome = try survey.outcome(of: order, on: held, by: surroundings.node, force: force)
        var failures = survey.failures
        if let keyring = outcome.keyring {
            // Here first: what is not on this node's disk is given to nobody.
            guard try await surroundings.take(keyring, held.position) else { throw Self.overtaken }
            tell(keyring, instead: held, from: nil)
            progress?.done = 1
            await each(living.filter { failures[$0] == nil }) { node in
                do throws(MeshError) {
                    try await self.settle(with: node)
                    self.progress?.done += 1
                } catch {
                    failures[node] = error
                }
            }
        }
        // Of two orders given on two nodes at one moment only one holds: the other's node says so.
        guard let now = surroundings.held(), order.holds(in: now, outcome.fingerprint) else { throw Self.overtaken }
        return Report(
            fingerprint: outcome.fingerprint, isChanged: outcome.keyring != nil, revision: now.revision,
            nodes: living.count + 1, done: living.count + 1 - failures.count, failures: failures)
    }

    private static let overtaken = MeshError(
        .policy, code: "gossip_keys_busy", "another order about gossip keys, given on another node at the same moment, took the place of this one",
        remedy: "look at `weft gossip key list`, and give the order again", retryable: true)

    private func each(_ nodes: [String], _ body: @escaping @Control (String) async -> Void) async {
        await withTaskGroup(of: Void.self) { group in
            var rest = nodes[...]
            for node in rest.prefix(Self.simultaneous) { group.addTask { await body(node) } }
            rest = rest.dropFirst(Self.simultaneous)
            while await group.next() != nil, let node = rest.popFirst() {
                group.addTask { await body(node) }
            }
        }
    }
}
