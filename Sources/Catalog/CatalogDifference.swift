import Platform

/// How far one node knows an origin.
package struct OriginSummary: Hashable, Sendable {
    package var position: Position
    package var records: Int
    /// Over all records, as the origin signed it: 32 bytes.
    package var root: RecordDigest
}

/// What two nodes know, origin by origin. Pure.
package struct CatalogDifference: Hashable, Sendable {
    package enum Verdict: Hashable, Sendable {
        case hereNewer, thereNewer, onlyHere, onlyThere
        /// One position and two contents: two lives of a node came to the same one.
        case forked
    }
    package struct Entry: Hashable, Sendable {
        package var origin: String
        package var verdict: Verdict
        package var here: OriginSummary?
        package var there: OriginSummary?
    }

    /// Origins of which both know the same.
    package private(set) var equal = 0
    /// The others, sorted by name.
    package private(set) var entries: [Entry] = []

    package init(here: [String: OriginSummary], there: [String: OriginSummary]) {
        for origin in Set(here.keys).union(there.keys).sorted() {
            guard let verdict = Self.verdict(here[origin], there[origin]) else {
                equal += 1
                continue
            }
            entries.append(Entry(origin: origin, verdict: verdict, here: here[origin], there: there[origin]))
        }
    }

    /// Nil when they are the same.
    private static func verdict(_ here: OriginSummary?, _ there: OriginSummary?) -> Verdict? {
        guard let here else { return there == nil ? nil : .onlyThere }
        guard let there else { return .onlyHere }
        if here.position != there.position { return here.position > there.position ? .hereNewer : .thereNewer }
        return here.root == there.root ? nil : .forked
    }
}
