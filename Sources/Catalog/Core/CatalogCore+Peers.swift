import Platform

/// Inputs from peers: other nodes with a stream to this one, whose names their certificates proved.
extension CatalogCore {
    /// A stream to `peer` is up (or was replaced by another): says what is known here. The peer does the same.
    package mutating func connected(_ peer: String, _ now: MonotonicTime) {
        peers[peer] = Peer(
            patience: TokenBucket(burst: limits.refusalsPerPeer, now: now), questions: TokenBucket(burst: limits.questionBurst, now: now))
        var standing = standings[peer] ?? Standing(liveness: nil, since: now)
        standing.stale = false
        standings[peer] = standing
        updateReach(peer, now)
        // What an earlier stream was asked for does not come any more.
        forgetAsking(peer)
        sendOverview(to: peer, asks: false)
        if let log = logs[peer], !log.keptBack.isEmpty { request([peer: .none], of: peer, now, again: true) }
    }

    package mutating func disconnected(_ peer: String, _ now: MonotonicTime) {
        guard peers.removeValue(forKey: peer) != nil else { return }
        if standings[peer]?.liveness == nil { standings[peer]?.since = now }
        updateReach(peer, now)
        // What it was asked for, another may have.
        if forgetAsking(peer), let other = peers.keys.min() { differing.insert(other) }
        compareNext(now)
    }

    package var connectedPeers: [String] { peers.keys.sorted() }

    /// Compares with one peer, at every interval.
    /// - Parameter random: any number; it chooses the peer.
    package mutating func exchange(_ now: MonotonicTime, random: UInt64) {
        guard !peers.isEmpty else { return }
        let names = peers.keys.sorted()
        sendOverview(to: names[Int(random % UInt64(names.count))], asks: true)
    }

    package mutating func received(_ message: CatalogMessage, from peer: String, _ now: MonotonicTime) {
        guard peers[peer] != nil else { return }
        switch message {
        case .hello: break
        case .overview(let overview):
            guard mayAsk(peer, now) else { return }
            receivedOverview(overview, from: peer, now)
        case .parts(let parts):
            guard mayAsk(peer, now) else { return }
            receivedParts(parts, from: peer, now)
        case .digest(let theirs, let parts):
            // One of no parts is never answered with more than it names.
            guard parts == .none || mayAsk(peer, now) else { return }
            receivedDigest(theirs, parts: parts, from: peer, now)
        case .want(let wanted): receivedWant(wanted, from: peer, now)
        case .delta(let deltas):
            for delta in deltas { receivedDelta(delta, from: peer, now) }
        }
        compareNext(now)
    }

    /// Something arrived that could not even be read.
    package mutating func receivedMalformed(_ reason: String, from peer: String, _ now: MonotonicTime) {
        refuse(.malformed(reason), origin: peer, peer: peer, now)
    }

    /// Asks `peer`, unless somebody else has been asked and may still answer.
    mutating func request(_ lacking: [String: Position], of peer: String, _ now: MonotonicTime, again: Bool) {
        let wanted = lacking.filter { origin, _ in again || requests[origin].map { isOverdue($0, now) } ?? true }
        guard !wanted.isEmpty else { return }
        for origin in wanted.keys { requests[origin] = Request(peer: peer, asked: now) }
        counters.requestsSent += 1
        effects.append(.send(.want(wanted), to: peer))
    }

    /// A peer that still answers has more time, since it may have been asked for much.
    func isOverdue(_ request: Request, _ now: MonotonicTime) -> Bool {
        let heard = max(request.asked, peers[request.peer]?.answered ?? request.asked)
        return now - heard >= limits.requestTimeout || now - request.asked >= limits.longestRequest
    }

    /// `origin` is here as far as `peer` has it.
    mutating func answered(_ origin: String, by peer: String, _ now: MonotonicTime) {
        guard requests[origin]?.peer == peer else { return }
        requests[origin] = nil
        peers[peer]?.answered = now
        peers[peer]?.owes = false
    }

    // MARK: Private

    /// True when something was asked of it.
    @discardableResult
    private mutating func forgetAsking(_ peer: String) -> Bool {
        let lost = requests.filter { $0.value.peer == peer }.map(\.key)
        for origin in lost { requests[origin] = nil }
        differing.remove(peer)
        let wasCompared = comparing?.peer == peer
        if wasCompared { comparing = nil }
        return wasCompared || !lost.isEmpty
    }

    private mutating func mayAsk(_ peer: String, _ now: MonotonicTime) -> Bool {
        if peers[peer]?.questions.take(1, rate: limits.questionRate, burst: limits.questionBurst, now: now) == true { return true }
        counters.questionsIgnored += 1
        return false
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
