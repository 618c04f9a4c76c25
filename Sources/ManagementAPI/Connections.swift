/// `GET /v1/connections`.
package struct ConnectionsRequest: Sendable, Equatable {
    package static let defaultLimit = 100
    package static let maximumLimit = 10_000
    package var limit: Int
    package init(limit: Int = Self.defaultLimit) { self.limit = limit }
}

package struct ConnectionList: Codable, Sendable, Equatable {
    /// Newest first, at most the limit.
    package var connections: [Connection]
    /// Flows that are open now, listed or not.
    package var open: Int
    package init(connections: [Connection], open: Int) {
        self.connections = connections
        self.open = open
    }
}

/// One flow, as the access log tells it.
package struct Connection: Codable, Sendable, Equatable {
    /// `outbound`, `inbound` or `tunnel`.
    package var direction: String
    /// Nil while it is open; else why it ended, as `completed` or `connect_refused`.
    package var end: String?
    /// What happened and what to do; empty for ordinary ends.
    package var hint: String
    package var source: String
    package var sourceIdentity: String
    package var workload: String
    /// Where the caller wanted to go, and where the flow went (empty when nowhere).
    package var destination: String
    package var endpoint: String
    package var destinationIdentity: String
    package var service: String
    package var node: String
    /// `none`, `mutual_tls` or `local`.
    package var security: String
    package var bytesSent: UInt64
    package var bytesReceived: UInt64
    package var durationMilliseconds: Int64
    package var attempts: Int

    package init(
        direction: String, end: String?, hint: String = "", source: String, sourceIdentity: String, workload: String, destination: String,
        endpoint: String, destinationIdentity: String, service: String, node: String, security: String, bytesSent: UInt64, bytesReceived: UInt64,
        durationMilliseconds: Int64, attempts: Int
    ) {
        self.direction = direction
        self.end = end
        self.hint = hint
        self.source = source
        self.sourceIdentity = sourceIdentity
        self.workload = workload
        self.destination = destination
        self.endpoint = endpoint
        self.destinationIdentity = destinationIdentity
        self.service = service
        self.node = node
        self.security = security
        self.bytesSent = bytesSent
        self.bytesReceived = bytesReceived
        self.durationMilliseconds = durationMilliseconds
        self.attempts = attempts
    }
}

/// `GET /v1/certificates`.
package struct CertificateList: Codable, Sendable, Equatable {
    package var certificates: [CertificateEntry]
    package init(certificates: [CertificateEntry]) { self.certificates = certificates }
}

package struct CertificateEntry: Codable, Sendable, Equatable {
    package enum Kind: String, Codable, Sendable, CaseIterable { case root, node, workload }
    package enum State: String, Codable, Sendable, CaseIterable {
        case valid
        /// Past its renewal time, and not renewed yet.
        case expiring
        case expired
        /// Asked for, and not there yet; `problem` says why if it is known.
        case pending
    }
    package var kind: Kind
    package var identity: String
    package var state: State
    package var problem: String
    /// RFC 3339; nil while pending.
    package var notAfter: String?
    /// From now; negative when it has ended.
    package var expiresInSeconds: Int64?
    package var renewsInSeconds: Int64?
    /// SHA-256 of the certificate, in hexadecimal; empty while pending.
    package var fingerprint: String
    package init(
        kind: Kind, identity: String, state: State, problem: String = "", notAfter: String?, expiresInSeconds: Int64?, renewsInSeconds: Int64?,
        fingerprint: String
    ) {
        self.kind = kind
        self.identity = identity
        self.state = state
        self.problem = problem
        self.notAfter = notAfter
        self.expiresInSeconds = expiresInSeconds
        self.renewsInSeconds = renewsInSeconds
        self.fingerprint = fingerprint
    }
}
