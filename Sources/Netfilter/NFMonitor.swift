import CNetfilter
import Glibc
import Platform

/// Reports changes to nftables in the network namespace in which it was made, own changes included.
///
/// Watch `fd` for reading (level-triggered) and call `drain` when it is readable. Not thread-safe.
package final class NFMonitor {
    private let socket: NetlinkSocket

    /// Bytes of events that may wait; beyond it `drain` reports `.overflow`.
    package static let receiveBuffer = 4 << 20
    /// Events that one `drain` returns at most, so that a storm cannot hold the control loop; the rest stays readable.
    package static let batch = 4096

    package init() throws(NetfilterError) {
        socket = try NetlinkSocket(protocol: NETLINK_NETFILTER)
        socket.reserveReceive(Self.receiveBuffer)
        do { try socket.join(UInt32(NFNLGRP_NFTABLES.rawValue)) } catch { throw NetfilterError(.watch, .netlinkSocket, "nftables", error) }
    }

    package var fd: CInt { socket.fd }

    /// All events that wait; never blocks.
    package func drain() throws(NetfilterError) -> [NFEvent] {
        try socket.drain("nftables", most: Self.batch, overflow: .overflow, Self.event)
    }

    /// Attribute numbers from linux/netfilter/nf_tables.h.
    static func event(_ message: NetlinkMessage) -> NFEvent? {
        guard message.type >> 8 == UInt16(NFNL_SUBSYS_NFTABLES), let familyNumber = message.payload.first else { return nil }
        let number = nf_tables_msg_types(UInt32(message.type & 0xff))
        let attributes = message.attributes(after: 4)
        let kind: NFChange.Kind
        switch number {
        case NFT_MSG_NEWGEN: return committed(message)
        case NFT_MSG_NEWTABLE, NFT_MSG_DELTABLE: kind = .table
        case NFT_MSG_NEWCHAIN, NFT_MSG_DELCHAIN: kind = .chain
        case NFT_MSG_NEWRULE, NFT_MSG_DELRULE: kind = .rule
        case NFT_MSG_NEWSET, NFT_MSG_DELSET: kind = .set
        case NFT_MSG_NEWSETELEM, NFT_MSG_DELSETELEM: kind = .element
        case NFT_MSG_NEWOBJ, NFT_MSG_DELOBJ, NFT_MSG_NEWFLOWTABLE, NFT_MSG_DELFLOWTABLE: kind = .object
        default: return nil
        }
        // Tables of other families (arp, bridge, netdev) are nobody's business here.
        guard let family = NFFamily(rawValue: familyNumber) else { return nil }
        let isAddition = [
            NFT_MSG_NEWTABLE, NFT_MSG_NEWCHAIN, NFT_MSG_NEWRULE, NFT_MSG_NEWSET, NFT_MSG_NEWSETELEM, NFT_MSG_NEWOBJ, NFT_MSG_NEWFLOWTABLE,
        ]
        .contains(number)
        var table = ""
        var name = ""
        var comment: String?
        for attribute in attributes {
            switch (kind, attribute.type) {
            case (_, 1): table = attribute.string
            case (.chain, 3), (.set, 2), (.element, 2), (.rule, 2), (.object, 2): name = attribute.string
            case (.rule, 7): comment = NFUserData.comment(in: attribute.value)
            default: break
            }
        }
        let change = NFChange(
            kind: kind, isAddition: isAddition, table: NFTableID(family: family, name: table), name: name, comment: comment, port: message.port)
        return .change(change)
    }

    private static func committed(_ message: NetlinkMessage) -> NFEvent {
        var generation: UInt32 = 0
        var thread: UInt32 = 0
        var name = ""
        for attribute in message.attributes(after: 4) {
            switch attribute.type {
            case 1: generation = UInt32(bigEndian: attribute.number(UInt32.self))
            case 2: thread = UInt32(bigEndian: attribute.number(UInt32.self))
            case 3: name = attribute.string
            default: break
            }
        }
        return .committed(generation: generation, port: message.port, thread: thread, name: name)
    }
}
