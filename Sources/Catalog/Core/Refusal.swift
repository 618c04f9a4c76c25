import Platform

/// Why something that a peer or the operator sent was not taken.
package enum Refusal: Error, Hashable, Sendable, CustomStringConvertible {
    case badOrigin(String)
    case tooManyOrigins(limit: Int)
    case tooManyRecords(limit: Int)
    case originTooLarge(limit: Int)
    case recordTooLarge(RecordKey, limit: Int)
    case badVersion(String)
    case badSignature(String)
    /// Signed by another node than the one it speaks for.
    case notSigner(String)
    /// The records are not those that the origin signed.
    case incomplete
    case tooFast(limit: Double)
    case invalidRecord(RecordKey, String)
    case malformed(String)

    /// A short stable word for the counter's label.
    package var code: String {
        switch self {
        case .badOrigin: "bad_origin"
        case .tooManyOrigins: "too_many_origins"
        case .tooManyRecords: "too_many_records"
        case .originTooLarge: "origin_too_large"
        case .recordTooLarge: "record_too_large"
        case .badVersion: "bad_version"
        case .badSignature: "bad_signature"
        case .notSigner: "not_signer"
        case .incomplete: "incomplete"
        case .tooFast: "too_fast"
        case .invalidRecord: "invalid_record"
        case .malformed: "malformed"
        }
    }

    /// A peer that checks what it receives would not have passed it on.
    var blamesRelay: Bool {
        switch self {
        case .badOrigin, .tooManyRecords, .originTooLarge, .recordTooLarge, .badVersion, .badSignature, .notSigner, .incomplete, .malformed: true
        // Its clock, its limits or its version may differ from ours.
        case .tooManyOrigins, .tooFast, .invalidRecord: false
        }
    }

    package static let codes = [
        "bad_origin", "too_many_origins", "too_many_records", "origin_too_large", "record_too_large", "bad_version", "bad_signature", "not_signer",
        "incomplete", "too_fast", "invalid_record", "malformed",
    ]

    package var description: String { text.printable }
    private var text: String {
        switch self {
        case .badOrigin(let name): "\"\(name)\" is not a node name"
        case .tooManyOrigins(let limit): "more than \(limit) nodes have records"
        case .tooManyRecords(let limit): "more than \(limit) records"
        case .originTooLarge(let limit): "more than \(limit) bytes of records"
        case .recordTooLarge(let key, let limit): "\(key) is larger than \(limit) bytes"
        case .badVersion(let text): text
        case .badSignature(let text): "the signature proves nothing: \(text)"
        case .notSigner(let text): "signed by another node, which cannot speak for it: \(text)"
        case .incomplete: "the records are not the set that the origin signed"
        case .tooFast(let limit): "more than \(Int(limit)) changed records per second"
        case .invalidRecord(let key, let text): "\(key): \(text)"
        case .malformed(let text): text
        }
    }
}

/// Counts since the start, for metrics and `weft status`.
package struct CatalogCounters: Hashable, Sendable {
    package var refused: [String: UInt64] = Dictionary(uniqueKeysWithValues: Refusal.codes.map { ($0, 0) })
    package var deltasSent: UInt64 = 0
    package var deltasReceived: UInt64 = 0
    package var deltasApplied: UInt64 = 0
    /// Deltas that said nothing new.
    package var deltasKnown: UInt64 = 0
    package var overviewsSent: UInt64 = 0
    package var digestsSent: UInt64 = 0
    package var digestsReceived: UInt64 = 0
    package var requestsSent: UInt64 = 0
    package var requestsReceived: UInt64 = 0
    /// Records whose content a peer kept back because it had refused it.
    package var withheld: UInt64 = 0
    package var generationJumps: UInt64 = 0
    /// Deltas that did not fit what was known, so that the whole set was asked for.
    package var resyncs: UInt64 = 0
    package var originsDropped: UInt64 = 0
    /// Overviews, parts and digests that nothing was done about, because the peer sent too many.
    package var questionsIgnored: UInt64 = 0
    /// Refusals that were counted but not told as events, because too many came at once.
    package var untold: UInt64 = 0
    package init() {}
}
