/// `GET /v1/catalog/diff/{node}`: what this node and another know of the records of each.
package struct CatalogDiff: Codable, Sendable, Equatable {
    /// This node.
    package var node: String
    /// The node that was asked.
    package var peer: String
    /// Origins of which both know the same.
    package var equal: Int
    /// Those of which they do not, sorted by name.
    package var differences: [Difference]
    package init(node: String, peer: String, equal: Int, differences: [Difference]) {
        self.node = node
        self.peer = peer
        self.equal = equal
        self.differences = differences
    }

    package struct Difference: Codable, Sendable, Equatable {
        package enum Verdict: String, Codable, Sendable, CaseIterable {
            case hereNewer, thereNewer, onlyHere, onlyThere
            /// The same version with another content: two lives of one node.
            case forked
        }
        /// The node whose records they are.
        package var origin: String
        package var verdict: Verdict
        /// Nil when nothing is known.
        package var here: Known?
        package var there: Known?
        package init(origin: String, verdict: Verdict, here: Known?, there: Known?) {
            self.origin = origin
            self.verdict = verdict
            self.here = here
            self.there = there
        }
    }

    package struct Known: Codable, Sendable, Equatable {
        /// Grows with each start of the origin.
        package var generation: UInt64
        /// Grows with each change.
        package var version: UInt64
        package var records: Int
        /// SHA-256 over the records, as the origin signed it.
        package var digest: String
        package init(generation: UInt64, version: UInt64, records: Int, digest: String) {
            self.generation = generation
            self.version = version
            self.records = records
            self.digest = digest
        }
    }
}
