import MeshModel
import Platform

/// The schedules of all identities of a node. Pure.
package struct RenewalPlan: Sendable {
    /// The longest sleep: a wall clock can jump, and a sleeping host does not count.
    package static let longestSleep = Duration.seconds(60)

    package struct Entry: Sendable {
        package var schedule: RenewalSchedule
        package var lastError: MeshError?
    }
    package private(set) var entries: [SPIFFEID: Entry] = [:]

    package init() {}

    package mutating func track(_ identity: SPIFFEID, _ schedule: RenewalSchedule) {
        if entries[identity] == nil { entries[identity] = Entry(schedule: schedule) }
    }
    package mutating func drop(_ identity: SPIFFEID) { entries[identity] = nil }

    /// The identities to ask for now, the most urgent first; they count as asked.
    package mutating func takeDue(_ now: WallTime, most: Int) -> [SPIFFEID] {
        let due = entries.filter { $0.value.schedule.isDue(now) }
        // The node's own comes first, since the others are asked for with it; then what has none at all.
        let order = due.sorted { a, b in Self.rank(a.key, a.value) < Self.rank(b.key, b.value) }
        let taken = order.prefix(most).map(\.key)
        for identity in taken { entries[identity]?.schedule.asked() }
        return taken
    }

    private static func rank(_ identity: SPIFFEID, _ entry: Entry) -> (Int, Int64, SPIFFEID) {
        (identity.node == nil ? 1 : 0, entry.schedule.validity?.upperBound.seconds ?? 0, identity)
    }

    package mutating func issued(_ identity: SPIFFEID, notBefore: WallTime, notAfter: WallTime, random: Double) {
        entries[identity]?.schedule.issued(notBefore: notBefore, notAfter: notAfter, random: random)
        entries[identity]?.lastError = nil
    }
    package mutating func failed(_ identity: SPIFFEID, _ error: MeshError, now: WallTime, random: Double) {
        entries[identity]?.schedule.failed(now: now, random: random)
        entries[identity]?.lastError = error
    }

    package mutating func hasten(_ now: WallTime) {
        for identity in entries.keys { entries[identity]?.schedule.hasten(now) }
    }

    /// How long to sleep; nil when everything awaits an answer or nothing is tracked.
    package func sleep(_ now: WallTime) -> Duration? {
        guard let next = entries.values.compactMap(\.schedule.due).min() else { return nil }
        let wait = Duration.seconds(next.seconds - now.seconds) + .nanoseconds(Int64(next.nanoseconds) - Int64(now.nanoseconds))
        return min(max(.zero, wait), Self.longestSleep)
    }
}
