import MeshModel
import Platform
import SWIM

/// A member of the pool. Gossip has no identity: this is a hint until a certificate has proved the name.
package struct GossipMember: Hashable, Sendable {
    package var name: String
    package var address: SocketAddress
    package var state: Liveness
    package var incarnation: UInt32
    package var tags: Tags
    /// When it came into this state, by our clock.
    package var since: WallTime
    package var isLocal: Bool

    init(_ member: Member, local: String, now: MonotonicTime, wall: WallTime) {
        name = member.name
        address = member.address
        state = Liveness(member.state)
        incarnation = member.incarnation
        tags = Tags(meta: member.meta)
        let ago = (now - member.since).nanoseconds
        let total = wall.seconds * 1_000_000_000 + Int64(wall.nanoseconds) - max(0, ago)
        since = WallTime(seconds: total / 1_000_000_000, nanoseconds: Int32(total % 1_000_000_000))
        isLocal = member.name == local
    }
}

extension Liveness {
    init(_ state: MemberState) {
        switch state {
        case .alive: self = .alive
        case .suspect: self = .suspect
        case .dead: self = .dead
        case .left: self = .left
        }
    }
}

/// A change of one member, told once, with who said so and why.
package struct GossipEvent: Hashable, Sendable, CustomStringConvertible {
    package var kind: MemberEvent.Kind
    package var member: GossipMember
    /// The member that says so.
    package var by: String
    package var cause: MemberEvent.Cause

    /// One sentence for the journal.
    package var description: String { "\(member.name) (\(member.address)) \(word): \(why)" }

    private var word: String { kind == .confirmed ? "suspicion confirmed" : kind.rawValue }

    /// Who said so, and on what ground.
    package var why: String {
        switch cause {
        case .gossip: "says \(by)"
        case .exchange: "in the state of \(by)"
        case .unanswered(let helpers): "it answered neither us nor \(helpers) helpers"
        case .refused(let witnesses): "it does not answer, and its port refuses \(witnesses.joined(separator: " and "))"
        case .suspicionExpired(let confirmers): "suspected by \(confirmers.joined(separator: ", ")) and not refuted"
        case .claimed(let address): "the node at \(address) has its name too, and both answer; rename one of them (`node.name`)"
        case .ourselves: "by ourselves"
        case .expired: "gone for too long"
        }
    }
}

/// What a join came to.
package struct JoinResult: Sendable {
    /// How many of the addresses answered with their state.
    package var contacted: Int
    package var failures: [JoinFailure]
}

extension DialFailure {
    /// For the operator: what happened, and where to look.
    package var explanation: String {
        switch self {
        case .refused: "nobody listens there"
        case .unreachable: "it cannot be reached"
        case .timedOut: "it did not answer in time: is a firewall between the nodes, or the gossip port blocked for TCP?"
        case .closed: "it closed the stream without an answer: it has another gossip key or label, or is no gossip member"
        case .invalid(let reason): "its answer was refused: \(reason.explanation)"
        case .rejected(let text): "it refused us: \(text)"
        case .busy: "too many streams are open"
        }
    }
}
