import Platform

/// The last changes of other members, numbered from 1 since the start, so that a reader can come back for what it has not seen. Pure.
package struct MemberLog: Sendable {
    package struct Change: Sendable, Equatable {
        package var number: UInt64
        package var time: WallTime
        package var event: GossipEvent
    }

    /// What a reader gets.
    package struct Reading: Sendable, Equatable {
        package var changes: [Change]
        /// The number of the last change there was: where to read on.
        package var last: UInt64
        /// Changes between the reader's number and the first one here, which are not kept any more.
        package var missed: UInt64
    }

    /// The changes that are kept for certain.
    package static let bound = 1024
    /// So many more come together before the oldest go.
    private static let slack = 256
    private var kept: [Change] = []
    package private(set) var last: UInt64 = 0

    package init() {}

    mutating func add(_ event: GossipEvent, at time: WallTime) {
        last += 1
        kept.append(Change(number: last, time: time, event: event))
        if kept.count >= Self.bound + Self.slack { kept.removeFirst(kept.count - Self.bound) }
    }

    /// What came after a number. One that is above the last is of an earlier run of the agent, and its reader gets everything.
    package func read(after number: UInt64) -> Reading {
        let number = number > last ? 0 : number
        let first = kept.first?.number ?? last + 1
        return Reading(
            changes: Array(kept.drop { $0.number <= number }), last: last, missed: first > number + 1 ? first - number - 1 : 0)
    }
}
