import MeshModel
import Platform

/// Inputs from peers: other nodes with a stream to this one, whose names their certificates proved.
extension ResourceCore {
    package mutating func connected(_ peer: String, _ now: Moment) {
        disconnected(peer)
        peers[peer] = Peer(
            since: now.monotonic, patience: TokenBucket(burst: 100, now: now.monotonic),
            faults: TokenBucket(burst: limits.faultsPerPeer, now: now.monotonic))
        effects.append(.send(.parts(digest.values, isSettled: isSettled), to: peer))
    }

    package mutating func disconnected(_ peer: String) {
        guard let gone = peers.removeValue(forKey: peer) else { return }
        for key in gone.asked.union(gone.wanted) where asked[key] == peer { asked[key] = nil }
    }

    /// Compares with one peer, at every interval.
    /// - Parameter random: any number; it chooses the peer.
    package mutating func exchange(random: UInt64) {
        guard !peers.isEmpty else { return }
        let names = peers.keys.sorted()
        effects.append(.send(.summary(digest: digest.whole, isSettled: isSettled), to: names[Int(random % UInt64(names.count))]))
    }

    /// Bounds that end by themselves. Call about once a second.
    package mutating func tick(_ now: Moment) {
        expire(now)
        refused = refused.filter { $0.value.expires > now.monotonic }
        for (name, peer) in peers {
            guard let deadline = peer.deadline, deadline <= now.monotonic else { continue }
            // What it did not give, another may have.
            for key in peer.asked.union(peer.wanted) where asked[key] == name { asked[key] = nil }
            peers[name]?.asked = []
            peers[name]?.wanted = []
            peers[name]?.deadline = nil
        }
        if rates.count > 1_000 { rates = [:] }
        if isSettled, let lastAgreed, isOlder(lastAgreed, now) {
            isSettled = false
            effects.append(.event(.away(days: limits.tombstoneLife.components.seconds / 86_400)))
        }
    }

    package mutating func received(_ message: ResourceMessage, from peer: String, _ now: Moment) {
        guard peers[peer] != nil else { return }
        switch message {
        case .summary, .parts, .have(_, parts: .some):
            guard peers[peer]?.patience.take(1, rate: 10, burst: 100, now: now.monotonic) == true else { return }
        case .have, .want, .writes, .gone: break
        }
        switch message {
        case .summary(let other, let isSettled):
            peers[peer]?.isSettled = isSettled
            if other == digest.whole { return agreed(with: peer, now) }
            effects.append(.send(.parts(digest.values, isSettled: self.isSettled), to: peer))
        case .parts(let other, let isSettled):
            peers[peer]?.isSettled = isSettled
            guard let parts = digest.differences(to: other) else { return }
            if parts.isEmpty { return agreed(with: peer, now) }
            let list = Set(parts)
            sendHave(entries.values.filter { list.contains($0.mark.part) }.map(\.write), parts: parts, to: peer)
        case .have(let list, let parts): compare(list, parts: parts, with: peer, now)
        case .want(let keys): give(keys, to: peer)
        case .writes(let writes): take(writes, from: peer, now)
        case .gone(let list): gone(list, says: peer, now)
        }
    }

    /// Something came that cannot be read at all.
    package mutating func receivedMalformed(_ reason: ResourceRefusal, from peer: String, _ now: Moment) {
        guard peers[peer] != nil else { return }
        counters.refused[reason.code, default: 0] += 1
        tell(.unreadable(reason, peer: peer), now)
        blame(peer, now)
    }

    // MARK: Private

    /// A peer that checks what it receives, and says what can be read, is never blamed.
    private mutating func blame(_ peer: String, _ now: Moment) {
        if peers[peer]?.faults.take(1, rate: 0.1, burst: limits.faultsPerPeer, now: now.monotonic) == false { effects.append(.disconnect(peer)) }
    }

    private mutating func agreed(with peer: String, _ now: Moment) {
        guard let other = peers[peer] else { return }
        if !isSettled, !other.isSettled {
            // All were away, or the mesh is new.
            let isAlone = !peers.values.contains { $0.isSettled }
            guard isAlone, now.monotonic - other.since >= limits.settling else { return }
        }
        isSettled = true
        lastAgreed = now.wall
        if let told = agreedTold, now.monotonic - told < .seconds(600) { return }
        agreedTold = now.monotonic
        effects.append(.agreed)
    }

    private mutating func compare(_ list: [KnownResource], parts: [Int]?, with peer: String, _ now: Moment) {
        guard list.count <= limits.resources, parts?.count ?? 0 <= SetDigest.parts else { return }
        var newer: [ResourceWrite] = []
        var gone: [KnownResource] = []
        for item in list {
            if let own = entries[item.key]?.write {
                if own.version < item.version { want(item, of: peer) } else if own.version > item.version { newer.append(own) }
            } else if isSettled, isOlder(item.version.time.wall, now) {
                gone.append(item)
            } else {
                want(item, of: peer)
            }
        }
        if let parts {
            let (theirs, named) = (Set(list.map(\.key)), Set(parts))
            newer += entries.values.filter { named.contains($0.mark.part) && !theirs.contains($0.write.key) }.map(\.write)
            sendHave(newer, parts: nil, to: peer)
        }
        for start in stride(from: 0, to: gone.count, by: 1_000) {
            effects.append(.send(.gone(Array(gone[start..<min(gone.count, start + 1_000)])), to: peer))
        }
        askNext(peer, now)
    }

    private mutating func sendHave(_ writes: [ResourceWrite], parts: [Int]?, to peer: String) {
        // An answer without news needs no message; a comparison does, since the other side may have some.
        guard !writes.isEmpty || parts != nil else { return }
        effects.append(.send(.have(writes.map { KnownResource(key: $0.key, version: $0.version) }, parts: parts), to: peer))
    }

    private mutating func want(_ item: KnownResource, of peer: String) {
        if asked[item.key] != nil { return }
        if let refused = refused[item.key], refused.version == item.version { return }
        asked[item.key] = peer
        peers[peer]?.wanted.append(item.key)
    }

    private mutating func askNext(_ peer: String, _ now: Moment) {
        guard let state = peers[peer], state.asked.isEmpty, !state.wanted.isEmpty else { return }
        let keys = Array(state.wanted.prefix(limits.wantedAtOnce))
        peers[peer]?.wanted.removeFirst(keys.count)
        peers[peer]?.asked = Set(keys)
        peers[peer]?.deadline = now.monotonic + limits.wantTimeout
        effects.append(.send(.want(keys), to: peer))
    }

    private mutating func give(_ keys: [ResourceKey], to peer: String) {
        var batch: [ResourceWrite] = []
        var cost = 0
        for key in keys.prefix(limits.wantedAtOnce) {
            guard let write = entries[key]?.write else { continue }
            if cost + write.cost > limits.messageBytes, !batch.isEmpty {
                effects.append(.send(.writes(batch), to: peer))
                (batch, cost) = ([], 0)
            }
            batch.append(write)
            cost += write.cost
        }
        if !batch.isEmpty { effects.append(.send(.writes(batch), to: peer)) }
    }

    private mutating func take(_ writes: [ResourceWrite], from peer: String, _ now: Moment) {
        var fresh: [KnownResource] = []
        for write in writes.prefix(limits.resources) {
            peers[peer]?.asked.remove(write.key)
            if asked[write.key] == peer { asked[write.key] = nil }
            guard write.version > entries[write.key]?.write.version ?? .init(time: .zero, author: "") else { continue }
            do throws(ResourceRefusal) {
                try check(write, now)
            } catch {
                refuse(write, error, from: peer, now)
                continue
            }
            if let own = entries[write.key]?.write, own.version != write.replaces, write.replaces.map({ $0 < own.version }) ?? !own.isDeletion {
                counters.concurrent += 1
                tell(.concurrent(write.key, winner: write.version, loser: own.version), now)
            }
            put(write)
            counters.taken += 1
            tell(.written(write.key, write.version, isDeletion: write.isDeletion), now)
            // What is old was missed here, not by everybody.
            if !isOld(write.version, now) { fresh.append(KnownResource(key: write.key, version: write.version)) }
        }
        if !fresh.isEmpty { effects.append(.spread(.have(fresh, parts: nil), except: peer)) }
        if peers[peer]?.asked.isEmpty == true { peers[peer]?.deadline = nil }
        askNext(peer, now)
    }

    private mutating func check(_ write: ResourceWrite, _ now: Moment) throws(ResourceRefusal) {
        try bounds(write, now)
        if entries[write.key] == nil, isSettled, isOlder(write.version.time.wall, now) { throw .tooOld }
        try verify(write)
        var rate = rates[write.version.author] ?? TokenBucket(burst: limits.burstPerAuthor, now: now.monotonic)
        let isFree = rate.take(1, rate: limits.ratePerAuthor, burst: limits.burstPerAuthor, now: now.monotonic)
        rates[write.version.author] = rate
        guard isFree else { throw .tooFast(limit: limits.ratePerAuthor) }
    }

    private mutating func refuse(_ write: ResourceWrite, _ reason: ResourceRefusal, from peer: String, _ now: Moment) {
        counters.refused[reason.code, default: 0] += 1
        tell(.refused(reason, write.key, write.version, peer: peer), now)
        if refused.count >= limits.refusalsRemembered, refused[write.key] == nil {
            guard let oldest = refused.min(by: { $0.value.expires < $1.value.expires })?.key else { return }
            refused[oldest] = nil
        }
        if reason.blamesRelay { blame(peer, now) }
        let wait = reason.isPassing ? Duration.seconds(5) : limits.refusedLife
        refused[write.key] = Refused(version: write.version, reason: reason, expires: now.monotonic + wait)
    }

    /// Written longer ago than news take to reach everybody.
    private func isOld(_ version: ResourceVersion, _ now: Moment) -> Bool { version.time.milliseconds + 60_000 < now.wall.milliseconds }

    private mutating func gone(_ list: [KnownResource], says peer: String, _ now: Moment) {
        guard peers[peer]?.isSettled == true else { return }
        for item in list.prefix(limits.resources) {
            guard let own = entries[item.key]?.write, own.version == item.version, isOlder(own.version.time.wall, now) else { continue }
            guard !isSettled else {
                tell(.apart(item.key, item.version, peer: peer), now)
                continue
            }
            remove(item.key)
            counters.dropped += 1
            tell(.dropped(item.key, item.version, peer: peer), now)
        }
    }
}
