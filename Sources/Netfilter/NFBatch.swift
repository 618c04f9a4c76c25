import CNetfilter
import Glibc
import Platform

/// A transaction as one run of netlink messages in a growing buffer, with a note of what each message is about.
struct NFBatch: ~Copyable {
    /// Which operation a message belongs to, and for elements which of them.
    struct Note {
        let sequence: UInt32
        let operation: Int
        let offset: Int
        /// The element of each element entry in the message, by index into the operation's elements.
        var elements: [Int] = []
    }

    private var storage: UnsafeMutableRawPointer
    private var capacity: Int
    private(set) var count = 0
    private(set) var notes: [Note] = []
    /// The number of the frame around the messages; errors about the whole have it.
    let frameSequence: UInt32
    private var nextSequence: UInt32
    private var setNumber: UInt32 = 0

    /// No message is longer: attributes have a length of 16 bits, and a message here has one long attribute.
    private static let messageBound = 96 << 10
    /// Element entries are split so that their common attribute stays well below 64 KiB.
    private static let elementBytes = 40 << 10

    /// - Parameter commit: without it the kernel checks everything and then drops the transaction.
    init(_ transaction: NFTransaction, commit: Bool, sequence: UInt32) {
        capacity = 256 << 10
        storage = .allocate(byteCount: capacity, alignment: 16)
        frameSequence = sequence
        nextSequence = sequence &+ 1
        reserve()
        count += Int(nftnl_batch_begin((storage + count).assumingMemoryBound(to: CChar.self), sequence).pointee.nlmsg_len)
        for (index, operation) in transaction.operations.enumerated() { append(operation, index) }
        // The last message asks for an acknowledgement: silence would be no proof of success.
        if let last = notes.last { (storage + last.offset).assumingMemoryBound(to: nlmsghdr.self).pointee.nlmsg_flags |= UInt16(NLM_F_ACK) }
        if commit {
            reserve()
            count += Int(nftnl_batch_end((storage + count).assumingMemoryBound(to: CChar.self), nextSequence).pointee.nlmsg_len)
        }
    }
    deinit { storage.deallocate() }

    var bytes: UnsafeRawBufferPointer { UnsafeRawBufferPointer(start: storage, count: count) }
    /// The number after the last that was used.
    var endSequence: UInt32 { nextSequence }

    private mutating func reserve() {
        guard capacity - count < Self.messageBound else { return }
        let larger = UnsafeMutableRawPointer.allocate(byteCount: capacity * 2, alignment: 16)
        larger.copyMemory(from: storage, byteCount: count)
        storage.deallocate()
        storage = larger
        capacity *= 2
    }

    private mutating func append(_ operation: NFTransaction.Operation, _ index: Int) {
        let create = UInt16(NLM_F_CREATE)
        let exclusive = UInt16(NLM_F_CREATE | NLM_F_EXCL)
        switch operation {
        case .addTable(let table, let only):
            message(NFT_MSG_NEWTABLE, table.id, only ? exclusive : create, index) {
                Self.build(table.id, flags: table.flags, comment: table.comment, $0)
            }
        case .touchTable(let table): message(NFT_MSG_NEWTABLE, table, create, index) { Self.build(table, flags: nil, comment: nil, $0) }
        case .deleteTable(let table): message(NFT_MSG_DELTABLE, table, 0, index) { Self.build(table, flags: nil, comment: nil, $0) }
        case .addChain(let chain, let only): message(NFT_MSG_NEWCHAIN, chain.table, only ? exclusive : create, index) { Self.build(chain, $0) }
        case .deleteChain(let chain):
            message(NFT_MSG_DELCHAIN, chain.table, 0, index) { Self.build(NFChain(table: chain.table, name: chain.name), $0) }
        case .flushChain(let chain): message(NFT_MSG_DELRULE, chain.table, 0, index) { Self.build(chain.table, chain: chain.name, handle: nil, $0) }
        case .addSet(let set, let only):
            setNumber += 1
            let number = setNumber
            message(NFT_MSG_NEWSET, set.table, only ? exclusive : create, index) { Self.build(set, number: number, $0) }
        case .deleteSet(let set): message(NFT_MSG_DELSET, set.table, 0, index) { Self.buildName(of: set, elements: false, $0) }
        case .flushSet(let set): message(NFT_MSG_DELSETELEM, set.table, 0, index) { Self.buildName(of: set, elements: true, $0) }
        case .addTimeouts(let policy): message(NFT_MSG_NEWOBJ, policy.table, create, index) { Self.build(policy, $0) }
        case .addElements(let set, let elements, let only): append(NFT_MSG_NEWSETELEM, set, elements, only ? exclusive : create, index)
        case .deleteElements(let set, let elements): append(NFT_MSG_DELSETELEM, set, elements, 0, index)
        case .addRule(let rule, let handle):
            message(NFT_MSG_NEWRULE, rule.table, create | UInt16(NLM_F_APPEND), index) { Self.build(rule, handle: nil, position: handle, $0) }
        case .insertRule(let rule, let handle):
            message(NFT_MSG_NEWRULE, rule.table, create, index) { Self.build(rule, handle: nil, position: handle, $0) }
        case .replaceRule(let handle, let rule):
            message(NFT_MSG_NEWRULE, rule.table, UInt16(NLM_F_REPLACE), index) { Self.build(rule, handle: handle, position: nil, $0) }
        case .deleteRule(let table, let chain, let handle):
            message(NFT_MSG_DELRULE, table, 0, index) { Self.build(table, chain: chain, handle: handle, $0) }
        }
    }

    private mutating func message(
        _ type: nf_tables_msg_types, _ table: NFTableID, _ flags: UInt16, _ operation: Int, elements: [Int] = [],
        _ build: (UnsafeMutablePointer<nlmsghdr>) -> Void
    ) {
        reserve()
        let place = storage + count
        guard
            let header = nftnl_nlmsg_build_hdr(
                place.assumingMemoryBound(to: CChar.self), UInt16(type.rawValue), UInt16(table.family.rawValue), flags, nextSequence)
        else { preconditionFailure("libnftnl refused a header") }
        build(header)
        notes.append(Note(sequence: nextSequence, operation: operation, offset: count, elements: elements))
        nextSequence &+= 1
        count += Int((header.pointee.nlmsg_len + 3) & ~3)
    }

    /// As many messages as the elements need.
    private mutating func append(_ type: nf_tables_msg_types, _ set: NFSet, _ elements: [NFElement], _ flags: UInt16, _ operation: Int) {
        let order =
            set.isInterval && !set.key.isConcatenation
            ? elements.indices.sorted { elements[$0].key.lexicographicallyPrecedes(elements[$1].key) } : Array(elements.indices)
        var start = 0
        while start < order.count {
            var bytes = 0
            var end = start
            while end < order.count, bytes < Self.elementBytes {
                let element = elements[order[end]]
                bytes += 64 + 2 * (element.key.count + 16) + (element.comment?.utf8.count ?? 0)
                if case .value(let value) = element.data { bytes += value.count }
                if case .verdict(let verdict) = element.data { bytes += verdict.chain?.utf8.count ?? 0 }
                end += 1
            }
            let body = NFElementList(set)
            var entries: [Int] = []
            for index in order[start..<end] {
                let added = body.append(elements[index])
                entries += [Int](repeating: index, count: added)
            }
            message(type, set.table, flags, operation, elements: entries) { body.build($0) }
            start = end
        }
    }
}
