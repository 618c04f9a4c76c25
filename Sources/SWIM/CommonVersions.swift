/// The versions that every member of two pools understands (memberlist-protocol §9). Who announces none is passed over.
struct CommonVersions {
    private var lowest: UInt8 = 0
    private var highest: UInt8 = .max
    private var delegateLowest: UInt8 = 0
    private var delegateHighest: UInt8 = .max

    mutating func narrow(to versions: ProtocolVersions) {
        guard versions.maximum > 0 else { return }
        lowest = max(lowest, versions.minimum)
        highest = min(highest, versions.maximum)
        delegateLowest = max(delegateLowest, versions.delegateMinimum)
        delegateHighest = min(delegateHighest, versions.delegateMaximum)
    }

    /// What this member speaks that the others do not understand, or nil.
    func problem(of name: String, _ versions: ProtocolVersions) -> String? {
        guard excludes(versions) else { return nil }
        if versions.current < lowest || versions.current > highest {
            return "\(name) speaks gossip protocol \(versions.current), the pool understands \(lowest) to \(highest)"
        }
        return "\(name) speaks client protocol \(versions.delegateCurrent), the pool understands \(delegateLowest) to \(delegateHighest)"
    }

    /// The others do not understand who speaks like this.
    func excludes(_ versions: ProtocolVersions) -> Bool {
        guard versions.maximum > 0 else { return false }
        return versions.current < lowest || versions.current > highest || versions.delegateCurrent < delegateLowest || versions.delegateCurrent > delegateHighest
    }
}
