import Platform

/// Whom to call again: members that died and are no longer listed, and the addresses a join was given. Both bounded.
///
/// Without it two halves of a pool that were apart for long never find each other again.
struct DepartedMemory: Sendable {
    struct Departed: Hashable, Sendable {
        var name: String
        var address: SocketAddress
        var since: MonotonicTime
    }

    /// The oldest first.
    private(set) var departed: [Departed] = []
    private(set) var seeds: [SocketAddress] = []

    mutating func remember(_ member: Member) {
        departed.removeAll { $0.name == member.name }
        if departed.count >= SWIMLimits.departed { departed.removeFirst() }
        departed.append(Departed(name: member.name, address: member.address, since: member.since))
    }

    mutating func forget(_ name: String) {
        guard !departed.isEmpty else { return }
        departed.removeAll { $0.name == name }
    }

    mutating func expire(before time: MonotonicTime) {
        departed.removeAll { $0.since < time }
    }

    mutating func addSeed(_ address: SocketAddress) {
        guard !seeds.contains(address), seeds.count < SWIMLimits.joinAddresses else { return }
        seeds.append(address)
    }
}
