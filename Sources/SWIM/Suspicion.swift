import Platform

/// A running suspicion: it waits the longer, the fewer members share it (Lifeguard, LHA-Suspicion).
struct Suspicion: Hashable, Sendable {
    let start: MonotonicTime
    let shortest: Duration
    let longest: Duration
    /// How many more members must confirm for the shortest wait.
    let needed: Int
    /// Who suspects, the first one first; at most `needed + 1`.
    private(set) var suspecters: [String]
    /// Members that found nobody listening at the suspect's address, at most two. One may look from a place that a firewall cuts off; two are believed.
    private(set) var witnesses: [String] = []
    /// By how much our own lateness has moved the deadline; at most by another `longest`.
    private(set) var postponed: Duration = .zero

    /// - Parameter members: how many the pool has, the suspect included.
    init(by first: String, members: Int, timers: SWIMTimers, now: MonotonicTime) {
        start = now
        suspecters = [first]
        needed = members - 2 < timers.suspicionMultiplier - 2 ? 0 : max(0, timers.suspicionMultiplier - 2)
        shortest = timers.probeInterval.scaled(by: Double(timers.suspicionMultiplier) * max(1, decimalLogarithm(Double(members))))
        longest = needed < 1 ? shortest : shortest.scaled(by: Double(timers.suspicionMaximum))
    }

    var confirmations: Int { suspecters.count - 1 }

    var deadline: MonotonicTime {
        guard needed > 0 else { return start + shortest + postponed }
        let share = naturalLogarithm(Double(confirmations + 1)) / naturalLogarithm(Double(needed + 1))
        let wait = longest - (longest - shortest).scaled(by: share)
        return start + max(shortest, .milliseconds(wait.milliseconds)) + postponed
    }

    /// True when this member is new among the suspecters and still needed.
    private func lacks(_ name: String) -> Bool { confirmations < needed && !suspecters.contains(name) }

    /// True when an accusation would change it.
    func hasRoom(for accusation: Accusation) -> Bool {
        lacks(accusation.from) || accusation.sawRefusal && !isProven && !witnesses.contains(accusation.from)
    }

    /// True when that made a difference.
    @discardableResult
    mutating func confirm(by name: String) -> Bool {
        guard lacks(name) else { return false }
        suspecters.append(name)
        return true
    }

    /// True when this witness is new and was still needed.
    mutating func witness(_ name: String) -> Bool {
        guard !isProven, !witnesses.contains(name) else { return false }
        witnesses.append(name)
        return true
    }

    /// Nobody listens there any more: two members have seen it.
    var isProven: Bool { witnesses.count >= 2 }

    /// True when the deadline has moved.
    mutating func postpone(by delay: Duration, now: MonotonicTime) -> Bool {
        guard postponed < longest else { return false }
        postponed += (now - deadline) + delay
        return true
    }
}

/// How much a node distrusts its own observations (Lifeguard's local health multiplier): 0 is well.
struct Awareness: Hashable, Sendable {
    private(set) var score = 0
    /// The score stays below this.
    let maximum: Int

    init(maximum: Int) { self.maximum = max(1, maximum) }

    mutating func add(_ delta: Int) { score = min(max(0, score + delta), maximum - 1) }

    func scale(_ duration: Duration) -> Duration { duration * (score + 1) }
}
