import Platform

extension SWIMCore {
    /// Takes over members as another node of the pool holds them, and whom that one would call: the node is in the pool as if it had joined long ago.
    ///
    /// After `.start`, and for pools that do not begin with their joins, as a simulation's of a thousand. Nothing is told of it: there are neither news nor effects.
    package mutating func adopt(_ members: [Member], seeds: [SocketAddress], rng: inout SWIMRandom) {
        for member in members where member.name != name && roster.slot(of: member.name) == nil && roster.count < SWIMLimits.members {
            roster.insert(member, &rng)
        }
        for seed in seeds { memory.addSeed(seed) }
        broadcasts = BroadcastQueue(bound: SWIMLimits.members)
    }
}
