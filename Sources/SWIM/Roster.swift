import Platform

/// What the core holds of a member.
struct Record: Hashable, Sendable {
    var member: Member
    var suspicion: Suspicion?
    /// When it was last probed out of turn.
    var checked: MonotonicTime?
    /// Another address that claims the name.
    var claim: Claim?
}

/// The members, and the order in which they are probed.
///
/// Nothing here depends on the order of a hash table: the same events give the same run.
struct Roster: Sendable {
    private var records: [Record?] = []
    private var free: [Int] = []
    private var slots: [String: Int] = [:]
    /// Slots in probe order; every member is probed once before any is probed twice.
    private(set) var order: [Int] = []
    private var cursor = 0
    /// How many are alive or suspected.
    private(set) var live = 0
    /// The cost of all members; see `SWIMLimits.rosterBytes`.
    private(set) var bytes = 0

    /// The most bytes that a member takes in an exchange: its line, and its name twice in Serf's state.
    static func cost(name: String, meta: [UInt8]) -> Int { 3 * name.utf8.count + meta.count + 112 }
    private static func cost(_ member: Member) -> Int { cost(name: member.name, meta: member.meta) }

    var count: Int { order.count }

    func slot(of name: String) -> Int? { slots[name] }

    subscript(name: String) -> Record? { slots[name].flatMap { records[$0] } }

    /// What decides whether a claim is news, without what must be counted when it is copied: most claims are none.
    struct Brief {
        var state: MemberState
        var incarnation: UInt32
        var address: SocketAddress
        var since: MonotonicTime
        var versions: ProtocolVersions
    }
    /// Of a slot that is in use.
    func brief(_ slot: Int) -> Brief {
        guard let brief = briefIfUsed(slot) else { preconditionFailure("no member in slot \(slot)") }
        return brief
    }
    private func briefIfUsed(_ slot: Int) -> Brief? {
        guard let state = records[slot]?.member.state, let incarnation = records[slot]?.member.incarnation, let address = records[slot]?.member.address,
            let since = records[slot]?.member.since, let versions = records[slot]?.member.versions
        else { return nil }
        return Brief(state: state, incarnation: incarnation, address: address, since: since, versions: versions)
    }

    /// A slot that is in use.
    subscript(slot: Int) -> Record {
        get {
            guard let record = records[slot] else { preconditionFailure("no member in slot \(slot)") }
            return record
        }
        set {
            live += (newValue.member.state.isLive ? 1 : 0) - (self[slot].member.state.isLive ? 1 : 0)
            bytes += Self.cost(newValue.member) - Self.cost(self[slot].member)
            records[slot] = newValue
        }
    }

    /// Every member, in the order of their slots.
    var all: [Member] { records.compactMap { $0?.member } }

    /// A line of a push/pull; of a slot that is in use.
    func state(_ slot: Int) -> NodeState {
        guard let member = records[slot]?.member else { preconditionFailure("no member in slot \(slot)") }
        return NodeState(
            name: member.name, address: member.address, incarnation: member.incarnation, meta: member.meta, state: member.state, versions: member.versions)
    }

    /// Every member in the same order, in brief.
    func forEach(_ body: (_ slot: Int, Brief) -> Void) {
        for slot in records.indices {
            if let brief = briefIfUsed(slot) { body(slot, brief) }
        }
    }

    /// At a random place of the probe order, as SWIM demands, so that a newcomer is probed within one round on average.
    @discardableResult
    mutating func insert(_ member: Member, _ random: inout SWIMRandom) -> Int {
        let slot = free.popLast() ?? records.count
        if slot == records.count { records.append(nil) }
        records[slot] = Record(member: member)
        slots[member.name] = slot
        let place = Int.random(in: 0...order.count, using: &random)
        order.insert(slot, at: place)
        if place < cursor { cursor += 1 }
        if member.state.isLive { live += 1 }
        bytes += Self.cost(member)
        return slot
    }

    mutating func remove(_ name: String) {
        guard let slot = slots.removeValue(forKey: name), let place = order.firstIndex(of: slot) else { return }
        if self[slot].member.state.isLive { live -= 1 }
        bytes -= Self.cost(self[slot].member)
        order.remove(at: place)
        if place < cursor { cursor -= 1 }
        records[slot] = nil
        free.append(slot)
    }

    /// The next live member in the order, ourselves excepted; shuffles at the end of each round. Nil when there is none.
    mutating func nextToProbe(except own: String, _ random: inout SWIMRandom) -> Int? {
        for _ in 0...order.count {
            if cursor >= order.count {
                order.shuffle(using: &random)
                cursor = 0
            }
            guard cursor < order.count else { return nil }
            let slot = order[cursor]
            cursor += 1
            if brief(slot).state.isLive, self[slot].member.name != own { return slot }
        }
        return nil
    }

    /// Up to `count` different members that fit, at random.
    func pick(_ count: Int, _ random: inout SWIMRandom, where fits: (Member) -> Bool) -> [Member] {
        guard count > 0, !order.isEmpty else { return [] }
        var picked: [Member] = []
        // A few blind draws find them in a big healthy pool; a scan of what is left is certain.
        var tried: Set<Int> = []
        for _ in 0..<(3 * count) where picked.count < count {
            let slot = order[Int.random(in: 0..<order.count, using: &random)]
            if tried.insert(slot).inserted, fits(self[slot].member) { picked.append(self[slot].member) }
        }
        guard picked.count < count else { return picked }
        var rest = order.filter { !tried.contains($0) && fits(self[$0].member) }
        while picked.count < count, !rest.isEmpty {
            let index = Int.random(in: 0..<rest.count, using: &random)
            picked.append(self[rest[index]].member)
            rest.swapAt(index, rest.count - 1)
            rest.removeLast()
        }
        return picked
    }
}
