/// Attribute numbers are those of linux/netfilter/nf_tables.h; all numbers are in network order.
extension NFExpression {
    /// From NFTA_EXPR_NAME and the contents of NFTA_EXPR_DATA. Whatever this module would not make itself becomes `.foreign`.
    init(name: String, data: NetlinkAttributes, in family: NFFamily) {
        self = Self.decoded(name, NFAttributeTable(data), family) ?? .foreign(name)
    }

    private static func decoded(_ name: String, _ at: NFAttributeTable, _ family: NFFamily) -> NFExpression? {
        switch name {
        case "meta":
            guard let key = at.number(2).flatMap(NFMetaKey.init(rawValue:)) else { return nil }
            if let into = at.register(1) { return .meta(key, into: into) }
            return at.register(3).map { .setMeta(key, from: $0) }
        case "payload":
            guard let into = at.register(1), let header = at.number(2).flatMap(NFHeader.init(rawValue:)), let offset = at.number(3),
                let length = at.number(4)
            else { return nil }
            return .payload(header, offset: offset, length: length, into: into)
        case "ct":
            guard let key = at.number(2).flatMap(NFConntrackKey.init(rawValue:)) else { return nil }
            if let from = at.register(4) { return .setConntrack(key, from: from) }
            return at.register(1).map { .conntrack(key, direction: at.byte(3).flatMap(NFDirection.init(rawValue:)), into: $0) }
        case "socket":
            guard let key = at.number(1).flatMap(NFSocketKey.init(rawValue:)), let into = at.register(2) else { return nil }
            return .socket(key, level: at.number(3) ?? 0, into: into)
        case "cmp":
            guard let from = at.register(1), let comparison = at.number(2).flatMap(NFComparison.init(rawValue:)), let value = at.value(3) else {
                return nil
            }
            return .compare(from, comparison, value)
        case "range":
            guard let from = at.register(1), let operation = at.number(2), let low = at.value(3), let high = at.value(4) else { return nil }
            return .range(from, inverted: operation == 1, from: low, to: high)
        case "bitwise":
            // Operations beyond mask and xor (shifts; newer kernels also and, or, xor of registers) are not ours.
            guard at.number(6) ?? 0 == 0, let from = at.register(1), let into = at.register(2), let mask = at.value(4), let xor = at.value(5) else {
                return nil
            }
            return .bitwise(from: from, into: into, mask: mask, xor: xor)
        case "lookup":
            guard let set = at.text(1), let key = at.register(2) else { return nil }
            return .lookup(set: set, key: key, inverted: at.number(5) ?? 0 & 1 != 0, into: at.register(3))
        case "immediate":
            guard let into = at.register(1) else { return nil }
            if let value = at.value(2) { return .load(value, into: into) }
            return at.verdict(2).map { .verdict($0) }
        case "redir": return .redirect(port: at.register(1))
        case "tproxy":
            guard let number = at.number(1), let family = number == 0 ? .inet : NFFamily(rawValue: UInt8(truncatingIfNeeded: number)) else {
                return nil
            }
            return .tproxy(family, address: at.register(2), port: at.register(3))
        case "reject":
            guard let type = at.number(1), let reject = NFReject(type: type, code: at.byte(2) ?? 0, in: family) else { return nil }
            return .reject(reject)
        case "fib":
            guard let into = at.register(1), let result = at.number(2).flatMap(NFFibResult.init(rawValue:)), let flags = at.number(3) else {
                return nil
            }
            return .fib(result, flags: NFFibFlags(rawValue: flags), into: into)
        case "limit":
            guard let rate = at.wide(1), let unit = at.wide(2).flatMap(NFLimit.Unit.init(rawValue:)), at.number(4) ?? 0 == 0 else { return nil }
            return .limit(NFLimit(rate, per: unit, burst: at.number(3) ?? 0, over: at.number(5) ?? 0 & 1 != 0))
        case "counter": return .counter
        case "notrack": return .notrack
        case "objref":
            guard let type = at.number(1).flatMap(NFObjectType.init(rawValue:)), let name = at.text(2) else { return nil }
            return .object(type, name: name)
        default: return nil
        }
    }
}

/// The attributes of one nest by their numbers; those above 15 do not occur in what we read.
struct NFAttributeTable {
    private var slots = [NetlinkAttribute?](repeating: nil, count: 16)

    init(_ attributes: NetlinkAttributes) {
        for attribute in attributes where attribute.type < 16 { slots[Int(attribute.type)] = attribute }
    }
    subscript(_ type: Int) -> NetlinkAttribute? { slots[type] }

    func number(_ type: Int) -> UInt32? { slots[type].map { UInt32(bigEndian: $0.number(UInt32.self)) } }
    func wide(_ type: Int) -> UInt64? { slots[type].map { UInt64(bigEndian: $0.number(UInt64.self)) } }
    func byte(_ type: Int) -> UInt8? { slots[type]?.value.first }
    func text(_ type: Int) -> String? { slots[type]?.string }
    func register(_ type: Int) -> NFRegister? { number(type).flatMap(NFRegister.init(number:)) }
    /// NFTA_DATA_VALUE in a nest.
    func value(_ type: Int) -> [UInt8]? { slots[type]?.nested.first { $0.type == 1 }?.bytes }
    /// NFTA_DATA_VERDICT in a nest.
    func verdict(_ type: Int) -> NFVerdict? {
        guard let nest = slots[type]?.nested.first(where: { $0.type == 2 })?.nested else { return nil }
        let parts = NFAttributeTable(nest)
        guard let code = parts.number(1) else { return nil }
        return NFVerdict(code: Int32(bitPattern: code), chain: parts.text(2))
    }
}
