import Platform

/// What must always hold, by name.
package enum Invariant: String, CaseIterable, Sendable {
    /// A node that goes on living says so above an accusation, and only then.
    case refutesOnlyAccusations = "refutes-only-accusations"
    case incarnationsOnlyGrow = "incarnations-only-grow"
    case livesInItsOwnView = "lives-in-its-own-view"
    /// Nobody knows more of a node than the node itself said.
    case nothingIsInvented = "nothing-is-invented"
    /// What membership holds dead or gone gets no traffic, and every death is found.
    case theDeadGetNoTraffic = "the-dead-get-no-traffic"
    case positionsOnlyGrow = "positions-only-grow"
    /// Nodes that keep the protocol are not refused by each other.
    case honestNodesAreNotRefused = "honest-nodes-are-not-refused"
    case nothingGrowsWithoutBound = "nothing-grows-without-bound"
    /// After faults end, everybody holds the same, and that is the truth, within the bound.
    case healedNetworksConverge = "healed-networks-converge"
}

/// A run that did not keep what must always hold: where and when it was seen.
package struct Violation: Hashable, Sendable, CustomStringConvertible {
    package var invariant: Invariant
    package var time: MonotonicTime
    package var node: String
    /// What was seen.
    package var finding: String
    /// What had just happened there.
    package var event: String

    package var description: String { "\(invariant.rawValue) at \(time.inSeconds) s, node \(node): \(finding) (after \(event))" }
}

extension MonotonicTime {
    /// Seconds with three decimals.
    package var inSeconds: String { Duration.nanoseconds(Int64(nanoseconds)).inSeconds }
}

extension Duration {
    /// Seconds with three decimals.
    package var inSeconds: String {
        let thousandths = String(1000 + milliseconds % 1000)
        return "\(milliseconds / 1000).\(thousandths.dropFirst())"
    }
}
