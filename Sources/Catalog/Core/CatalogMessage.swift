import MeshModel

/// What two nodes say to each other about the catalog.
package enum CatalogMessage: Hashable, Sendable {
    /// First on each stream, from both ends. `life` is a random number of the sender since its start: a stream of an earlier life is dead.
    case hello(node: String, versions: ClosedRange<Int>, life: UInt64)
    case overview(CatalogOverview)
    /// What the sender knows in 64 parts, the two nodes left out; answered with the positions in the parts that differ.
    case parts([UInt64])
    /// How far the sender knows some origins: all of those that are in `parts`, and perhaps others. What the receiver knows more of in those parts it
    /// answers, with no parts.
    case digest([String: Position], parts: PartSet)
    /// Asks for what came after these positions.
    case want([String: Position])
    case delta([OriginDelta])
}

/// All that a node knows in a few numbers, so that two who agree find that out with two of these.
///
/// What the two know of each other is no part of the comparison: of its own records each knows most, and tells how far they are.
package struct CatalogOverview: Hashable, Sendable {
    /// The sender's own.
    package var position: Position
    /// How many origins it knows besides the two, and what they come to.
    package var others: Int
    package var digest: UInt64
    /// It wants to know the same of the receiver.
    package var asks: Bool

    package init(position: Position, others: Int, digest: UInt64, asks: Bool) {
        self.position = position
        self.others = others
        self.digest = digest
        self.asks = asks
    }
}
