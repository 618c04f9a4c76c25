import Platform

/// All that is known of one origin, as of one signed version.
struct OriginLog: Sendable {
    private(set) var head: SignedHead
    private(set) var records: [RecordKey: Record]
    private(set) var tombstones: [RecordKey: (version: UInt64, expires: MonotonicTime)]
    /// Below this version deletions are forgotten: who knows less gets the whole set.
    private(set) var floor: UInt64
    private(set) var cost: Int
    /// Records whose content a peer kept back, and which this node has not seen to judge itself.
    private(set) var keptBack: Set<RecordKey>

    var position: Position { head.position }

    /// What applying a delta came to.
    enum Outcome {
        case applied(OriginLog, changed: [RecordKey])
        case refused(Refusal)
    }

    /// The log before the first change of a generation.
    init(empty head: SignedHead) {
        self.head = head
        records = [:]
        tombstones = [:]
        floor = 0
        cost = 0
        keptBack = []
    }

    /// The log after `delta`, whose signature has been verified. Nothing of it counts unless the resulting set is the one that was signed.
    ///
    /// - Parameter base: what was known before; ignored when the delta replaces everything.
    static func applying(
        _ delta: OriginDelta, to base: OriginLog?, now: MonotonicTime, limits: CatalogLimits, authority: RecordAuthority
    ) -> Outcome {
        var log: OriginLog
        var changed: Set<RecordKey> = []
        if let base, let from = delta.from, base.position.generation == delta.position.generation, from <= base.position.version {
            log = base
        } else {
            log = OriginLog(empty: delta.head)
            // Deletions before this set were never seen here.
            log.floor = delta.position.version
            if let base { changed = Set(base.records.keys) }
        }
        log.head = delta.head
        for record in delta.records {
            if record.version > delta.position.version { return .refused(.badVersion("\(record.key) is newer than the signed version")) }
            let known = log.records[record.key]
            if let known, known.version > record.version || (known.version == record.version && (known.payload != nil || record.payload == nil)) {
                continue
            }
            var record = record
            // The content of the very same record is better than its digest alone.
            if record.payload == nil, let old = base?.records[record.key], old.digest == record.digest { record.payload = old.payload }
            log.put(record)
            if record.payload == nil { log.keptBack.insert(record.key) }
            changed.insert(record.key)
        }
        for tombstone in delta.tombstones where tombstone.version <= delta.position.version {
            if log.delete(tombstone.key, version: tombstone.version, expires: now + limits.tombstoneLife) { changed.insert(tombstone.key) }
        }
        log.trimTombstones(limits.tombstonesPerOrigin)
        if log.records.count > limits.recordsPerOrigin { return .refused(.tooManyRecords(limit: limits.recordsPerOrigin)) }
        if log.cost > limits.bytesPerOrigin { return .refused(.originTooLarge(limit: limits.bytesPerOrigin)) }
        guard log.root(authority) == delta.head.root else { return .refused(.incomplete) }
        return .applied(log, changed: Array(changed))
    }

    // MARK: Changing

    mutating func put(_ record: Record) {
        if let old = records.updateValue(record, forKey: record.key) { cost -= old.cost }
        cost += record.cost
        tombstones[record.key] = nil
        keptBack.remove(record.key)
    }

    /// True when the key was live until now.
    @discardableResult
    mutating func delete(_ key: RecordKey, version: UInt64, expires: MonotonicTime) -> Bool {
        if let known = records[key], known.version > version { return false }
        if let known = tombstones[key], known.version >= version { return false }
        let old = records.removeValue(forKey: key)
        if let old { cost -= old.cost }
        keptBack.remove(key)
        tombstones[key] = (version, expires)
        return old != nil
    }

    /// Keeps a record's place in the signed set without its content.
    mutating func withhold(_ key: RecordKey) {
        guard var record = records[key] else { return }
        record.payload = nil
        put(record)
    }
    mutating func sign(_ head: SignedHead) { self.head = head }

    mutating func expireTombstones(_ now: MonotonicTime) {
        for (key, tombstone) in tombstones where tombstone.expires <= now {
            floor = max(floor, tombstone.version)
            tombstones[key] = nil
        }
    }

    /// Forgets the oldest when there are more than `limit`, and some more so that this is rare.
    mutating func trimTombstones(_ limit: Int) {
        guard tombstones.count > limit else { return }
        for (key, tombstone) in tombstones.sorted(by: { $0.value.version < $1.value.version }).prefix(tombstones.count - limit * 3 / 4) {
            floor = max(floor, tombstone.version)
            tombstones[key] = nil
        }
    }

    // MARK: Asking

    /// The digest of the set: SHA-256 over the digests of the live records in the order of their versions.
    func root(_ authority: RecordAuthority) -> RecordDigest {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(records.count * 32)
        for record in records.values.sorted(by: { ($0.version, $0.key) < ($1.version, $1.key) }) { record.digest.append(to: &bytes) }
        return authority.digest(bytes)
    }

    /// What somebody at `position` lacks; nil when it lacks nothing.
    func delta(after position: Position) -> OriginDelta? {
        guard position < self.position else { return nil }
        guard position.generation == self.position.generation, position.version > 0, position.version >= floor else { return whole }
        return OriginDelta(
            from: position.version, head: head,
            records: records.values.filter { $0.version > position.version }.sorted { $0.version < $1.version },
            tombstones: tombstones.filter { $0.value.version > position.version }.map { Tombstone(key: $0.key, version: $0.value.version) }
                .sorted { $0.version < $1.version })
    }
    /// Everything, for somebody who knows nothing.
    var whole: OriginDelta { OriginDelta(from: nil, head: head, records: records.values.sorted { $0.version < $1.version }, tombstones: []) }
}
