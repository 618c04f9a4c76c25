import MeshModel

extension CatalogCore {
    /// Takes over what another node of the mesh knows of all others, as if it had learned that long ago: nothing is verified again.
    ///
    /// For a mesh that does not begin with its joins, as a simulation's of a thousand nodes: a million records that each node would read and verify for
    /// itself are shared until they change. The other one must know this node's own records too.
    package mutating func adopt(_ other: CatalogCore) {
        precondition(trustDomain == other.trustDomain && limits == other.limits, "\(other.node) is of another mesh than \(node)")
        logs = other.logs
        logs[node] = nil
        withTombstones = other.withTombstones
        withTombstones.remove(node)
        positions = other.positions
        positions[node] = own?.position
        standings = other.standings
        standings[node] = nil
        rates = other.rates
        index = other.index
        viewChanged()
    }
}
