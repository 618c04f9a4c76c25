import MeshModel

/// Whether a node's endpoints may get traffic, and whether what is known of it is from before this start.
package struct Reach: Hashable, Sendable {
    package var reachable: Bool
    package var stale: Bool
}

/// The endpoints of a service with their nodes' reach, sorted by node, then address.
///
/// Most views differ from the one before in nodes that died or returned. Endpoints and reach are kept apart, so that such a view shares the endpoints
/// with the one before, and who follows looks at those alone whose reach is another.
package struct EndpointList: RandomAccessCollection, Sendable, Equatable {
    private var all: [Endpoint]
    package private(set) var reaches: [Reach]

    /// - Parameter all: sorted by node.
    init(_ all: [(endpoint: Endpoint, reach: Reach)]) {
        self.all = all.map(\.endpoint)
        reaches = all.map(\.reach)
    }

    package var startIndex: Int { 0 }
    package var endIndex: Int { all.count }
    package subscript(place: Int) -> CatalogView.EndpointView {
        CatalogView.EndpointView(endpoint: all[place], reachable: reaches[place].reachable, stale: reaches[place].stale)
    }

    /// Each of them is the same object: only reaches may differ.
    package func hasSameEndpoints(as other: Self) -> Bool {
        all.count == other.all.count
            && (all.withUnsafeBufferPointer { own in other.all.withUnsafeBufferPointer { own.baseAddress == $0.baseAddress } }
                || all.elementsEqual(other.all) { $0 === $1 })
    }

    package static func == (a: Self, b: Self) -> Bool { a.reaches == b.reaches && a.all == b.all }

    mutating func setReach(of node: String, to reach: Reach) {
        var low = 0
        var high = all.count
        while low < high {
            let middle = (low + high) / 2
            if all[middle].node < node { low = middle + 1 } else { high = middle }
        }
        while low < all.count, all[low].node == node {
            reaches[low] = reach
            low += 1
        }
    }
}
