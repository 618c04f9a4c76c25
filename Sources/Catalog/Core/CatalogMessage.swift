/// What two nodes say to each other about the catalog.
package enum CatalogMessage: Hashable, Sendable {
    /// First on each stream, from both ends. `life` is a random number of the sender since its start: a stream of an earlier life is dead.
    case hello(node: String, versions: ClosedRange<Int>, life: UInt64)
    /// How far the sender knows each origin. A complete one is answered with an incomplete one: those of which the answerer knows more.
    case digest([String: Position], complete: Bool)
    /// Asks for what came after these positions.
    case want([String: Position])
    case delta([OriginDelta])
}
