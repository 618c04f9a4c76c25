/// How long conntrack remembers a TCP connection of one family that says nothing: an object of a table, which rules give to new connections.
///
/// Connections that have it keep it until it is deleted; then the network namespace's timeouts (`nf_conntrack_tcp_timeout_*`) hold for them again.
package struct NFConntrackTimeouts: Hashable, Sendable, CustomStringConvertible {
    /// `enum ctattr_timeout_tcp` of linux/netfilter/nfnetlink_cttimeout.h, whose numbers begin with 1.
    package enum State: Int, CaseIterable, Hashable, Sendable {
        case synSent = 1
        case synReceived, established, finWait, closeWait, lastAck, timeWait, close, synSent2
        /// While the peer leaves retransmissions, or data, unanswered: a bound on all other states.
        case retransmitting, unacknowledged

        /// What Linux begins with, in seconds (nf_conntrack_proto_tcp.c).
        fileprivate var usual: UInt32 {
            switch self {
            case .synSent, .synSent2, .finWait, .timeWait: 120
            case .synReceived, .closeWait: 60
            case .established: 5 * 24 * 3600
            case .lastAck: 30
            case .close: 10
            case .retransmitting, .unacknowledged: 300
            }
        }
    }

    package let table: NFTableID
    package let name: String
    /// `.ipv4` or `.ipv6`: connections of the other family do not take it.
    package let family: NFFamily
    private let seconds: [UInt32]

    /// - Parameter seconds: of the states that differ from what Linux begins with.
    package init(table: NFTableID, name: String, family: NFFamily, _ seconds: [State: UInt32] = [:]) {
        self.table = table
        self.name = name
        self.family = family
        self.seconds = State.allCases.map { seconds[$0] ?? $0.usual }
    }

    /// From NFTA_OBJ_DATA; nil for other protocols than TCP.
    init?(table: NFTableID, name: String, _ at: NFAttributeTable) {
        guard let layer = at[1], let family = NFFamily(rawValue: UInt8(truncatingIfNeeded: UInt16(bigEndian: layer.number(UInt16.self)))),
            at.byte(2) == NFClause.Transport.tcp.rawValue, let nest = at[3]?.nested
        else { return nil }
        let values = NFAttributeTable(nest)
        self.init(
            table: table, name: name, family: family,
            Dictionary(uniqueKeysWithValues: State.allCases.compactMap { state in values.number(state.rawValue).map { (state, $0) } }))
    }

    package subscript(_ state: State) -> UInt32 { seconds[state.rawValue - 1] }
    package var description: String { "\(table) \(name)" }
}
