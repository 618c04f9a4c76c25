import Platform

/// Inputs from peers: other nodes with a stream to this one, whose names their certificates proved.
extension CatalogCore {
    /// A stream to `peer` is up (or was replaced by another): asks what it knows.
    package mutating func connected(_ peer: String, _ now: MonotonicTime) {
        peers[peer] = Peer(patience: TokenBucket(burst: limits.refusalsPerPeer, now: now))
        var standing = standings[peer] ?? Standing(liveness: nil, since: now)
        standing.stale = false
        standings[peer] = standing
        updateReach(peer, now)
        // What an earlier stream was asked for does not come any more.
        for (origin, request) in requests where request.peer == peer { requests[origin] = nil }
        sendDigest(to: peer)
        if let log = logs[peer], !log.keptBack.isEmpty { request([peer: .none], of: peer, now, again: true) }
    }

    package mutating func disconnected(_ peer: String, _ now: MonotonicTime) {
        guard peers.removeValue(forKey: peer) != nil else { return }
        if standings[peer]?.liveness == nil { standings[peer]?.since = now }
        updateReach(peer, now)
        let lost = requests.filter { $0.value.peer == peer }.map(\.key)
        for origin in lost { requests[origin] = nil }
        // What it was asked for, another may have.
        if !lost.isEmpty, let other = peers.keys.min() { sendDigest(to: other) }
    }

    package var connectedPeers: [String] { peers.keys.sorted() }

    /// Compares digests with one peer, at every interval.
    /// - Parameter random: any number; it chooses the peer.
    package mutating func exchange(_ now: MonotonicTime, random: UInt64) {
        guard !peers.isEmpty else { return }
        let names = peers.keys.sorted()
        sendDigest(to: names[Int(random % UInt64(names.count))])
    }

    package mutating func received(_ message: CatalogMessage, from peer: String, _ now: MonotonicTime) {
        guard peers[peer] != nil else { return }
        switch message {
        case .hello: break
        case .digest(let theirs, let complete): receivedDigest(theirs, complete: complete, from: peer, now)
        case .want(let wanted): receivedWant(wanted, from: peer, now)
        case .delta(let deltas):
            for delta in deltas { receivedDelta(delta, from: peer, now) }
        }
    }

    /// Something arrived that could not even be read.
    package mutating func receivedMalformed(_ reason: String, from peer: String, _ now: MonotonicTime) {
        refuse(.malformed(reason), origin: peer, peer: peer, now)
    }

    // MARK: Digests and requests

    private mutating func sendDigest(to peer: String) {
        counters.digestsSent += 1
        effects.append(.send(.digest(positions, complete: true), to: peer))
    }

    private mutating func receivedDigest(_ theirs: [String: Position], complete: Bool, from peer: String, _ now: MonotonicTime) {
        counters.digestsReceived += 1
        guard theirs.count <= limits.origins + 1 else { return refuse(.tooManyOrigins(limit: limits.origins), origin: peer, peer: peer, now) }
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
        request(lacking, of: peer, now, again: false)
        guard complete else { return }
        let ahead = positions.filter { $0.value > theirs[$0.key] ?? .none }
        guard !ahead.isEmpty else { return }
        counters.digestsSent += 1
        effects.append(.send(.digest(ahead, complete: false), to: peer))
    }

    /// Asks `peer`, unless somebody else has been asked and may still answer.
    mutating func request(_ lacking: [String: Position], of peer: String, _ now: MonotonicTime, again: Bool) {
        let wanted = lacking.filter { origin, _ in again || requests[origin].map { $0.deadline <= now } ?? true }
        guard !wanted.isEmpty else { return }
        for origin in wanted.keys { requests[origin] = Request(peer: peer, deadline: now + limits.requestTimeout) }
        counters.requestsSent += 1
        effects.append(.send(.want(wanted), to: peer))
    }

    private mutating func receivedWant(_ wanted: [String: Position], from peer: String, _ now: MonotonicTime) {
        counters.requestsReceived += 1
        guard wanted.count <= limits.origins + 1 else { return refuse(.tooManyOrigins(limit: limits.origins), origin: peer, peer: peer, now) }
        var batch: [OriginDelta] = []
        var cost = 0
        for (origin, position) in wanted.sorted(by: { $0.key < $1.key }) {
            guard let delta = (origin == node ? own : logs[origin])?.delta(after: position) else { continue }
            if cost + delta.cost > limits.messageBytes, !batch.isEmpty {
                effects.append(.send(.delta(batch), to: peer))
                batch = []
                cost = 0
            }
            batch.append(delta)
            cost += delta.cost
            counters.deltasSent += 1
        }
        if !batch.isEmpty { effects.append(.send(.delta(batch), to: peer)) }
    }
}
