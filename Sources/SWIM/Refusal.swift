/// Why something from the network was refused. Each has a counter in `SWIMCounters`; the raw value is its metric label.
package enum Refusal: String, Error, CaseIterable, Hashable, Sendable {
    /// It ended in the middle of a field.
    case truncated
    /// It is not what the protocol says: a wrong kind of value, a missing field, a number out of range.
    case malformed
    /// A length or a count above its bound in `SWIMLimits`.
    case oversized
    case tooDeep = "too_deep"
    case unknownType = "unknown_type"
    /// A message that has no place on this transport, as a push/pull in a datagram.
    case misplaced
    case wrongLabel = "wrong_label"
    /// No key of the ring opens it: a wrong key, or bytes changed on the way.
    case undecryptable
    /// We use encryption and it is not encrypted.
    case plaintext
    case badChecksum = "bad_checksum"
    case badCompression = "bad_compression"
    /// An address that is not four or sixteen bytes, or that nobody can be reached at.
    case badAddress = "bad_address"
    /// A node name that is empty, too long, not UTF-8 or has control characters.
    case badName = "bad_name"
    case implausibleIncarnation = "implausible_incarnation"
    /// Protocol versions that do not fit ours or the pool's.
    case incompatible
    /// A ping meant for a node that had this address before us.
    case notForUs = "not_for_us"
    /// Another node claims a name that is taken.
    case nameConflict = "name_conflict"
    /// The member list, the relays or another table is full.
    case full
    /// A kind of user message that this node does not carry.
    case unsupported

    /// For the operator: what it means, and the remedy where there is one.
    package var explanation: String {
        switch self {
        case .truncated: "it ended in the middle"
        case .malformed: "it is not memberlist's protocol"
        case .oversized: "it has more in it than is allowed"
        case .tooDeep: "it has too many layers"
        case .unknownType: "a kind of message that is not known"
        case .misplaced: "a kind of message that has no place there"
        case .wrongLabel: "its label is not ours: it belongs to another pool, or the label is configured differently"
        case .undecryptable: "no key of the keyring opens it: the sender has another key"
        case .plaintext: "it is not encrypted and this pool is: give the sender the gossip key"
        case .badChecksum: "its checksum is wrong"
        case .badCompression: "its compression is broken"
        case .badAddress: "it has an address that nobody can be reached at"
        case .badName: "it has an impossible node name"
        case .implausibleIncarnation: "it has an impossible incarnation"
        case .incompatible: "its protocol versions do not fit the pool"
        case .notForUs: "it is for a node that had this address before"
        case .nameConflict: "it claims the name of another node, or tells of a node that has moved; where both answer, the journal names them"
        case .full: "a table is full; of members the list takes \(SWIMLimits.members), or \(SWIMLimits.rosterBytes >> 20) MiB of names and tags"
        case .unsupported: "a kind of user message that this node does not carry"
        }
    }
}

/// Numbers since the start; plain values that the shell reads for metrics.
package struct SWIMCounters: Hashable, Sendable {
    private var refusals = [UInt64](repeating: 0, count: Refusal.allCases.count)
    package var datagramsIn: UInt64 = 0
    package var datagramsOut: UInt64 = 0
    package var bytesIn: UInt64 = 0
    package var bytesOut: UInt64 = 0
    package var probes: UInt64 = 0
    package var probesFailed: UInt64 = 0
    /// Probes out of turn, because something said that a member may be gone.
    package var checks: UInt64 = 0
    /// Rounds whose outcome was thrown away because our own loop had been late.
    package var probesDiscarded: UInt64 = 0
    /// Probes that only TCP answered: something drops UDP.
    package var probesByStreamOnly: UInt64 = 0
    package var suspicions: UInt64 = 0
    package var deaths: UInt64 = 0
    package var refutations: UInt64 = 0
    /// Times that two nodes of one name were told of.
    package var contests: UInt64 = 0
    package var pushPulls: UInt64 = 0
    package var pushPullsFailed: UInt64 = 0
    package var relayed: UInt64 = 0
    package var userMessages: UInt64 = 0
    package var userMessagesDropped: UInt64 = 0

    package init() {}

    package subscript(reason: Refusal) -> UInt64 { refusals[Self.index(reason)] }
    /// Every reason with its count, zeros too, in a fixed order.
    package var refused: [(reason: Refusal, count: UInt64)] { Refusal.allCases.map { ($0, self[$0]) } }
    package var refusedTotal: UInt64 { refusals.reduce(0, &+) }

    mutating func count(_ reason: Refusal) { refusals[Self.index(reason)] &+= 1 }

    private static let indices = Dictionary(uniqueKeysWithValues: Refusal.allCases.enumerated().map { ($1, $0) })
    private static func index(_ reason: Refusal) -> Int { indices[reason] ?? 0 }
}
