import CNetfilter

/// The address families that nftables knows; a table has one for all its chains.
package enum NFFamily: UInt8, Hashable, Sendable, CustomStringConvertible {
    case inet = 1
    case ipv4 = 2
    case ipv6 = 10

    /// As `nft list` writes it.
    package var description: String {
        switch self {
        case .inet: "inet"
        case .ipv4: "ip"
        case .ipv6: "ip6"
        }
    }
}

/// What identifies a table within a network namespace.
package struct NFTableID: Hashable, Sendable, CustomStringConvertible {
    package let family: NFFamily
    package let name: String

    package init(family: NFFamily = .inet, name: String) {
        self.family = family
        self.name = name
    }

    package var description: String { "\(family) \(name)" }
}

/// A table. Everything else lives in one; deleting it deletes everything in it.
package struct NFTable: Hashable, Sendable, CustomStringConvertible {
    /// `enum nft_table_flags` in linux/netfilter/nf_tables.h.
    package struct Flags: OptionSet, Hashable, Sendable {
        package let rawValue: UInt32
        package init(rawValue: UInt32) { self.rawValue = rawValue }
        /// Loaded but without effect: its base chains are not hooked in.
        package static let dormant = Flags(rawValue: 1)
        /// Belongs to the netlink socket that made it: gone when the socket closes, and nobody else may change it (Linux 5.12).
        package static let owner = Flags(rawValue: 2)
    }

    package let id: NFTableID
    package var flags: Flags
    /// Cut to 120 bytes; `nft list` shows it.
    package let comment: String?

    package init(family: NFFamily = .inet, name: String, flags: Flags = [], comment: String? = nil) {
        id = NFTableID(family: family, name: name)
        self.flags = flags
        self.comment = NFUserData.fitting(comment)
    }

    package var family: NFFamily { id.family }
    package var name: String { id.name }
    package var description: String { id.description }

    /// A chain that packets enter from a hook.
    package func baseChain(_ name: String, _ type: NFChain.Kind, hook: NFHook, priority: Int32, policy: NFChain.Policy = .accept) -> NFChain {
        NFChain(table: id, name: name, base: .init(kind: type, hook: hook, priority: priority, policy: policy))
    }
    /// A chain that packets enter only by `jump` or `goto`.
    package func chain(_ name: String) -> NFChain { NFChain(table: id, name: name, base: nil) }

    package func set(_ name: String, key: NFKey, flags: NFSet.Flags = [], comment: String? = nil) -> NFSet {
        NFSet(table: id, name: name, key: key, flags: flags, data: nil, comment: comment)
    }
    package func map(_ name: String, key: NFKey, to data: NFSet.DataType, flags: NFSet.Flags = [], comment: String? = nil) -> NFSet {
        NFSet(table: id, name: name, key: key, flags: flags, data: data, comment: comment)
    }
}
