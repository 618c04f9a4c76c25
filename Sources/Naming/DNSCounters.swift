/// What the DNS server has done since it started. Plain numbers, read on the control thread.
package struct DNSCounters: Hashable, Sendable {
    package var udpQueries: UInt64 = 0
    package var tcpQueries: UInt64 = 0
    /// Answered from the table, by what the answer was.
    package var answered: UInt64 = 0
    package var noData: UInt64 = 0
    package var nameErrors: UInt64 = 0
    package var truncated: UInt64 = 0
    package var refused: UInt64 = 0
    package var malformed: UInt64 = 0
    /// Short names asked by somebody who is no workload.
    package var unknownCallers: UInt64 = 0
    /// Waited at start for the first table; and, with `DNSServer.maximumHeld` waiting, got SERVFAIL.
    package var held: UInt64 = 0
    package var heldFull: UInt64 = 0
    /// Handed to the host's resolvers.
    package var forwarded: UInt64 = 0
    package var forwardAnswered: UInt64 = 0
    /// No resolver answered: SERVFAIL.
    package var forwardFailed: UInt64 = 0
    /// Not handed on because `limits.dnsQueries` were waiting already: SERVFAIL.
    package var forwardFull: UInt64 = 0
    /// Attempts that went to another resolver, or again to the only one.
    package var forwardRetries: UInt64 = 0
    package var forwardTimeouts: UInt64 = 0
    /// From a resolver, but no answer to what was asked; dropped.
    package var garbage: UInt64 = 0
    package var tcpAccepted: UInt64 = 0
    /// Closed at once because `limits.dnsConnections` were open.
    package var tcpRefused: UInt64 = 0
    package var tcpIdleClosed: UInt64 = 0
    /// Answers that the kernel did not take.
    package var sendFailures: UInt64 = 0

    package init() {}
}
