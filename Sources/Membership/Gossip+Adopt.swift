import SWIM

extension Gossip {
    /// After `start`: is in a pool with all of these as if they had joined each other long ago. For pools in one process that do not begin with their joins.
    package func adopt(_ others: [Gossip]) {
        core.adopt(others.compactMap { $0.core.member($0.configuration.name) }, seeds: [], rng: &random)
    }
}
