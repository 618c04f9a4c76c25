import Platform

extension NFClause {
    package static let counter = NFClause(.counter)
    package static let accept = NFClause(.verdict(.accept))
    package static let drop = NFClause(.verdict(.drop))
    package static let `return` = NFClause(.verdict(.return))
    package static func jump(_ chain: NFChain) -> NFClause { NFClause(.verdict(.jump(chain.name))) }
    package static func goto(_ chain: NFChain) -> NFClause { NFClause(.verdict(.goto(chain.name))) }
    package static let notrack = NFClause(.notrack)
    package static func limit(_ limit: NFLimit) -> NFClause { NFClause(.limit(limit)) }

    /// To a port of this host, in chains of type nat in prerouting and output. The rule must match TCP or UDP before.
    package static func redirect(to port: UInt16) -> NFClause {
        NFClause(needsPorts: true, .load(NFBytes.network(port), into: .first), .redirect(port: .first))
    }
    /// To the transparent socket at an address of this host, packet unchanged. The rule must match TCP or UDP before.
    ///
    /// Packets of a connection that has a socket of its own here go to that one, and if it is not transparent the rule does not match.
    package static func tproxy(to socket: SocketAddress) -> NFClause {
        let family: NFFamily = socket.ip.isV4 ? .ipv4 : .ipv6
        // Behind an address of either family.
        let port = NFRegister(word: 4)
        return NFClause(
            family: family, needsPorts: true, .load(socket.ip.bytes, into: .first), .load(NFBytes.network(socket.port), into: port),
            .tproxy(family, address: .first, port: port))
    }
    /// Gives a new connection of the policy's family its timeouts.
    package static func timeouts(_ policy: NFConntrackTimeouts) -> NFClause {
        NFClause(family: policy.family, .object(.conntrackTimeout, name: policy.name))
    }
    /// A reset is only for rules that match TCP.
    package static func reject(_ how: NFReject) -> NFClause {
        NFClause(transport: how == .tcpReset ? .tcp : nil, .reject(how))
    }

    /// `meta mark = (meta mark & ~mask) | value`.
    package static func setMark(_ value: UInt32, mask: UInt32 = .max) -> NFClause {
        stored(value, mask, load: .meta(.mark, into: .first), store: .setMeta(.mark, from: .first))
    }
    /// `ct mark = (ct mark & ~mask) | value`.
    package static func setConntrackMark(_ value: UInt32, mask: UInt32 = .max) -> NFClause {
        stored(value, mask, load: .conntrack(.mark, direction: nil, into: .first), store: .setConntrack(.mark, from: .first))
    }
    /// `meta mark = ct mark & mask`; other bits of the packet's mark are lost.
    package static func restoreMark(mask: UInt32 = .max) -> NFClause {
        copied(mask, load: .conntrack(.mark, direction: nil, into: .first), store: .setMeta(.mark, from: .first))
    }
    /// `ct mark = meta mark & mask`; other bits of the connection's mark are lost.
    package static func saveMark(mask: UInt32 = .max) -> NFClause {
        copied(mask, load: .meta(.mark, into: .first), store: .setConntrack(.mark, from: .first))
    }
    private static func stored(_ value: UInt32, _ mask: UInt32, load: NFExpression, store: NFExpression) -> NFClause {
        if mask == .max { return NFClause(.load(NFBytes.host(value), into: .first), store) }
        return NFClause(load, .bitwise(from: .first, into: .first, mask: NFBytes.host(~mask), xor: NFBytes.host(value & mask)), store)
    }
    private static func copied(_ mask: UInt32, load: NFExpression, store: NFExpression) -> NFClause {
        if mask == .max { return NFClause(load, store) }
        return NFClause(load, .bitwise(from: .first, into: .first, mask: NFBytes.host(mask), xor: NFBytes.host(UInt32(0))), store)
    }
}
