/// The little of Serf that a good citizen of its pools does: clocks, intents, and passing messages on once.
struct SerfLayer: Sendable {
    private(set) var clock: UInt64 = 1
    private var eventClock: UInt64 = 1
    private var queryClock: UInt64 = 1
    /// The time of the newest intent about each member; bounded by `SWIMLimits.members`.
    private var statusTimes: [String: UInt64] = [:]
    private var seen: Set<UInt64> = []
    private var seenInOrder: [UInt64] = []
    private var oldestSeen = 0

    /// What to do with a user message.
    enum Verdict: Hashable {
        case ignore
        case passOn
        /// Somebody says that we leave and we do not.
        case contradict
    }

    mutating func receive(_ bytes: [UInt8], own: String, isLeaving: Bool) throws(Refusal) -> Verdict {
        switch try SerfMessage(bytes) {
        case .joinIntent(let time, let node):
            witness(time)
            return note(time, node) ? .passOn : .ignore
        case .leaveIntent(let time, let node):
            witness(time)
            if node == own, !isLeaving { return time >= statusTimes[own] ?? 0 ? .contradict : .ignore }
            return note(time, node) ? .passOn : .ignore
        case .userEvent(let time):
            eventClock = max(eventClock, time + 1)
            return isNew(bytes) ? .passOn : .ignore
        case .query(let time, let isRebroadcast):
            queryClock = max(queryClock, time + 1)
            return isNew(bytes) && isRebroadcast ? .passOn : .ignore
        case .direct:
            throw .unsupported
        }
    }

    /// Our own intent, at the clock's time.
    mutating func intent(leave: Bool, own: String) -> [UInt8] {
        let time = clock
        clock += 1
        statusTimes[own] = time
        return SerfMessage.intent(leave: leave, time: time, node: own)
    }

    /// Of some member it knows when it joined or left; else the members tell `state` nothing.
    var knowsIntents: Bool { !statusTimes.isEmpty }

    func state(own: String, members: [Member]) -> [UInt8] {
        var state = SerfState()
        state.time = clock
        state.eventTime = eventClock
        state.queryTime = queryClock
        state.left = members.filter { $0.state == .left && statusTimes[$0.name] != nil }.map(\.name)
        state.statusTimes = members.compactMap { member in statusTimes[member.name].map { (member.name, $0) } }
        return state.encoded
    }

    /// - Returns: true when the other side believes that we left, or knows of an intent that is later than our last one: that can only be a leave which
    ///   is not ours. (Its message may come after this and must still be contradicted, so the time is not taken over.)
    mutating func merge(_ bytes: [UInt8], own: String) throws(Refusal) -> Bool {
        guard let state = try SerfState(bytes) else { return false }
        // The peer's clock is one ahead of the last time it has seen.
        if state.time > 0 { witness(state.time - 1) }
        eventClock = max(eventClock, state.eventTime)
        queryClock = max(queryClock, state.queryTime)
        for (name, time) in state.statusTimes where name != own { _ = note(time, name) }
        let theirs = state.statusTimes.first { $0.name == own }?.time ?? 0
        if theirs > 0 { witness(theirs) }
        if let ours = statusTimes[own], theirs > ours { return true }
        return state.left.contains(own)
    }

    mutating func forget(_ name: String) { statusTimes[name] = nil }

    private mutating func witness(_ time: UInt64) { if time >= clock { clock = time + 1 } }

    /// The time is stored before anything else happens: not doing so has caused endless storms of re-broadcasts (Consul #7960).
    private mutating func note(_ time: UInt64, _ name: String) -> Bool {
        if let known = statusTimes[name], known >= time { return false }
        guard statusTimes[name] != nil || statusTimes.count < SWIMLimits.members else { return false }
        statusTimes[name] = time
        return true
    }

    /// FNV-1a over the bytes, in a ring of the last few thousand.
    private mutating func isNew(_ bytes: [UInt8]) -> Bool {
        let hash = bytes.reduce(0xcbf2_9ce4_8422_2325 as UInt64) { ($0 ^ UInt64($1)) &* 0x100_0000_01b3 }
        guard seen.insert(hash).inserted else { return false }
        if seenInOrder.count < SWIMLimits.seenUserMessages {
            seenInOrder.append(hash)
        } else {
            seen.remove(seenInOrder[oldestSeen])
            seenInOrder[oldestSeen] = hash
            oldestSeen = (oldestSeen + 1) % seenInOrder.count
        }
        return true
    }
}
