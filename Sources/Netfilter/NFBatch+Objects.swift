import CNetfilter
import Glibc

/// Objects into messages, by libnftnl.
extension NFBatch {
    static func build(_ id: NFTableID, flags: NFTable.Flags?, comment: String?, _ header: UnsafeMutablePointer<nlmsghdr>) {
        let table = nftnl_table_alloc()!
        defer { nftnl_table_free(table) }
        nftnl_table_set_str(table, UInt16(NFTNL_TABLE_NAME.rawValue), id.name)
        if let flags { nftnl_table_set_u32(table, UInt16(NFTNL_TABLE_FLAGS.rawValue), flags.rawValue) }
        if let comment {
            let data = NFUserData.text(comment)
            nftnl_table_set_data(table, UInt16(NFTNL_TABLE_USERDATA.rawValue), data, UInt32(data.count))
        }
        nftnl_table_nlmsg_build_payload(header, table)
    }

    static func build(_ value: NFChain, _ header: UnsafeMutablePointer<nlmsghdr>) {
        let chain = nftnl_chain_alloc()!
        defer { nftnl_chain_free(chain) }
        nftnl_chain_set_str(chain, UInt16(NFTNL_CHAIN_TABLE.rawValue), value.table.name)
        nftnl_chain_set_str(chain, UInt16(NFTNL_CHAIN_NAME.rawValue), value.name)
        if let base = value.base {
            nftnl_chain_set_str(chain, UInt16(NFTNL_CHAIN_TYPE.rawValue), base.kind.rawValue)
            nftnl_chain_set_u32(chain, UInt16(NFTNL_CHAIN_HOOKNUM.rawValue), base.hook.rawValue)
            nftnl_chain_set_s32(chain, UInt16(NFTNL_CHAIN_PRIO.rawValue), base.priority)
            nftnl_chain_set_u32(chain, UInt16(NFTNL_CHAIN_POLICY.rawValue), base.policy.rawValue)
        }
        nftnl_chain_nlmsg_build_payload(header, chain)
    }

    static func build(_ value: NFSet, number: UInt32, _ header: UnsafeMutablePointer<nlmsghdr>) {
        let set = nftnl_set_alloc()!
        defer { nftnl_set_free(set) }
        func put(_ attribute: nftnl_set_attr, _ number: UInt32) { nftnl_set_set_u32(set, UInt16(attribute.rawValue), number) }
        nftnl_set_set_str(set, UInt16(NFTNL_SET_TABLE.rawValue), value.table.name)
        nftnl_set_set_str(set, UInt16(NFTNL_SET_NAME.rawValue), value.name)
        put(NFTNL_SET_ID, number)
        put(NFTNL_SET_FLAGS, value.kernelFlags)
        put(NFTNL_SET_KEY_TYPE, value.key.typeNumber)
        put(NFTNL_SET_KEY_LEN, UInt32(value.key.length))
        var userData: [UInt8] = []
        if value.key.isConcatenation {
            let lengths = value.key.fields.map { UInt8($0.length) }
            nftnl_set_set_data(set, UInt16(NFTNL_SET_DESC_CONCAT.rawValue), lengths, UInt32(lengths.count))
        } else {
            userData += NFUserData.number(value.key.fields[0].isHostOrder ? 1 : 2, type: NFUserData.setKeyByteOrder)
        }
        switch value.data {
        case nil: break
        case .verdict:
            put(NFTNL_SET_DATA_TYPE, NFT_DATA_VERDICT.rawValue)
            put(NFTNL_SET_DATA_LEN, 16)
        case .value(let type):
            put(NFTNL_SET_DATA_TYPE, type.rawValue)
            put(NFTNL_SET_DATA_LEN, UInt32(type.length))
            userData += NFUserData.number(type.isHostOrder ? 1 : 2, type: NFUserData.setDataByteOrder)
        }
        if let comment = value.comment { userData += NFUserData.text(comment, type: NFUserData.setComment) }
        if !userData.isEmpty { nftnl_set_set_data(set, UInt16(NFTNL_SET_USERDATA.rawValue), userData, UInt32(userData.count)) }
        nftnl_set_nlmsg_build_payload(header, set)
    }

    static func build(_ value: NFConntrackTimeouts, _ header: UnsafeMutablePointer<nlmsghdr>) {
        let object = nftnl_obj_alloc()!
        defer { nftnl_obj_free(object) }
        nftnl_obj_set_str(object, UInt16(NFTNL_OBJ_TABLE), value.table.name)
        nftnl_obj_set_str(object, UInt16(NFTNL_OBJ_NAME), value.name)
        // The type first: it says what the numbers of the others mean.
        nftnl_obj_set_u32(object, UInt16(NFTNL_OBJ_TYPE), NFObjectType.conntrackTimeout.rawValue)
        nftnl_obj_set_u16(object, UInt16(NFTNL_OBJ_CT_TIMEOUT_L3PROTO), UInt16(value.family.rawValue))
        nftnl_obj_set_u8(object, UInt16(NFTNL_OBJ_CT_TIMEOUT_L4PROTO), NFClause.Transport.tcp.rawValue)
        let seconds = NFConntrackTimeouts.State.allCases.map { value[$0] }
        nftnl_obj_set_data(object, UInt16(NFTNL_OBJ_CT_TIMEOUT_ARRAY), seconds, UInt32(seconds.count * MemoryLayout<UInt32>.stride))
        nftnl_obj_nlmsg_build_payload(header, object)
    }

    /// Names a set for deletion, or for deletion of all its elements.
    static func buildName(of value: NFSet, elements: Bool, _ header: UnsafeMutablePointer<nlmsghdr>) {
        let set = nftnl_set_alloc()!
        defer { nftnl_set_free(set) }
        nftnl_set_set_str(set, UInt16(NFTNL_SET_TABLE.rawValue), value.table.name)
        nftnl_set_set_str(set, UInt16(NFTNL_SET_NAME.rawValue), value.name)
        if elements { nftnl_set_elems_nlmsg_build_payload(header, set) } else { nftnl_set_nlmsg_build_payload(header, set) }
    }

    static func build(_ value: NFRule, handle: UInt64?, position: UInt64?, _ header: UnsafeMutablePointer<nlmsghdr>) {
        // NFT_RULE_MAXEXPRS of the kernel; also keeps the message within its bound.
        precondition(value.expressions.count <= 128, "rule \(value) has more than 128 expressions")
        let rule = nftnl_rule_alloc()!
        defer { nftnl_rule_free(rule) }
        nftnl_rule_set_str(rule, UInt16(NFTNL_RULE_TABLE.rawValue), value.table.name)
        nftnl_rule_set_str(rule, UInt16(NFTNL_RULE_CHAIN.rawValue), value.chain)
        if let handle { nftnl_rule_set_u64(rule, UInt16(NFTNL_RULE_HANDLE.rawValue), handle) }
        if let position { nftnl_rule_set_u64(rule, UInt16(NFTNL_RULE_POSITION.rawValue), position) }
        if let comment = value.comment {
            let data = NFUserData.text(comment)
            nftnl_rule_set_data(rule, UInt16(NFTNL_RULE_USERDATA.rawValue), data, UInt32(data.count))
        }
        for expression in value.expressions { nftnl_rule_add_expr(rule, expression.encoded(in: value.table.family)) }
        nftnl_rule_nlmsg_build_payload(header, rule)
    }

    /// Names a rule for deletion; without a handle all rules of the chain.
    static func build(_ table: NFTableID, chain: String, handle: UInt64?, _ header: UnsafeMutablePointer<nlmsghdr>) {
        let rule = nftnl_rule_alloc()!
        defer { nftnl_rule_free(rule) }
        nftnl_rule_set_str(rule, UInt16(NFTNL_RULE_TABLE.rawValue), table.name)
        nftnl_rule_set_str(rule, UInt16(NFTNL_RULE_CHAIN.rawValue), chain)
        if let handle { nftnl_rule_set_u64(rule, UInt16(NFTNL_RULE_HANDLE.rawValue), handle) }
        nftnl_rule_nlmsg_build_payload(header, rule)
    }
}

extension NFSet {
    /// `enum nft_set_flags`.
    var kernelFlags: UInt32 {
        var flags: UInt32 = flags.rawValue
        if data != nil { flags |= NFT_SET_MAP.rawValue }
        if key.isConcatenation { flags |= NFT_SET_CONCAT.rawValue }
        return flags
    }
}

/// The elements of one message.
final class NFElementList {
    private let set: NFSet
    private let list: OpaquePointer

    init(_ set: NFSet) {
        self.set = set
        list = nftnl_set_alloc()!
        nftnl_set_set_str(list, UInt16(NFTNL_SET_TABLE.rawValue), set.table.name)
        nftnl_set_set_str(list, UInt16(NFTNL_SET_NAME.rawValue), set.name)
    }
    deinit { nftnl_set_free(list) }

    /// The number of entries that the element takes.
    ///
    /// Interval sets of one field hold half-open intervals, a start and an end entry; those of several fields hold entries with two keys.
    func append(_ element: NFElement) -> Int {
        precondition(element.key.count == set.key.length, "an element of \(set) has a key of the wrong length")
        let entry = nftnl_set_elem_alloc()!
        put(NFTNL_SET_ELEM_KEY, element.key, entry)
        switch element.data {
        case nil: break
        case .value(let value): put(NFTNL_SET_ELEM_DATA, value, entry)
        case .verdict(let verdict):
            nftnl_set_elem_set_u32(entry, UInt16(NFTNL_SET_ELEM_VERDICT), UInt32(bitPattern: verdict.code))
            if let chain = verdict.chain { nftnl_set_elem_set_str(entry, UInt16(NFTNL_SET_ELEM_CHAIN), chain) }
        }
        if let comment = element.comment { put(NFTNL_SET_ELEM_USERDATA, NFUserData.text(comment), entry) }
        if set.isInterval, set.key.isConcatenation, let end = element.end { put(NFTNL_SET_ELEM_KEY_END, end, entry) }
        nftnl_set_elem_add(list, entry)
        guard set.isInterval, !set.key.isConcatenation else {
            precondition(set.isInterval || element.end == nil, "\(set) takes no ranges")
            return 1
        }
        precondition(!set.key.fields[0].isHostOrder, "the kernel cannot order the keys of \(set)")
        // A range up to the last possible key has no end.
        guard let after = NFBytes.successor(element.end ?? element.key) else { return 1 }
        let end = nftnl_set_elem_alloc()!
        put(NFTNL_SET_ELEM_KEY, after, end)
        nftnl_set_elem_set_u32(end, UInt16(NFTNL_SET_ELEM_FLAGS), NFT_SET_ELEM_INTERVAL_END.rawValue)
        nftnl_set_elem_add(list, end)
        return 2
    }

    private func put(_ attribute: Int, _ value: [UInt8], _ entry: OpaquePointer) {
        nftnl_set_elem_set(entry, UInt16(attribute), value, UInt32(value.count))
    }

    func build(_ header: UnsafeMutablePointer<nlmsghdr>) { nftnl_set_elems_nlmsg_build_payload(header, list) }
}
