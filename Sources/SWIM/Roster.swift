import Platform

/// What the core holds of a member.
struct Record: Hashable, Sendable {
    var member: Member
    var suspicion: Suspicion?
    /// When it was last probed out of turn.
    var checked: MonotonicTime?
    /// Another address that claims the name.
    var claim: Claim?

    var cost: Int { Roster.cost(name: member.name, meta: member.meta) }
    /// An accusation would change a suspicion that is under way.
    func isNews(_ accusation: Accusation) -> Bool { suspicion?.hasRoom(for: accusation) == true }
}

/// The members, and the order in which they are probed.
///
/// Nothing here depends on the order of a hash table: the same events give the same run.
struct Roster: Sendable {
    private var records: [Record] = []
    /// Of each slot that is in use, close together: what is asked of all members is asked of these.
    private var briefs: [Brief?] = []
    /// No member that is dead or has left was so earlier.
    private var goneSince: MonotonicTime?
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

    var count: Int { order.count }

    func slot(of name: String) -> Int? { slots[name] }

    subscript(name: String) -> Record? { slots[name].map { records[$0] } }

    /// What decides whether a claim is news, apart from what must be counted when it is copied: most claims are none.
    struct Brief {
        var state: MemberState
        var incarnation: UInt32
        var address: SocketAddress
        var since: MonotonicTime
        var versions: ProtocolVersions

        fileprivate init(_ member: Member) {
            (state, incarnation, address, since, versions) = (member.state, member.incarnation, member.address, member.since, member.versions)
        }
    }
    /// Of a slot that is in use.
    func brief(_ slot: Int) -> Brief {
        guard let brief = briefs[slot] else { preconditionFailure("no member in slot \(slot)") }
        return brief
    }

    /// Of a slot that is in use. A copy, with everything that must be counted for it: what most messages ask has functions of its own.
    subscript(slot: Int) -> Record {
        get {
            precondition(briefs[slot] != nil, "no member in the slot")
            return records[slot]
        }
        set {
            uncount(slot)
            records[slot] = newValue
            count(slot)
        }
    }
    func hasClaim(_ slot: Int) -> Bool { records[slot].claim != nil }
    /// An accusation would change the suspicion that is under way.
    func isNews(_ accusation: Accusation, about slot: Int) -> Bool { records[slot].isNews(accusation) }

    /// Takes a slot's member into the sums, or out of them.
    private mutating func count(_ slot: Int) {
        let brief = Brief(records[slot].member)
        briefs[slot] = brief
        live += brief.state.isLive ? 1 : 0
        bytes += records[slot].cost
        if !brief.state.isLive { goneSince = min(goneSince ?? brief.since, brief.since) }
    }
    private mutating func uncount(_ slot: Int) {
        live -= brief(slot).state.isLive ? 1 : 0
        bytes -= records[slot].cost
    }

    /// Every member, in the order of their slots.
    var all: [Member] { briefs.indices.compactMap { briefs[$0] == nil ? nil : records[$0].member } }

    /// Those that are dead or have left for as long as `patience`.
    mutating func gone(for patience: Duration, _ now: MonotonicTime) -> [Int] {
        guard let since = goneSince, now - since >= patience else { return [] }
        goneSince = nil
        var found: [Int] = []
        for (slot, brief) in briefs.enumerated() {
            guard let brief, !brief.state.isLive else { continue }
            goneSince = min(goneSince ?? brief.since, brief.since)
            if now - brief.since >= patience { found.append(slot) }
        }
        return found
    }

    /// A line of a push/pull; of a slot that is in use.
    func state(_ slot: Int) -> NodeState {
        let member = records[slot].member
        return NodeState(
            name: member.name, address: member.address, incarnation: member.incarnation, meta: member.meta, state: member.state, versions: member.versions)
    }

    /// Every member in the same order, in brief.
    func forEach(_ body: (_ slot: Int, Brief) -> Void) {
        for (slot, brief) in briefs.enumerated() {
            if let brief { body(slot, brief) }
        }
    }

    /// At a random place of the probe order, as SWIM demands, so that a newcomer is probed within one round on average.
    @discardableResult
    mutating func insert(_ member: Member, _ random: inout SWIMRandom) -> Int {
        let slot = free.popLast() ?? records.count
        if slot == records.count {
            records.append(Record(member: member))
            briefs.append(nil)
        } else {
            records[slot] = Record(member: member)
        }
        briefs[slot] = Brief(member)
        count(slot)
        slots[member.name] = slot
        let place = Int.random(in: 0...order.count, using: &random)
        order.insert(slot, at: place)
        if place < cursor { cursor += 1 }
        return slot
    }

    /// A slot that is in use.
    mutating func remove(_ slot: Int) {
        guard let place = order.firstIndex(of: slot) else { preconditionFailure("no member in slot \(slot)") }
        uncount(slot)
        slots[records[slot].member.name] = nil
        order.remove(at: place)
        if place < cursor { cursor -= 1 }
        briefs[slot] = nil
        free.append(slot)
    }

    /// The next live member in the order, ourselves excepted; shuffles at the end of each round. Nil when there is none.
    mutating func nextToProbe(except own: Int?, _ random: inout SWIMRandom) -> Int? {
        for _ in 0...order.count {
            if cursor >= order.count {
                order.shuffle(using: &random)
                cursor = 0
            }
            guard cursor < order.count else { return nil }
            let slot = order[cursor]
            cursor += 1
            if slot != own, brief(slot).state.isLive { return slot }
        }
        return nil
    }

    /// Up to `count` different members that fit, at random.
    func pick(_ count: Int, _ random: inout SWIMRandom, where fits: (_ slot: Int, Brief) -> Bool) -> [Member] {
        guard count > 0, !order.isEmpty else { return [] }
        var picked: [Member] = []
        // A few blind draws find them in a big healthy pool; a scan of what is left is certain.
        var tried: [Int] = []
        for _ in 0..<(3 * count) where picked.count < count {
            let slot = order[Int.random(in: 0..<order.count, using: &random)]
            if tried.contains(slot) { continue }
            tried.append(slot)
            if fits(slot, brief(slot)) { picked.append(self[slot].member) }
        }
        guard picked.count < count else { return picked }
        var rest = order.filter { !tried.contains($0) && fits($0, brief($0)) }
        while picked.count < count, !rest.isEmpty {
            let index = Int.random(in: 0..<rest.count, using: &random)
            picked.append(self[rest[index]].member)
            rest.swapAt(index, rest.count - 1)
            rest.removeLast()
        }
        return picked
    }
}
