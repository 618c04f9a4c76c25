/// The data types that keys and data are made of. The numbers are those of `nft` (datatype.h of nftables): the kernel ignores them, `nft list` needs
/// them.
package enum NFType: UInt32, Hashable, Sendable {
    case ipv4Address = 7
    case ipv6Address = 8
    case internetProtocol = 12
    case port = 13
    case mark = 19
    case uid = 24
    case interfaceName = 41
    case cgroup = 46

    /// Bytes of one value.
    package var length: Int {
        switch self {
        case .ipv4Address, .mark, .uid: 4
        case .ipv6Address, .interfaceName: 16
        case .internetProtocol: 1
        case .port: 2
        case .cgroup: 8
        }
    }
    /// Whether values are in the host's byte order; all others are in network order.
    package var isHostOrder: Bool { self == .mark || self == .uid || self == .cgroup || self == .interfaceName }
}

/// The key of a set: one type, or several in a concatenation (`addr . port`), where each field is padded to four bytes.
package struct NFKey: Hashable, Sendable {
    package let fields: [NFType]

    package init(_ fields: NFType...) {
        precondition(!fields.isEmpty && fields.count <= 5, "a set key has one to five fields")
        self.fields = fields
    }
    init(fields: [NFType]) { self.fields = fields }

    package static let cgroup = NFKey(.cgroup)
    package static let ipv4 = NFKey(.ipv4Address)
    package static let ipv6 = NFKey(.ipv6Address)
    package static let port = NFKey(.port)
    package static let mark = NFKey(.mark)
    package static let ipv4AndPort = NFKey(.ipv4Address, .port)
    package static let ipv6AndPort = NFKey(.ipv6Address, .port)

    package var isConcatenation: Bool { fields.count > 1 }
    /// Bytes of one key.
    package var length: Int { isConcatenation ? fields.reduce(0) { $0 + ($1.length + 3) / 4 * 4 } : fields[0].length }
    /// Six bits for each field, as `nft` packs them.
    var typeNumber: UInt32 { fields.reduce(0) { $0 << 6 | $1.rawValue } }

    init?(typeNumber: UInt32) {
        var number = typeNumber
        var fields: [NFType] = []
        while number != 0 {
            guard let type = NFType(rawValue: number & 0x3f) else { return nil }
            fields.insert(type, at: 0)
            number >>= 6
        }
        guard !fields.isEmpty, fields.count <= 5 else { return nil }
        self.fields = fields
    }
}

/// A named set, or a map when it has a data type.
package struct NFSet: Hashable, Sendable, CustomStringConvertible {
    package struct Flags: OptionSet, Hashable, Sendable {
        package let rawValue: UInt32
        package init(rawValue: UInt32) { self.rawValue = rawValue }
        /// Elements may be ranges and networks.
        package static let interval = Flags(rawValue: 4)
    }
    /// What a map maps to.
    package enum DataType: Hashable, Sendable {
        case value(NFType)
        case verdict
    }

    package let table: NFTableID
    package let name: String
    package let key: NFKey
    package let flags: Flags
    package let data: DataType?
    package let comment: String?

    package init(table: NFTableID, name: String, key: NFKey, flags: Flags = [], data: DataType? = nil, comment: String? = nil) {
        self.table = table
        self.name = name
        self.key = key
        self.flags = flags
        self.data = data
        self.comment = NFUserData.fitting(comment)
    }

    package var isInterval: Bool { flags.contains(.interval) }
    package var description: String { "\(table) \(name)" }
}
