/// One expression as the kernel runs it, in terms of registers. Rules are normally written with `NFClause`, which makes these.
package enum NFExpression: Hashable, Sendable {
    /// Loads a property of the packet.
    case meta(NFMetaKey, into: NFRegister)
    /// Stores into a property of the packet (its mark).
    case setMeta(NFMetaKey, from: NFRegister)
    /// Loads bytes of a header.
    case payload(NFHeader, offset: UInt32, length: UInt32, into: NFRegister)
    /// Loads a property of the packet's conntrack entry; a direction is needed for addresses and ports only.
    case conntrack(NFConntrackKey, direction: NFDirection?, into: NFRegister)
    case setConntrack(NFConntrackKey, from: NFRegister)
    /// Loads a property of the local socket of the packet. `level` counts cgroups from the root (1) and is 0 for all other keys.
    case socket(NFSocketKey, level: UInt32, into: NFRegister)
    case compare(NFRegister, NFComparison, [UInt8])
    case range(NFRegister, inverted: Bool, from: [UInt8], to: [UInt8])
    /// `into = (from & mask) ^ xor`.
    case bitwise(from: NFRegister, into: NFRegister, mask: [UInt8], xor: [UInt8])
    /// Whether the key is in the set; with `into`, the value of the map (into the verdict register: the verdict).
    case lookup(set: String, key: NFRegister, inverted: Bool, into: NFRegister?)
    case load([UInt8], into: NFRegister)
    case verdict(NFVerdict)
    /// To this host, at the port in the register.
    case redirect(port: NFRegister?)
    /// Hands the packet to a transparent local socket without changing it; for prerouting chains of type filter. Without an address the socket is looked
    /// for at the address of the interface that the packet came from.
    case tproxy(NFFamily, address: NFRegister?, port: NFRegister?)
    case reject(NFReject)
    case counter
    case fib(NFFibResult, flags: NFFibFlags, into: NFRegister)
    case limit(NFLimit)
    /// Keeps the packet out of conntrack; only before conntrack (priority below −200).
    case notrack
    /// Uses an object of the table by its name.
    case object(NFObjectType, name: String)
    /// An expression in the kernel that this module does not make; the name is the kernel's.
    case foreign(String)
}

/// A place of four bytes in the rule's memory; longer values take the following places too.
package struct NFRegister: Hashable, Sendable {
    /// 0–15; −1 is the verdict register.
    package let word: Int
    package init(word: Int) {
        precondition((-1...15).contains(word))
        self.word = word
    }
    package static let verdict = NFRegister(word: -1)
    package static let first = NFRegister(word: 0)

    /// The kernel's number (`enum nft_registers`), in the form in which it lists it.
    var number: UInt32 { word < 0 ? 0 : word % 4 == 0 ? UInt32(1 + word / 4) : UInt32(8 + word) }
    init?(number: UInt32) {
        switch number {
        case 0: self = .verdict
        case 1...4: self.init(word: Int(number - 1) * 4)
        case 8...23: self.init(word: Int(number) - 8)
        default: return nil
        }
    }
}

/// `enum nft_meta_keys`.
package enum NFMetaKey: UInt32, Hashable, Sendable {
    case length = 0
    case `protocol`, priority, mark, inputIndex, outputIndex, inputName, outputName, inputType, outputType
    case socketUID, socketGID, trace
    case networkProtocol = 15
    case transportProtocol = 16
    case packetType = 19
}

/// `enum nft_payload_bases`.
package enum NFHeader: UInt32, Hashable, Sendable { case link, network, transport }

/// `enum nft_ct_keys`.
package enum NFConntrackKey: UInt32, Hashable, Sendable {
    case state = 0
    case direction, status, mark
    case transportProtocol = 10
    case sourcePort = 11
    case destinationPort = 12
    case zone = 17
    case ipv4Source = 19
    case ipv4Destination = 20
    case ipv6Source = 21
    case ipv6Destination = 22
}
/// `enum ip_conntrack_dir`.
package enum NFDirection: UInt8, Hashable, Sendable { case original, reply }
/// `enum nft_socket_keys`.
package enum NFSocketKey: UInt32, Hashable, Sendable { case transparent, mark, wildcard, cgroup }
/// NFT_OBJECT_… of linux/netfilter/nf_tables.h.
package enum NFObjectType: UInt32, Hashable, Sendable { case conntrackTimeout = 7 }
/// `enum nft_cmp_ops`.
package enum NFComparison: UInt32, Hashable, Sendable { case equal, notEqual, less, lessOrEqual, greater, greaterOrEqual }
/// `enum nft_fib_result`.
package enum NFFibResult: UInt32, Hashable, Sendable {
    case interfaceIndex = 1
    case interfaceName, addressType
}
/// `enum nft_fib_flags`.
package struct NFFibFlags: OptionSet, Hashable, Sendable {
    package let rawValue: UInt32
    package init(rawValue: UInt32) { self.rawValue = rawValue }
    package static let source = NFFibFlags(rawValue: 1)
    package static let destination = NFFibFlags(rawValue: 2)
    package static let mark = NFFibFlags(rawValue: 4)
    package static let inputInterface = NFFibFlags(rawValue: 8)
    package static let outputInterface = NFFibFlags(rawValue: 16)
}

/// What happens to the packet.
package enum NFVerdict: Hashable, Sendable {
    case accept
    case drop
    case `continue`
    case `return`
    case jump(String)
    case goto(String)
}

/// How a packet is refused. ICMP answers take the form of the packet's family.
package enum NFReject: Hashable, Sendable {
    case tcpReset
    /// ICMP "port unreachable": a UDP sender gets ECONNREFUSED.
    case portUnreachable
    case hostUnreachable
    case noRoute
    /// ICMP "communication administratively prohibited".
    case prohibited
}

/// A token bucket; the rule matches while tokens last, or (`over`) when they are used up.
package struct NFLimit: Hashable, Sendable {
    package enum Unit: UInt64, Hashable, Sendable {
        case second = 1
        case minute = 60
        case hour = 3600
    }
    /// Packets per unit.
    package let rate: UInt64
    package let unit: Unit
    package let burst: UInt32
    package let over: Bool
    package init(_ rate: UInt64, per unit: Unit, burst: UInt32 = 5, over: Bool = false) {
        self.rate = rate
        self.unit = unit
        self.burst = burst
        self.over = over
    }
}
