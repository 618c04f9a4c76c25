import MeshModel
import Platform

/// Finding out what a peer knows that this node does not, and the other way round.
///
/// Overview: an overview from each side says whether two nodes differ. If they do, the one that knows fewer origins (of two that know as many the one whose name comes
/// first) sends its parts, and of the parts that differ the positions travel.
/// Function: a node compares with one peer at a time, and with the next when it has what the first one had: somebody who starts among a thousand
/// learns everything from one of them, and of the others only that there is no more.
/// Implementation: `differing` are the peers that wait for their turn. Each is asked for a fresh overview then, and leaves whatever comes of it; what is
/// missed the next `exchange` finds. Whoever is asked while it learns from another answers that there is nothing, and asks when it has learned.
extension CatalogCore {
    /// The peer that is compared with now.
    struct Comparison: Sendable {
        var peer: String
        var deadline: MonotonicTime
        /// It has this node's parts, not only its question.
        var hasParts: Bool
    }

    mutating func sendOverview(to peer: String, asks: Bool) {
        counters.overviewsSent += 1
        let others = positions.all(besides: [node, peer])
        let overview = CatalogOverview(position: positions[node] ?? .none, others: others.count, digest: others.digest.whole, asks: asks)
        effects.append(.send(.overview(overview), to: peer))
    }

    mutating func receivedOverview(_ theirs: CatalogOverview, from peer: String, _ now: MonotonicTime) {
        if theirs.asks { sendOverview(to: peer, asks: false) }
        let known = positions[peer] ?? .none
        if theirs.position < known {
            // It has lost its state and goes on from too low a number.
            sendDigest([peer: known], parts: .none, to: peer)
        } else {
            request(news([peer: theirs.position], from: peer), of: peer, now, again: false)
        }
        if let comparing, comparing.peer == peer {
            // Another overview is no answer to parts.
            if comparing.hasParts { return }
            self.comparing = nil
        }
        let ours = positions.all(besides: [node, peer])
        guard ours.digest.whole != theirs.digest, (ours.count, node) < (theirs.others, peer) else { return }
        guard comparing == nil, !isLearning(besides: peer) else {
            differing.insert(peer)
            return
        }
        begin(with: peer, hasParts: true, now)
        effects.append(.send(.parts(ours.digest.values), to: peer))
    }

    mutating func receivedParts(_ theirs: [UInt64], from peer: String, _ now: MonotonicTime) {
        guard let parts = positions.all(besides: [node, peer]).digest.differences(to: theirs) else {
            return refuse(.malformed("\(theirs.count) parts instead of \(SetDigest.parts)"), origin: peer, peer: peer, now)
        }
        // What it would name may be on its way here already. Naming nothing ends its wait.
        if isLearning(besides: peer) {
            differing.insert(peer)
            return sendDigest([:], parts: .none, to: peer)
        }
        let differing = PartSet(parts)
        sendDigest(positions.named(in: differing, besides: [node, peer]), parts: differing, to: peer)
    }

    mutating func receivedDigest(_ theirs: [String: Position], parts: PartSet, from peer: String, _ now: MonotonicTime) {
        counters.digestsReceived += 1
        if comparing?.peer == peer { comparing = nil }
        guard theirs.count <= limits.origins + 1 else { return refuse(.tooManyOrigins(limit: limits.origins), origin: peer, peer: peer, now) }
        request(news(theirs, from: peer), of: peer, now, again: false)
        let ahead = positions.named(in: parts, besides: [node, peer]).filter { $0.value > theirs[$0.key] ?? .none }
        if !ahead.isEmpty { sendDigest(ahead, parts: .none, to: peer) }
    }

    /// Goes on with the next peer that waits, when nothing is under way. Call after each input that may have ended something.
    mutating func compareNext(_ now: MonotonicTime) {
        if let comparing, comparing.deadline > now { return }
        comparing = nil
        guard !differing.isEmpty, !isLearning(besides: nil) else { return }
        // In turn, so that none of them has to wait for one that differs again and again.
        guard let peer = differing.filter({ $0 > lastCompared }).min() ?? differing.min() else { return }
        begin(with: peer, hasParts: false, now)
        sendOverview(to: peer, asks: true)
    }

    // MARK: Private

    private mutating func begin(with peer: String, hasParts: Bool, _ now: MonotonicTime) {
        differing.remove(peer)
        lastCompared = peer
        comparing = Comparison(peer: peer, deadline: now + limits.requestTimeout, hasParts: hasParts)
    }

    /// Something that another peer has is on its way. One that let an earlier request pass is not waited for.
    private func isLearning(besides peer: String?) -> Bool {
        requests.values.contains { $0.peer != peer && peers[$0.peer]?.owes == false }
    }

    private mutating func sendDigest(_ positions: [String: Position], parts: PartSet, to peer: String) {
        counters.digestsSent += 1
        effects.append(.send(.digest(positions, parts: parts), to: peer))
    }

    /// Of what a peer says that it has, what to ask it for: from where on.
    private func news(_ theirs: [String: Position], from peer: String) -> [String: Position] {
        var lacking: [String: Position] = [:]
        for (origin, position) in theirs {
            if origin == node {
                if position > own?.position ?? Position(generation: generation, version: 0) { lacking[origin] = Position.none }
                continue
            }
            let ours = positions[origin] ?? .none
            guard position > ours else { continue }
            if let gone = forgotten[origin], position <= gone.position { continue }
            if let refused = refusedHeads[.init(origin: origin, peer: peer)], position <= refused.position { continue }
            lacking[origin] = ours
        }
        return lacking
    }
}
