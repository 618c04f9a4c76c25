/// One rule: expressions that the kernel runs left to right until one does not match.
///
/// Equality is by place, expressions and comment; counters and handles are not part of a rule (see `NFListedRule`).
package struct NFRule: Hashable, Sendable, CustomStringConvertible {
    package let table: NFTableID
    package let chain: String
    package let expressions: [NFExpression]
    /// Cut to 120 bytes; kept in the rule's user data, as `nft` does it.
    package let comment: String?

    package init(table: NFTableID, chain: String, expressions: [NFExpression], comment: String?) {
        self.table = table
        self.chain = chain
        self.expressions = expressions
        self.comment = NFUserData.fitting(comment)
    }
    package init(chain: NFChain, clauses: [NFClause], comment: String?) {
        self.init(table: chain.table, chain: chain.name, expressions: NFClause.expressions(of: clauses, in: chain.table.family), comment: comment)
    }

    package var description: String { "\(table) \(chain)" + (comment.map { " \"\($0)\"" } ?? "") }
}

/// A rule as the kernel lists it.
package struct NFListedRule: Hashable, Sendable {
    package let rule: NFRule
    /// The kernel's number of the rule, unique in its table; needed to delete or replace it.
    package let handle: UInt64
    /// The counter of the rule, when it has one.
    package let packets: UInt64?
    package let bytes: UInt64?
}
