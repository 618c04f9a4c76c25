/// `GET /v1/members/changes`.
package struct MemberWatch: Sendable, Equatable {
    package static let maximumTimeoutSeconds = 300
    package static let defaultTimeoutSeconds = 30
    /// The last change that the caller knows; nil: none yet, and the answer says where to begin.
    package var after: UInt64?
    package var timeoutSeconds: Int
    package init(after: UInt64?, timeoutSeconds: Int = defaultTimeoutSeconds) {
        self.after = after
        self.timeoutSeconds = timeoutSeconds
    }
}

package struct MemberChanges: Codable, Sendable, Equatable {
    /// In their order.
    package var changes: [MemberChange]
    /// The number of the last change: `after` of the next call. Numbers begin again when the agent does.
    package var last: UInt64
    /// Changes after the caller's number that are not kept any more.
    package var missed: UInt64
    package init(changes: [MemberChange], last: UInt64, missed: UInt64 = 0) {
        self.changes = changes
        self.last = last
        self.missed = missed
    }
}

/// What happened to one member, who said so and why.
package struct MemberChange: Codable, Sendable, Equatable {
    package enum Kind: String, Codable, Sendable, CaseIterable { case joined, updated, suspected, confirmed, recovered, died, left, contested, forgotten }
    package enum Cause: String, Codable, Sendable, CaseIterable {
        /// A message that anyone may have passed on.
        case gossip
        /// The whole state of another member.
        case exchange
        /// It answered neither this node nor the helpers.
        case unanswered
        /// It answered nobody, and its port refused the members in `suspectedBy`.
        case refused
        /// It was suspected, and nobody refuted that in time.
        case notRefuted
        /// Another node, at `claimant`, has its name, and both answer.
        case claimed
        case ourselves
        /// Dead or gone for so long that it is not listed any more.
        case expired
    }

    package var number: UInt64
    package var time: String
    package var name: String
    package var address: String
    package var kind: Kind
    package var state: Member.State
    /// The member that says so.
    package var by: String
    package var cause: Cause
    /// How many other members were asked to try, when it did not answer.
    package var helpers: Int?
    /// Who suspected it, the first one first; those after it confirmed.
    package var suspectedBy: [String]
    /// The other node's address, when two have one name.
    package var claimant: String?
    /// `by`, `cause` and the rest as one phrase.
    package var why: String

    package init(
        number: UInt64, time: String, name: String, address: String, kind: Kind, state: Member.State, by: String, cause: Cause, helpers: Int? = nil,
        suspectedBy: [String] = [], claimant: String? = nil, why: String
    ) {
        self.number = number
        self.time = time
        self.name = name
        self.address = address
        self.kind = kind
        self.state = state
        self.by = by
        self.cause = cause
        self.helpers = helpers
        self.suspectedBy = suspectedBy
        self.claimant = claimant
        self.why = why
    }
}
