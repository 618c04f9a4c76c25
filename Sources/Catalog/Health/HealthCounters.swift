/// What became of checks, by their kind.
package struct HealthCounters: Hashable, Sendable {
    package struct Tally: Hashable, Sendable {
        package var passed: UInt64 = 0
        package var failed: UInt64 = 0
    }
    package var kinds: [String: Tally] = [:]
    /// Checks put off because too many were under way.
    package var postponed: UInt64 = 0

    package var passed: UInt64 { kinds.values.reduce(0) { $0 + $1.passed } }
    package var failed: UInt64 { kinds.values.reduce(0) { $0 + $1.failed } }

    mutating func count(_ kind: String, passed: Bool) {
        if passed { kinds[kind, default: Tally()].passed += 1 } else { kinds[kind, default: Tally()].failed += 1 }
    }
}
