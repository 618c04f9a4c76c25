import Identity
import Plane

extension FrameType {
    /// Asks how far the peer knows each origin; the answer is a `SummaryFrame`.
    static let catalogSummary = FrameType(rawValue: 0x28)
}

/// The answer of `catalogSummary`, as JSON: readers ignore fields that they do not know.
struct SummaryFrame: Codable {
    struct Origin: Codable {
        var position: PositionField
        var records: Int
        /// Base64 of 32 bytes.
        var root: String
    }
    var origins: [String: Origin]

    init(_ summaries: [String: OriginSummary]) {
        origins = summaries.mapValues { summary in
            Origin(position: PositionField(summary.position), records: summary.records, root: Base64.encode(summary.root.bytes))
        }
    }

    /// - Throws: when there are more origins than a catalog may have, or a root is not 32 bytes.
    func summaries(limit: Int) throws(WireFault) -> [String: OriginSummary] {
        guard origins.count <= limit else { throw WireFault("\(origins.count) origins, and the bound is \(limit)") }
        var result: [String: OriginSummary] = [:]
        for (name, origin) in origins {
            guard let root = Base64.decode(origin.root).flatMap(RecordDigest.init) else {
                throw WireFault("the digest of \(name.prefix(64)) is not 32 bytes")
            }
            result[name] = OriginSummary(position: origin.position.position, records: origin.records, root: root)
        }
        return result
    }
}
