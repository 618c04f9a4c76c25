import Platform

/// Why a writing of a resource was not taken.
package enum ResourceRefusal: Error, Hashable, Sendable, CustomStringConvertible {
    case noRight(author: String, namespace: String)
    case badSignature(String)
    case clockAhead(milliseconds: UInt64)
    /// Unknown here, and older than deletions are remembered.
    case tooOld
    case tooLarge(bytes: Int, limit: Int)
    case tooMany(limit: Int)
    case tooManyBytes(limit: Int)
    case tooFast(limit: Double)
    case malformed(String)
    /// The author expected another state than there is.
    case conflict(now: ResourceVersion?)
    case cannotSign

    /// A short stable word for the counter's label.
    package var code: String {
        switch self {
        case .noRight: "no_right"
        case .badSignature: "bad_signature"
        case .clockAhead: "clock_ahead"
        case .tooOld: "too_old"
        case .tooLarge: "too_large"
        case .tooMany: "too_many"
        case .tooManyBytes: "too_many_bytes"
        case .tooFast: "too_fast"
        case .malformed: "malformed"
        case .conflict: "conflict"
        case .cannotSign: "cannot_sign"
        }
    }
    package static let codes = [
        "no_right", "bad_signature", "clock_ahead", "too_old", "too_large", "too_many", "too_many_bytes", "too_fast", "malformed", "conflict",
        "cannot_sign",
    ]

    /// Whether the same writing may be taken later.
    var isPassing: Bool {
        switch self {
        case .clockAhead, .tooMany, .tooManyBytes, .tooFast, .cannotSign: true
        case .noRight, .badSignature, .tooOld, .tooLarge, .malformed, .conflict: false
        }
    }

    /// A peer that checks what it receives would not have passed it on.
    var blamesRelay: Bool {
        switch self {
        case .noRight, .badSignature, .tooLarge, .malformed: true
        // Its clock, its limits or its knowledge may differ from ours.
        case .clockAhead, .tooOld, .tooMany, .tooManyBytes, .tooFast, .conflict, .cannotSign: false
        }
    }

    package var description: String {
        switch self {
        case .noRight(let author, let namespace):
            "node \(author) has no right to write resources of \(namespace.isEmpty ? "the whole mesh" : "namespace \(namespace)")"
        case .badSignature(let text): "the signature proves nothing: \(text)"
        case .clockAhead(let milliseconds): "it was written \(milliseconds / 1000) s ahead of this node's clock: one of the two clocks is wrong"
        case .tooOld: "it is older than deletions are remembered, and this node does not know it: it may have been deleted"
        case .tooLarge(let bytes, let limit): "it has \(bytes) bytes, and the limit is \(limit)"
        case .tooMany(let limit): "there are \(limit) resources, the most that may be (deleted ones count until they are forgotten)"
        case .tooManyBytes(let limit): "all resources together would have more than \(limit) bytes"
        case .tooFast(let limit): "its author writes more than \(Int(limit)) resources per second"
        case .malformed(let text): text
        case .conflict(let version): version.map { "it was changed meanwhile: its version is \($0)" } ?? "it does not exist any more"
        case .cannotSign: "this node has no valid certificate to sign it with"
        }
    }
}

/// Counts since the start, for metrics.
package struct ResourceCounters: Hashable, Sendable {
    package var refused: [String: UInt64] = Dictionary(uniqueKeysWithValues: ResourceRefusal.codes.map { ($0, 0) })
    package var taken: UInt64 = 0
    /// Writings whose author had not seen what they replaced.
    package var concurrent: UInt64 = 0
    /// Resources that were given up because a node that was not away did not know them.
    package var dropped: UInt64 = 0
    /// Events that were counted but not told, because too many came at once.
    package var untold: UInt64 = 0
    package init() {}
}
