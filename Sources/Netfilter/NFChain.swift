/// Where in a packet's way a base chain sits (`enum nf_inet_hooks`, linux/netfilter.h).
package enum NFHook: UInt32, Hashable, Sendable {
    case prerouting = 0
    case input = 1
    case forward = 2
    case output = 3
    case postrouting = 4
}

/// A list of rules.
package struct NFChain: Hashable, Sendable, CustomStringConvertible {
    /// What the chain's rules may do. `nat` sees only the first packet of a connection; `route` routes the packet again when its mark changed.
    package enum Kind: String, Hashable, Sendable {
        case filter
        case nat
        case route
    }
    package enum Policy: UInt32, Hashable, Sendable {
        case drop = 0
        case accept = 1
    }
    package struct Base: Hashable, Sendable {
        package let kind: Kind
        package let hook: NFHook
        /// Lower runs earlier; conntrack is at −200 in prerouting and output, destination NAT at −100, filter at 0.
        package let priority: Int32
        package var policy: Policy
        package init(kind: Kind, hook: NFHook, priority: Int32, policy: Policy = .accept) {
            self.kind = kind
            self.hook = hook
            self.priority = priority
            self.policy = policy
        }
    }

    package let table: NFTableID
    package let name: String
    /// nil: a regular chain.
    package let base: Base?

    package init(table: NFTableID, name: String, base: Base? = nil) {
        self.table = table
        self.name = name
        self.base = base
    }

    package var description: String { "\(table) \(name)" }

    /// A rule at this chain's end. Families and protocols that a clause depends on are matched before it by themselves.
    ///
    /// - Parameter comment: cut to 120 bytes; names the rule in `nft list`, in errors and in change events.
    package func rule(_ comment: String, _ clauses: NFClause...) -> NFRule {
        NFRule(chain: self, clauses: clauses, comment: comment)
    }
}
