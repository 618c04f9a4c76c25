import Platform

/// What membership holds of a node. At equal incarnation each case overrides those before it; the raw values are the wire's.
package enum MemberState: UInt8, Hashable, Sendable {
    case alive = 0
    case suspect = 1
    case dead = 2
    case left = 3

    var isLive: Bool { self == .alive || self == .suspect }
}

/// The versions a node speaks: memberlist's protocol and its client's (Serf's), each as lowest, highest and current.
package struct ProtocolVersions: Hashable, Sendable {
    package var minimum, maximum, current, delegateMinimum, delegateMaximum, delegateCurrent: UInt8

    package init(_ minimum: UInt8, _ maximum: UInt8, _ current: UInt8, _ delegateMinimum: UInt8, _ delegateMaximum: UInt8, _ delegateCurrent: UInt8) {
        self.minimum = minimum
        self.maximum = maximum
        self.current = current
        self.delegateMinimum = delegateMinimum
        self.delegateMaximum = delegateMaximum
        self.delegateCurrent = delegateCurrent
    }
    /// Six bytes as on the wire. Fewer leave the versions unset (all zero), as memberlist does; nil for a contradiction.
    init?(wire bytes: ArraySlice<UInt8>) {
        guard bytes.count >= 6 else {
            self.init(0, 0, 0, 0, 0, 0)
            return
        }
        let at = bytes.startIndex
        self.init(bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3], bytes[at + 4], bytes[at + 5])
        guard maximum != 0, minimum <= maximum else { return nil }
    }
    /// Unset ones are nothing at all: six zeros would be a contradiction, and an exchange with one in it is refused as a whole.
    var wire: [UInt8] { maximum == 0 ? [] : [minimum, maximum, current, delegateMinimum, delegateMaximum, delegateCurrent] }

    // What the peer understands, by its highest version.
    var answersStreamPings: Bool { maximum >= 3 }
    var sendsNacks: Bool { maximum >= 4 }
    var readsChecksums: Bool { maximum >= 5 }
}

/// The kind of pool: it decides the versions that are announced and whether there is a Serf layer.
package enum PoolKind: String, Hashable, Sendable {
    /// Serf agents can be members; metadata are tags.
    case serf
    /// memberlist alone.
    case bare

    package var versions: ProtocolVersions { self == .serf ? ProtocolVersions(1, 5, 2, 2, 5, 5) : ProtocolVersions(1, 5, 2, 0, 0, 0) }
}

/// One member as others may see it.
package struct Member: Hashable, Sendable {
    package var name: String
    package var address: SocketAddress
    package var state: MemberState
    package var incarnation: UInt32
    /// Opaque; in a Serf pool see `Tags`.
    package var meta: [UInt8]
    package var versions: ProtocolVersions
    /// When it came into this state, by our clock.
    package var since: MonotonicTime
}

/// A change in what membership holds of a node, with who said so and why.
package struct MemberEvent: Hashable, Sendable {
    package enum Kind: String, Hashable, Sendable {
        /// Was unknown, dead or gone.
        case joined
        /// Alive as before, with other metadata or another address.
        case updated
        case suspected
        /// Another member suspects it too: less is left of its time to refute.
        case confirmed
        /// Was suspected, and is alive after all.
        case recovered
        case died
        case left
        /// Another node claims its name, and both answer.
        case contested
        /// No longer listed; only reconnecting may bring it back.
        case forgotten
    }
    package enum Cause: Hashable, Sendable {
        /// A message that anyone may have passed on; `by` is the member that first said so.
        case gossip
        /// The other side of a full exchange of state holds it so.
        case exchange
        /// It answered neither us nor the helpers, of which `helpers` were asked.
        case unanswered(helpers: Int)
        /// It answered nobody, and these members found that nobody listens at its address any more.
        case refused(seenBy: [String])
        /// Nobody refuted the suspicion in time; these members confirmed it.
        case suspicionExpired(confirmedBy: [String])
        /// The node at this address claims the name.
        case claimed(by: SocketAddress)
        case ourselves
        /// Dead or gone for longer than `gossipToTheDead`.
        case expired
    }
    package var kind: Kind
    package var member: Member
    /// The member that says so.
    package var by: String
    package var cause: Cause
}
