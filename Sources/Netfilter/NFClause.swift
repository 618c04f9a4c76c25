/// A part of a rule in the words of `nft`: a match, a statement or a verdict.
///
/// In an `inet` table the kernel reads headers at fixed offsets, whatever the packet is, so a match of an IPv4 address needs a match of the family
/// before it, and one of a port needs the transport protocol. A clause carries these needs; a rule adds each once, in front of the first clause that
/// has it.
package struct NFClause: Hashable, Sendable {
    /// What must be known of the packet before the expressions run; nil: nothing.
    package var family: NFFamily?
    package var transport: Transport?
    package var expressions: [NFExpression]
    /// A need of TCP or UDP, whichever: met by either match.
    package var needsPorts: Bool

    /// IANA protocol numbers.
    package enum Transport: UInt8, Hashable, Sendable {
        case icmp = 1
        case tcp = 6
        case udp = 17
        case icmpv6 = 58
    }
    package enum Port: Hashable, Sendable { case source, destination }
    package enum Address: Hashable, Sendable { case source, destination }

    package init(family: NFFamily? = nil, transport: Transport? = nil, needsPorts: Bool = false, _ expressions: NFExpression...) {
        self.init(family: family, transport: transport, needsPorts: needsPorts, expressions: expressions)
    }
    init(family: NFFamily?, transport: Transport?, needsPorts: Bool, expressions: [NFExpression]) {
        self.family = family
        self.transport = transport
        self.needsPorts = needsPorts
        self.expressions = expressions
    }

    /// The expressions of a rule. Traps on contradictions (`ip daddr` and `ip6 saddr` in one rule) and on ports without a protocol: those are errors
    /// in our code.
    static func expressions(of clauses: [NFClause], in family: NFFamily) -> [NFExpression] {
        var knownFamily: NFFamily? = family == .inet ? nil : family
        var knownTransport: Transport?
        var all: [NFExpression] = []
        for clause in clauses {
            if let need = clause.family {
                precondition(knownFamily == nil || knownFamily == need, "a rule matches both IPv4 and IPv6")
                if knownFamily == nil {
                    all += [.meta(.networkProtocol, into: .first), .compare(.first, .equal, [need.rawValue])]
                    knownFamily = need
                }
            }
            if let need = clause.transport {
                precondition(knownTransport == nil || knownTransport == need, "a rule matches two transport protocols")
                if knownTransport == nil {
                    all += [.meta(.transportProtocol, into: .first), .compare(.first, .equal, [need.rawValue])]
                    knownTransport = need
                }
            }
            precondition(!clause.needsPorts || knownTransport == .tcp || knownTransport == .udp, "a rule uses ports before it matches TCP or UDP")
            all += clause.expressions
        }
        return all
    }
}
