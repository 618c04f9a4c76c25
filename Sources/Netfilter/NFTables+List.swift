import CNetfilter
import Glibc
import Platform

/// What the kernel holds. Tables of other families than inet, ip and ip6 are left out.
extension NFTables {
    package func tables() throws(NetfilterError) -> [NFTable] {
        try list(NFT_MSG_GETTABLE, nil, { _ in }, .table, "") { family, at in
            at.text(1).map { NFTable(family: family, name: $0, flags: .init(rawValue: at.number(2) ?? 0), comment: at.comment(6)) }
        }
    }
    package func chains(_ table: NFTableID) throws(NetfilterError) -> [NFChain] {
        try list(NFT_MSG_GETCHAIN, table, { _ in }, .chain, "\(table)") { family, at in
            guard family == table.family, at.text(1) == table.name, let name = at.text(3) else { return nil }
            var base: NFChain.Base?
            if let nest = at[4]?.nested {
                let hook = NFAttributeTable(nest)
                if let kind = at.text(7).flatMap(NFChain.Kind.init(rawValue:)), let number = hook.number(1).flatMap(NFHook.init(rawValue:)) {
                    base = NFChain.Base(
                        kind: kind, hook: number, priority: Int32(bitPattern: hook.number(2) ?? 0), policy: at.number(5) == 0 ? .drop : .accept)
                }
            }
            return NFChain(table: table, name: name, base: base)
        }
    }
    /// The named sets and maps whose types this module knows.
    package func sets(_ table: NFTableID) throws(NetfilterError) -> [NFSet] {
        try list(NFT_MSG_GETSET, table, { $0.put(1, table.name) }, .set, "\(table)") { family, at in
            guard family == table.family, at.text(1) == table.name, let name = at.text(2) else { return nil }
            let flags = at.number(3) ?? 0
            guard flags & NFT_SET_ANONYMOUS.rawValue == 0, let key = at.number(4).flatMap(NFKey.init(typeNumber:)) else { return nil }
            var data: NFSet.DataType?
            if flags & NFT_SET_MAP.rawValue != 0, let number = at.number(6) {
                guard let type = number == NFT_DATA_VERDICT.rawValue ? .verdict : NFType(rawValue: number).map({ NFSet.DataType.value($0) }) else {
                    return nil
                }
                data = type
            }
            return NFSet(
                table: table, name: name, key: key, flags: NFSet.Flags(rawValue: flags).intersection(.interval), data: data,
                comment: at.comment(13, NFUserData.setComment))
        }
    }
    /// The rules of the table in their order, of one chain if it is given.
    package func rules(_ table: NFTableID, chain: String? = nil) throws(NetfilterError) -> [NFListedRule] {
        let request: (inout NetlinkRequest) -> Void = {
            $0.put(1, table.name)
            if let chain { $0.put(2, chain) }
        }
        return try list(NFT_MSG_GETRULE, table, request, .rule, "\(table)" + (chain.map { " \($0)" } ?? "")) { family, at in
            guard family == table.family, at.text(1) == table.name, let inChain = at.text(2), let handle = at.wide(3) else { return nil }
            var expressions: [NFExpression] = []
            var packets: UInt64?
            var bytes: UInt64?
            if let nest = at[4]?.nested {
                for item in nest {
                    let parts = NFAttributeTable(item.nested)
                    let name = parts.text(1) ?? ""
                    let data = parts[2]?.nested ?? NetlinkAttributes(UnsafeRawBufferPointer(start: nil, count: 0))
                    expressions.append(NFExpression(name: name, data: data, in: family))
                    if name == "counter" {
                        let counts = NFAttributeTable(data)
                        bytes = counts.wide(1)
                        packets = counts.wide(2)
                    }
                }
            }
            let rule = NFRule(table: table, chain: inChain, expressions: expressions, comment: at.comment(7))
            return NFListedRule(rule: rule, handle: handle, packets: packets, bytes: bytes)
        }
    }
    /// The table's timeout policies for TCP.
    package func timeouts(_ table: NFTableID) throws(NetfilterError) -> [NFConntrackTimeouts] {
        let request: (inout NetlinkRequest) -> Void = {
            $0.put(1, table.name)
            $0.put(3, NFObjectType.conntrackTimeout.rawValue.bigEndian)
        }
        return try list(NFT_MSG_GETOBJ, table, request, .timeouts, "\(table)") { family, at in
            guard family == table.family, at.text(1) == table.name, at.number(3) == NFObjectType.conntrackTimeout.rawValue else { return nil }
            return at[4].flatMap { NFConntrackTimeouts(table: table, name: at.text(2) ?? "", NFAttributeTable($0.nested)) }
        }
    }
    /// The elements of the set, ranges put together from their ends; in no particular order.
    package func elements(_ set: NFSet) throws(NetfilterError) -> [NFElement] {
        let request: (inout NetlinkRequest) -> Void = {
            $0.put(1, set.table.name)
            $0.put(2, set.name)
        }
        let entries = try list(NFT_MSG_GETSETELEM, set.table, request, .set, "\(set)") { _, at -> [NFElementEntry]? in
            at[3].map { $0.nested.compactMap { NFElementEntry(NFAttributeTable($0.nested)) } }
        }
        return NFElementEntry.elements(of: set, entries.flatMap { $0 })
    }
    /// Everything in the table, for `NFRuleset.drift`; nil when there is no such table.
    ///
    /// - Parameter elements: the sets whose elements are read too.
    package func ruleset(_ table: NFTableID, elements names: some Sequence<String> = []) throws(NetfilterError) -> NFRuleset? {
        guard let found = try tables().first(where: { $0.id == table }) else { return nil }
        var ruleset = NFRuleset(table: found, sets: try sets(table), timeouts: try timeouts(table), chains: try chains(table), rules: try rules(table).map(\.rule))
        for name in names {
            guard let set = ruleset.sets.first(where: { $0.name == name }) else { continue }
            ruleset.elements[name] = try elements(set)
        }
        return ruleset
    }

    /// One dump, again while others change what is being read.
    private func list<T>(
        _ type: nf_tables_msg_types, _ table: NFTableID?, _ fill: (inout NetlinkRequest) -> Void, _ kind: NetfilterError.Kind, _ name: String,
        _ parse: (NFFamily, NFAttributeTable) -> T?
    ) throws(NetfilterError) -> [T] {
        for attempt in 1... {
            var items: [T] = []
            var request = NetlinkRequest()
            let sequence = socket.nextSequence()
            request.begin(type: UInt16(NFNL_SUBSYS_NFTABLES) << 8 | UInt16(type.rawValue), flags: NLM_F_DUMP, sequence: sequence)
            request.putNetfilterHeader(family: table?.family.rawValue ?? UInt8(NFPROTO_UNSPEC))
            fill(&request)
            do throws(NetlinkSocket.Refusal) {
                try socket.exchange(request, sequence: sequence, dump: true) { message in
                    guard let number = message.payload.first, let family = NFFamily(rawValue: number) else { return }
                    if let item = parse(family, NFAttributeTable(message.attributes(after: 4))) { items.append(item) }
                }
                return items
            } catch {
                if error.errno.code == EINTR, attempt < NetlinkSocket.dumpAttempts { continue }
                // A dump of the rules of a table that is not there is empty; that of elements is refused.
                throw NetfilterError(.list, kind, name, error.errno, kernelText: error.text)
            }
        }
        return []
    }
}

extension NFAttributeTable {
    func comment(_ type: Int, _ kind: UInt8 = NFUserData.comment) -> String? { self[type].flatMap { NFUserData.comment(in: $0.value, type: kind) } }
}

/// An element as the kernel keeps it: in interval sets of one field a range is two of these.
struct NFElementEntry {
    let key: [UInt8]
    let keyEnd: [UInt8]?
    let isEnd: Bool
    let data: NFElement.Data?
    let comment: String?

    init?(_ at: NFAttributeTable) {
        guard let key = at.value(1) else { return nil }
        self.key = key
        keyEnd = at.value(10)
        isEnd = at.number(3) ?? 0 & NFT_SET_ELEM_INTERVAL_END.rawValue != 0
        data = at.verdict(2).map { .verdict($0) } ?? at.value(2).map { .value($0) }
        comment = at.comment(6)
    }

    static func elements(of set: NFSet, _ entries: [NFElementEntry]) -> [NFElement] {
        guard set.isInterval, !set.key.isConcatenation else {
            return entries.map { NFElement(key: $0.key, end: $0.keyEnd, data: $0.data, comment: $0.comment) }
        }
        // An end comes before a start of the same key.
        let sorted = entries.sorted { $0.key == $1.key ? $0.isEnd && !$1.isEnd : $0.key.lexicographicallyPrecedes($1.key) }
        var elements: [NFElement] = []
        var start: NFElementEntry?
        func finish(_ end: [UInt8]) {
            guard let open = start else { return }
            elements.append(NFElement(key: open.key, end: end, data: open.data, comment: open.comment))
            start = nil
        }
        for entry in sorted {
            if let before = NFBytes.predecessor(entry.key) { finish(before) }
            if !entry.isEnd { start = entry }
        }
        finish([UInt8](repeating: 0xff, count: set.key.length))
        return elements
    }
}
