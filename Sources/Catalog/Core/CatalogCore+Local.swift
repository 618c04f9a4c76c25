import MeshModel
import Platform

/// Inputs from this node: its own records.
extension CatalogCore {
    /// Writes a record of this node. It counts for local routing at once, and for others with the next `commit`.
    ///
    /// Throws when other nodes would refuse it. Writing what is already there does nothing.
    package mutating func put(_ key: RecordKey, payload: [UInt8]) throws(Refusal) {
        let content = try RecordContent.read(key, payload, origin: node, trustDomain: trustDomain, limits: limits)
        if let waiting = pending[key] {
            if waiting == payload { return }
        } else if own?.records[key]?.payload == payload {
            return
        }
        let old = own?.records[key]
        if old == nil, pending[key] == nil {
            let count = (own?.records.count ?? 0) + pending.count
            if count >= limits.recordsPerOrigin { throw .tooManyRecords(limit: limits.recordsPerOrigin) }
        }
        let waiting = pending.values.reduce(0) { $0 + ($1?.count ?? 0) + 256 }
        if (own?.cost ?? 0) - (old?.cost ?? 0) + waiting + payload.count + 256 > limits.bytesPerOrigin {
            throw .originTooLarge(limit: limits.bytesPerOrigin)
        }
        pending[key] = .some(payload)
        if index.set(key, of: node, to: content) { viewChanged() }
    }

    /// Deletes a record of this node; false when there is none.
    @discardableResult
    package mutating func delete(_ key: RecordKey) -> Bool {
        let isLive = pending[key].map { $0 != nil } ?? (own?.records[key] != nil)
        guard isLive else { return false }
        if own?.records[key] == nil { pending[key] = nil } else { pending[key] = .some(nil) }
        if index.set(key, of: node, to: nil) { viewChanged() }
        return true
    }

    /// The content of a record of this node, committed or not.
    package func ownPayload(_ key: RecordKey) -> [UInt8]? {
        if let waiting = pending[key] { return waiting }
        return own?.records[key]?.payload
    }

    /// There is something to commit.
    package var isDirty: Bool { !pending.isEmpty }

    /// Signs what changed and sends it to every connected peer. With nothing to commit it does nothing; without a certificate the changes stay.
    package mutating func commit(_ now: MonotonicTime) {
        guard !pending.isEmpty else { return }
        sign(now)
    }

    /// Signs everything again, after the node's certificate changed: others must be able to verify it until the new one ends.
    package mutating func resign(_ now: MonotonicTime) {
        guard own != nil || !pending.isEmpty else { return }
        sign(now)
    }

    private mutating func sign(_ now: MonotonicTime) {
        let before = own?.position ?? Position(generation: generation, version: 0)
        var version = before.generation == generation ? before.version : 0
        var log = own ?? OriginLog(empty: emptyHead(Position(generation: generation, version: 0)))
        for (key, payload) in pending.sorted(by: { $0.key < $1.key }) {
            version += 1
            if let payload {
                log.put(Record(key: key, version: version, payload: payload, digest: authority.digest(key: key, version: version, payload: payload)))
            } else {
                log.delete(key, version: version, expires: now + limits.tombstoneLife)
            }
        }
        if pending.isEmpty { version += 1 }
        log.trimTombstones(limits.tombstonesPerOrigin)
        let position = Position(generation: generation, version: version)
        let root = log.root(authority)
        guard let (chain, signature) = authority.sign(SignedHead.signedBytes(origin: node, position: position, root: root)) else {
            if !isUnsigned { effects.append(.event(.cannotSign)) }
            isUnsigned = true
            return
        }
        isUnsigned = false
        log.sign(SignedHead(origin: node, position: position, root: root, chain: chain, signature: signature))
        own = log
        positions[node] = position
        pending = [:]
        guard !peers.isEmpty, let delta = log.delta(after: before) else { return }
        counters.deltasSent += UInt64(peers.count)
        effects.append(.broadcast(.delta([delta])))
    }

    /// Starts a new generation above `seen`, with all records.
    mutating func jump(above seen: UInt64, _ now: MonotonicTime) {
        if let last = lastJump, now - last < limits.jumpInterval { return }
        lastJump = now
        counters.generationJumps += 1
        generation = Generation.after(seen, salt: generation)
        effects.append(.event(.generationJumped(from: seen, to: generation)))
        effects.append(.saveGeneration(generation))
        let waiting = pending
        pending = [:]
        for (key, record) in own?.records ?? [:] { pending[key] = record.payload.map { .some($0) } }
        for (key, payload) in waiting { pending[key] = payload == nil ? nil : .some(payload) }
        own = nil
        positions[node] = nil
        sign(now)
    }

    private func emptyHead(_ position: Position) -> SignedHead {
        SignedHead(origin: node, position: position, root: authority.digest([]), chain: [], signature: [])
    }
}
