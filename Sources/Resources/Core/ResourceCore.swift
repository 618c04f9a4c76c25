import MeshModel
import Platform

/// The resources of the mesh on one node, as a pure machine.
///
/// Overview: every node keeps all of them. Who writes one signs it with a certificate that the authority marked for it, and everybody checks signature and
/// mark before storing or passing on. Of two writings of one resource the later one stays, by hybrid logical clocks.
/// Function: `write` is the local input; `connected`, `received`, `exchange` and `tick` keep it the same as on other nodes. Deletions are writings without
/// content, remembered for `tombstoneLife`. A node that was away for longer is not settled: what it alone knows may have been deleted, and it drops what a
/// settled one does not know.
/// Implementation: inputs append to `effects`; time comes in, nothing is read from the world. What a document means is not its business.
package struct ResourceCore: Sendable {
    package let node: String
    package let limits: ResourceLimits
    package internal(set) var counters = ResourceCounters()
    /// What the shell has to do; it takes and clears them after each input.
    package var effects: [ResourceEffect] = []
    /// It was with the others within `tombstoneLife`, and knows what was deleted since.
    package internal(set) var isSettled = false
    /// When it last agreed with a settled node.
    package internal(set) var lastAgreed: WallTime?

    let authority: ResourceAuthority
    var entries: [ResourceKey: Entry] = [:]
    var digest = SetDigest()
    var bytes = 0
    /// Later than every version seen.
    var clock = HybridTime.zero
    var peers: [String: Peer] = [:]
    /// Keys that are asked for, and of whom.
    var asked: [ResourceKey: String] = [:]
    var refused: [ResourceKey: Refused] = [:]
    var rates: [String: TokenBucket] = [:]
    var eventBudget: TokenBucket?
    var agreedTold: MonotonicTime?

    struct Entry: Sendable {
        var write: ResourceWrite
        var mark: SetDigest.Mark
    }
    struct Peer: Sendable {
        var since: MonotonicTime
        var isSettled = false
        /// Of comparisons, and of writings that it should not have passed on.
        var patience: TokenBucket
        var faults: TokenBucket
        /// What it has and is to be asked for, and what it was asked for.
        var wanted: [ResourceKey] = []
        var asked: Set<ResourceKey> = []
        var deadline: MonotonicTime?
    }
    struct Refused: Sendable {
        var version: ResourceVersion
        var reason: ResourceRefusal
        var expires: MonotonicTime
    }

    package init(node: String, limits: ResourceLimits, authority: ResourceAuthority) {
        self.node = node
        self.limits = limits
        self.authority = authority
    }

    // MARK: Asking

    /// The resources, deletions that are remembered included.
    package var writes: [ResourceWrite] { entries.values.map(\.write).sorted { $0.key < $1.key } }
    package func write(of key: ResourceKey) -> ResourceWrite? { entries[key]?.write }
    /// The version that is there; nil when there is none or it was deleted.
    package func version(of key: ResourceKey) -> ResourceVersion? { entries[key].flatMap { $0.write.isDeletion ? nil : $0.write.version } }
    package var digestOfAll: UInt64 { digest.whole }
    package var count: Int { entries.count }
    package var storedBytes: Int { bytes }
    package var connectedPeers: [String] { peers.keys.sorted() }

    /// Why a newer writing than the one that is there was not taken.
    package func refusal(of key: ResourceKey) -> (version: ResourceVersion, reason: ResourceRefusal)? {
        guard let refused = refused[key], refused.version > entries[key]?.write.version ?? .init(time: .zero, author: "") else { return nil }
        return (refused.version, refused.reason)
    }

    /// How many entries its tables have beside the resources themselves.
    package var tableEntries: Int {
        asked.count + refused.count + rates.count + peers.count + peers.values.reduce(0) { $0 + $1.wanted.count + $1.asked.count }
    }

    // MARK: Local inputs

    /// What a writer knows of the state that it replaces.
    package enum Expectation: Hashable, Sendable {
        case anything
        case nothing
        case version(ResourceVersion)
    }

    /// Whether `write` would not be refused for the state that is there or for lack of a right.
    package func mayWrite(_ key: ResourceKey, expecting: Expectation) throws(ResourceRefusal) {
        let known = version(of: key)
        switch expecting {
        case .anything: break
        case .nothing: if known != nil { throw .conflict(now: known) }
        case .version(let version): if known != version { throw .conflict(now: known) }
        }
        guard authority.ownRights().allow(namespace: key.namespace) else { throw .noRight(author: node, namespace: key.namespace) }
    }

    /// Writes a resource, or deletes it with nil, and tells every connected peer.
    ///
    /// Returns the version that is there afterwards. Writing what is there already changes nothing, and neither does deleting what is not there.
    package mutating func write(
        _ key: ResourceKey, payload: [UInt8]?, expecting: Expectation, _ now: Moment
    ) throws(ResourceRefusal) -> ResourceVersion? {
        try mayWrite(key, expecting: expecting)
        let known = version(of: key)
        if payload == nil ? known == nil : entries[key]?.write.payload == payload { return known }
        let version = ResourceVersion(time: clock.next(now.wall), author: node)
        guard
            let (certificate, signature) = authority.sign(
                ResourceWrite.signedBytes(key: key, version: version, payload: payload, replaces: known))
        else { throw .cannotSign }
        let write = ResourceWrite(key: key, version: version, payload: payload, replaces: known, certificate: certificate, signature: signature)
        try bounds(write, now)
        put(write)
        if !peers.isEmpty { effects.append(.broadcast(.writes([write]))) }
        effects.append(.event(.written(key, version, isDeletion: payload == nil)))
        return version
    }

    /// Takes up what was on disk, before any peer is connected. It is verified like anything else: the disk may be of another mesh.
    ///
    /// - Parameter lastAgreed: when the node last agreed with a settled one; nil when it never did.
    package mutating func restore(_ writes: [ResourceWrite], lastAgreed: WallTime?, _ now: Moment) {
        for write in writes where (entries[write.key]?.write.version ?? .init(time: .zero, author: "")) < write.version {
            do throws(ResourceRefusal) {
                try verify(write)
                put(write)
            } catch {
                counters.refused[error.code, default: 0] += 1
                tell(.refused(error, write.key, write.version, peer: "disk"), now)
            }
        }
        // Nothing of it has to be written again.
        effects = effects.filter { if case .event = $0 { true } else { false } }
        self.lastAgreed = lastAgreed
        isSettled = lastAgreed.map { !isOlder($0, now) } ?? false
        expire(now)
    }

    // MARK: Shared by the inputs

    /// Whether a time is further back than deletions are remembered.
    func isOlder(_ time: WallTime, _ now: Moment) -> Bool {
        time.milliseconds + UInt64(limits.tombstoneLife.milliseconds) < now.wall.milliseconds
    }

    mutating func put(_ write: ResourceWrite) {
        if let old = entries[write.key] {
            digest.toggle(old.mark)
            bytes -= old.write.cost
        }
        let mark = SetDigest.Mark(write.key.path, state: Array("\(write.key.path) \(write.version)".utf8), sha256: authority.sha256)
        entries[write.key] = Entry(write: write, mark: mark)
        digest.toggle(mark)
        bytes += write.cost
        clock = max(clock, write.version.time)
        refused[write.key] = nil
        effects.append(.changed(write.key))
    }

    mutating func remove(_ key: ResourceKey) {
        guard let old = entries.removeValue(forKey: key) else { return }
        digest.toggle(old.mark)
        bytes -= old.write.cost
        effects.append(.changed(key))
    }

    /// That its author signed it, with a certificate that was valid then and allowed it.
    func verify(_ write: ResourceWrite) throws(ResourceRefusal) {
        let rights = try authority.verify(write.signedBytes, write).get()
        guard rights.allow(namespace: write.key.namespace) else { throw .noRight(author: write.version.author, namespace: write.key.namespace) }
    }

    func bounds(_ write: ResourceWrite, _ now: Moment) throws(ResourceRefusal) {
        let size = write.payload?.count ?? 0
        guard size <= limits.bytesPerResource else { throw .tooLarge(bytes: size, limit: limits.bytesPerResource) }
        guard write.certificate.count <= 4_096, write.signature.count <= 256, SPIFFEID.isSegment(write.version.author), write.version.author.utf8.count <= 253
        else { throw .malformed("its author or signature is no such thing") }
        let (ahead, allowed) = (write.version.time.milliseconds, now.wall.milliseconds + UInt64(limits.clockAhead.milliseconds))
        guard ahead <= allowed else { throw .clockAhead(milliseconds: ahead - now.wall.milliseconds) }
        guard entries[write.key] != nil || entries.count < limits.resources else { throw .tooMany(limit: limits.resources) }
        guard bytes - (entries[write.key]?.write.cost ?? 0) + write.cost <= limits.bytes else { throw .tooManyBytes(limit: limits.bytes) }
    }

    mutating func tell(_ event: ResourceEvent, _ now: Moment) {
        var budget = eventBudget ?? TokenBucket(burst: limits.eventBurst, now: now.monotonic)
        if budget.take(1, rate: limits.eventRate, burst: limits.eventBurst, now: now.monotonic) {
            effects.append(.event(event))
        } else {
            counters.untold += 1
        }
        eventBudget = budget
    }

    mutating func expire(_ now: Moment) {
        let dead = entries.values.filter { $0.write.isDeletion && isOlder($0.write.version.time.wall, now) }.map(\.write.key)
        for key in dead { remove(key) }
    }
}
