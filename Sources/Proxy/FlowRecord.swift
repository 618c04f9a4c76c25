import Platform

/// Which kind of flow: see the design's words.
package enum Direction: UInt8, Sendable, CaseIterable {
    case outbound, inbound, tunnel
    package var word: String {
        switch self {
        case .outbound: "outbound"
        case .inbound: "inbound"
        case .tunnel: "tunnel"
        }
    }
}

/// How the bytes travelled on the side that leaves or enters this node.
package enum Security: UInt8, Sendable {
    case plaintext, mutualTLS, local
    package var word: String {
        switch self {
        case .plaintext: "none"
        case .mutualTLS: "mutual_tls"
        case .local: "local"
        }
    }
}

/// One flow as it is reported: when it ends for the access log, while it lives for `weft connections`.
package struct FlowRecord: Sendable {
    package var direction: Direction
    package var security: Security
    package var end: FlowEnd
    package var source: SocketAddress
    /// Where the caller wanted to go.
    package var destination: SocketAddress
    /// Where the flow went: the endpoint's address.
    package var endpoint: SocketAddress
    package var sourceIdentity: NameID
    package var destinationIdentity: NameID
    package var workload: NameID
    package var service: NameID
    package var node: NameID
    /// From the caller to the endpoint, and back.
    package var bytesSent: UInt64
    package var bytesReceived: UInt64
    package var duration: Duration
    package var attempts: UInt8
    /// The kernel's error number where there was one.
    package var errno: CInt
}

/// What flows are counted by.
package struct FlowLabels: Hashable, Sendable {
    package var direction: Direction
    package var security: Security
    package var sourceIdentity: NameID
    package var destinationIdentity: NameID
    package var service: NameID
}

/// Counters of one label set.
package struct FlowCounters: Sendable {
    package var opened: UInt64 = 0
    package var closed: UInt64 = 0
    package var bytesSent: UInt64 = 0
    package var bytesReceived: UInt64 = 0
    package init() {}
}
