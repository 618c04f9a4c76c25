import MeshModel
import Platform

/// What peers say about origins: verified, applied whole or not at all, checked record by record.
extension CatalogCore {
    mutating func receivedDelta(_ delta: OriginDelta, from peer: String, _ now: MonotonicTime) {
        counters.deltasReceived += 1
        let origin = delta.origin
        guard origin != node else { return receivedOwn(delta, from: peer, now) }
        let known = logs[origin]
        if let known, delta.position <= known.position {
            let fillsIn = delta.position == known.position && delta.from == nil && !known.keptBack.isEmpty && peer == origin
            if !fillsIn {
                counters.deltasKnown += 1
                answered(origin, by: peer, now)
                return
            }
        }
        if let gone = forgotten[origin], delta.position <= gone.position {
            counters.deltasKnown += 1
            return
        }
        if let from = delta.from, known?.position.generation != delta.position.generation || known.map({ $0.position.version < from }) != false {
            // Something in between was lost, or this is the first that is heard of it.
            return request([origin: known?.position ?? .none], of: peer, now, again: false)
        }
        answered(origin, by: peer, now)
        do throws(Refusal) {
            try bounds(delta, known: known)
            try verify(delta)
            var rate = rates[origin] ?? TokenBucket(burst: limits.burstPerOrigin, now: now)
            let fresh = rate.take(
                Double(1 + delta.records.count + delta.tombstones.count), rate: limits.ratePerOrigin, burst: limits.burstPerOrigin, now: now)
            rates[origin] = rate
            if !fresh { throw .tooFast(limit: limits.ratePerOrigin) }
        } catch {
            return refuse(delta, error, peer: peer, now)
        }
        switch OriginLog.applying(delta, to: known, now: now, limits: limits, authority: authority) {
        case .applied(let log, let changed): accept(log, changed: changed, before: known, peer: peer, stale: false, now)
        case .refused(.incomplete) where delta.from != nil:
            // Two lives of the origin had the same generation, because it lost its state within a second, or the peer lies: the whole set settles it.
            counters.resyncs += 1
            request([origin: .none], of: peer, now, again: true)
        case .refused(let reason): refuse(delta, reason, peer: peer, now)
        }
    }

    /// Takes up what was on disk, before any peer is connected. It is verified like anything else, and stale until somebody confirms it.
    package mutating func restore(_ deltas: [OriginDelta], _ now: MonotonicTime) {
        for delta in deltas where delta.origin != node && delta.from == nil && logs[delta.origin] == nil {
            do throws(Refusal) {
                try bounds(delta, known: nil)
                try verify(delta)
                switch OriginLog.applying(delta, to: nil, now: now, limits: limits, authority: authority) {
                case .applied(let log, let changed): accept(log, changed: changed, before: nil, peer: "disk", stale: true, now)
                case .refused(let reason): throw reason
                }
            } catch {
                refuse(error, origin: delta.origin, peer: "disk", now)
            }
        }
    }

    // MARK: Private

    private mutating func refuse(_ delta: OriginDelta, _ reason: Refusal, peer: String, _ now: MonotonicTime) {
        // It would give the same again; what another has may be better.
        refusedHeads[.init(origin: delta.origin, peer: peer)] = RefusedHead(position: delta.position, expires: now + limits.refusedLife)
        refuse(reason, origin: delta.origin, peer: peer, now)
    }

    private func bounds(_ delta: OriginDelta, known: OriginLog?) throws(Refusal) {
        guard SPIFFEID.isSegment(delta.origin), delta.origin.utf8.count <= 253 else { throw .badOrigin(String(delta.origin.prefix(64))) }
        if known == nil, logs.count >= limits.origins { throw .tooManyOrigins(limit: limits.origins) }
        if delta.position.generation == 0 { throw .badVersion("generation 0") }
        if delta.tombstones.count > limits.tombstonesPerOrigin || delta.records.count > limits.recordsPerOrigin {
            throw .tooManyRecords(limit: limits.recordsPerOrigin)
        }
        let longest = max(delta.records.lazy.map { $0.key.cost }.max() ?? 0, delta.tombstones.lazy.map { $0.key.cost }.max() ?? 0)
        if longest > limits.bytesPerKey { throw .malformed("a name of \(longest) bytes") }
        if delta.cost > limits.bytesPerOrigin * 2 { throw .originTooLarge(limit: limits.bytesPerOrigin) }
    }

    private func verify(_ delta: OriginDelta) throws(Refusal) {
        let head = delta.head
        do throws(SignatureFault) {
            let bytes = SignedHead.signedBytes(origin: head.origin, position: head.position, root: head.root)
            try authority.verify(bytes, head.signature, head.chain, head.origin)
        } catch {
            switch error {
            case .invalid(let text): throw .badSignature(text)
            case .otherSigner(let text): throw .notSigner(text)
            }
        }
    }

    private mutating func accept(
        _ accepted: OriginLog, changed: [RecordKey], before: OriginLog?, peer: String, stale: Bool, _ now: MonotonicTime
    ) {
        var log = accepted
        let origin = log.head.origin
        counters.deltasApplied += 1
        var visible = false
        for key in changed.sorted() {
            let record = log.records[key]
            var content: RecordContent?
            if let record {
                // What it says was read already: a node that starts again signs the same under new versions.
                if let old = before?.records[key], old == record || old.payload != nil && old.payload == record.payload { continue }
                if let payload = record.payload {
                    do throws(Refusal) {
                        content = try RecordContent.read(key, payload, origin: origin, trustDomain: trustDomain, limits: limits)
                    } catch {
                        log.withhold(key)
                        refuse(error, origin: origin, peer: peer, now)
                    }
                } else {
                    counters.withheld += 1
                }
            }
            if index.set(key, of: origin, to: content) { visible = true }
        }
        if log.tombstones.isEmpty { withTombstones.remove(origin) } else { withTombstones.insert(origin) }
        logs[origin] = log
        positions[origin] = log.position
        forgotten[origin] = nil
        if before == nil { effects.append(.event(.nodeAppeared(origin))) }
        var standing = standings[origin] ?? Standing(liveness: nil, since: now)
        if standing.liveness == nil { standing.since = now }
        standing.stale = stale
        standings[origin] = standing
        updateReach(origin, now)
        if visible || before == nil { viewChanged() }
        if !stale { effects.append(.save(origin)) }
        if !log.keptBack.isEmpty, peer != origin, peers[origin] != nil { request([origin: .none], of: origin, now, again: true) }
    }

    /// A peer has something that this node is said to have signed. What it signed in this life is known here; anything further is from another life.
    private mutating func receivedOwn(_ delta: OriginDelta, from peer: String, _ now: MonotonicTime) {
        requests[node] = nil
        guard delta.position > own?.position ?? Position(generation: generation, version: 0) else { return counters.deltasKnown += 1 }
        do throws(Refusal) {
            try verify(delta)
            // Leaves room for jumps to come.
            if delta.position.generation > 1 << 62 { throw .badVersion("generation \(delta.position.generation)") }
        } catch {
            return refuse(error, origin: node, peer: peer, now)
        }
        jump(above: delta.position.generation, now)
    }
}
