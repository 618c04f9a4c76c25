import MeshModel
import Netfilter
import Platform

/// The words that both tables' rules are made of.
struct RuleWords {
    let settings: CaptureSettings

    static let levels: ClosedRange<UInt32> = 1...UInt32(SelectorMatcher.maximumDepth)
    static let virtualV4 = VirtualIP.v4Network
    static let virtualV6 = VirtualIP.v6Network

    var ownMark: NFClause { .mark(settings.excludedMark, mask: settings.markMask) }
    var spoofedMark: NFClause { .mark(settings.spoofedMark, mask: settings.markMask) }
    /// The packet is for a socket of the agent's, whatever its address says.
    var agentSocket: NFClause { .socketMark(settings.excludedMark, mask: settings.markMask) }

    /// The first packet of a TCP connection, and no other: where conntrack starts only with these tables, it takes the next packet of a
    /// connection that already lives for a new one (`nf_conntrack_tcp_loose`), and such connections are left alone.
    static let opening = openingFlags(.equal)
    static let notOpening = openingFlags(.notEqual)

    /// FIN, SYN, RST and ACK in byte 13 of the header (RFC 9293 section 3.1).
    private static func openingFlags(_ comparison: NFComparison) -> NFClause {
        NFClause(
            transport: .tcp, .payload(.transport, offset: 13, length: 1, into: .first),
            .bitwise(from: .first, into: .first, mask: [0x17], xor: [0]), .compare(.first, comparison, [0x02]))
    }

    static let isNew = NFClause.conntrackState(.new)
    static let isNotNew = NFClause.conntrackState(.new, inverted: true)
    static let redirected = NFClause.conntrackStatus(.destinationNAT)
    static let notRedirected = NFClause.conntrackStatus(.destinationNAT, inverted: true)
}
