/// A change to nftables made by anyone, as the kernel announced it.
package struct NFChange: Hashable, Sendable {
    package enum Kind: String, Hashable, Sendable { case table, chain, set, element, rule, object }

    package let kind: Kind
    /// Made or changed; otherwise deleted.
    package let isAddition: Bool
    package let table: NFTableID
    /// The chain or set concerned; empty for tables.
    package let name: String
    /// The comment of a rule.
    package let comment: String?
    /// The netlink address of the one who made the change (`NFTables.port` for own ones).
    package let port: UInt32
}

/// What an `NFMonitor` reports.
package enum NFEvent: Hashable, Sendable {
    case change(NFChange)
    /// The end of a transaction: its changes came before. The thread that committed it and its name are 0 and empty where the kernel doesn't tell.
    case committed(generation: UInt32, port: UInt32, thread: UInt32, name: String)
    /// Events were lost (the socket's buffer was full): compare everything.
    case overflow
}
