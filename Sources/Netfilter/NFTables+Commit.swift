import CNetfilter
import Glibc
import Platform

extension NFTables {
    /// Makes all changes of the transaction, or none of them and throws what the kernel refused first.
    ///
    /// Blocks for the time the kernel takes: some microseconds for a change, some milliseconds for 10,000 elements.
    package func commit(_ transaction: NFTransaction) throws(NetfilterError) {
        guard !transaction.isEmpty else { return }
        if let error = try run(transaction, commit: true).first { throw error }
    }

    /// What the kernel would refuse, one error for each refused object; changes nothing and makes no events.
    ///
    /// Expressions that do not fit the hook of a chain are found only in tables that are there already; `commit` finds them always.
    package func check(_ transaction: NFTransaction) throws(NetfilterError) -> [NetfilterError] {
        transaction.isEmpty ? [] : try run(transaction, commit: false)
    }

    private func run(_ transaction: NFTransaction, commit: Bool) throws(NetfilterError) -> [NetfilterError] {
        let batch = NFBatch(transaction, commit: commit, sequence: socket.reserveSequences(transaction))
        socket.discardPending()
        do throws(Errno) {
            if batch.count > reservedSend {
                socket.reserveSend(batch.count)
                reservedSend = batch.count
            }
            try socket.send(batch.bytes)
        } catch {
            throw NetfilterError(.commit, .transaction, transaction.summary, error)
        }
        var errors: [NetfilterError] = []
        var acknowledged = false
        let last = batch.notes.last?.sequence
        while true {
            let datagram: UnsafeRawBufferPointer?
            do {
                datagram = try socket.receive()
            } catch {
                // More errors than the buffer holds; the first ones are there.
                if error.code == ENOBUFS, !errors.isEmpty { continue }
                throw NetfilterError(.commit, .transaction, transaction.summary, error)
            }
            guard let datagram else { break }
            NetlinkMessage.forEach(in: datagram) { message in
                guard CInt(message.type) == NLMSG_ERROR else { return true }
                if message.errorCode == 0 {
                    acknowledged = acknowledged || message.sequence == last
                } else if let note = batch.notes.first(where: { $0.sequence == message.sequence }) {
                    errors.append(Self.error(message, note, transaction.operations[note.operation], batch.bytes))
                } else {
                    errors.append(
                        NetfilterError(.commit, .transaction, transaction.summary, Errno(message.errorCode), kernelText: message.extendedError.text))
                }
                return true
            }
        }
        if errors.isEmpty, !acknowledged { throw NetfilterError(.commit, .transaction, transaction.summary, Errno(ENODATA)) }
        return errors
    }

    @inline(never)
    private static func error(
        _ message: NetlinkMessage, _ note: NFBatch.Note, _ operation: NFTransaction.Operation, _ request: UnsafeRawBufferPointer
    ) -> NetfilterError {
        let extended = message.extendedError
        let errno = Errno(message.errorCode)
        var (action, kind, name) = operation.object
        // The kernel points at the entry that it refused.
        if let elements = operation.elements, let offset = extended.offset,
            let entry = entryIndex(at: offset, in: UnsafeRawBufferPointer(rebasing: request[note.offset...])), entry < note.elements.count
        {
            name += " " + elements.set.text(of: elements.elements[note.elements[entry]])
        }
        return NetfilterError(action, kind, name, errno, kernelText: extended.text)
    }

    /// Which entry of an element message begins at the offset.
    private static func entryIndex(at offset: Int, in request: UnsafeRawBufferPointer) -> Int? {
        guard let base = request.baseAddress else { return nil }
        let message = NetlinkMessage(header: base.assumingMemoryBound(to: nlmsghdr.self))
        guard let list = message.attributes(after: 4).first(where: { $0.type == 3 }) else { return nil }
        for (index, entry) in list.nested.enumerated() where UnsafeRawPointer(entry.value.baseAddress!) - 4 == base + offset { return index }
        return nil
    }
}

extension NetlinkSocket {
    /// A run of numbers that no earlier request used; the first one is returned.
    func reserveSequences(_ transaction: NFTransaction) -> UInt32 {
        // An operation takes one message, elements one for every few hundred of them.
        let count = transaction.operations.reduce(2) { $0 + 1 + ($1.elements?.elements.count ?? 0) }
        return reserveSequences(count)
    }
}

extension NFTransaction.Operation {
    /// What an error about this operation names.
    var object: (NetfilterError.Action, NetfilterError.Kind, String) {
        switch self {
        case .addTable(let table, _): (.add, .table, "\(table)")
        case .touchTable(let table), .deleteTable(let table): (.delete, .table, "\(table)")
        case .addChain(let chain, _): (.add, .chain, "\(chain)")
        case .deleteChain(let chain): (.delete, .chain, "\(chain)")
        case .flushChain(let chain): (.flush, .chain, "\(chain)")
        case .addSet(let set, _): (.add, .set, "\(set)")
        case .deleteSet(let set): (.delete, .set, "\(set)")
        case .flushSet(let set): (.flush, .set, "\(set)")
        case .addTimeouts(let policy): (.add, .timeouts, "\(policy)")
        case .addElements(let set, _, _): (.add, .element, "\(set)")
        case .deleteElements(let set, _): (.delete, .element, "\(set)")
        case .addRule(let rule, _), .insertRule(let rule, _): (.add, .rule, "\(rule)")
        case .replaceRule(let handle, let rule): (.replace, .rule, "\(rule) (handle \(handle))")
        case .deleteRule(let table, let chain, let handle): (.delete, .rule, "\(table) \(chain) (handle \(handle))")
        }
    }
    var elements: (set: NFSet, elements: [NFElement])? {
        switch self {
        case .addElements(let set, let elements, _), .deleteElements(let set, let elements): (set, elements)
        default: nil
        }
    }
}

extension NFTransaction {
    /// For errors that are about no single object.
    var summary: String { operations.first.map { "of \(operations.count) operation\(operations.count == 1 ? "" : "s") on \($0.object.2)" } ?? "" }
}

extension NFSet {
    /// The element as `nft` would write it.
    func text(of element: NFElement) -> String {
        func text(_ bytes: [UInt8]) -> String {
            var rest = bytes[...]
            return key.fields.map { field in
                let part = Array(rest.prefix(field.length))
                rest = rest.dropFirst((field.length + 3) / 4 * 4)
                return field.text(part)
            }.joined(separator: " . ")
        }
        return text(element.key) + (element.end.map { "-" + text($0) } ?? "")
    }
}

extension NFType {
    func text(_ bytes: [UInt8]) -> String {
        switch self {
        case .ipv4Address, .ipv6Address: return IPAddress(bytes: bytes).map { "\($0)" } ?? "?"
        case .interfaceName: return String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
        case .internetProtocol, .port: return "\(bytes.reduce(UInt64(0)) { $0 << 8 | UInt64($1) })"
        case .mark, .uid, .cgroup:
            #if _endian(little)
                return "\(bytes.reversed().reduce(UInt64(0)) { $0 << 8 | UInt64($1) })"
            #else
                return "\(bytes.reduce(UInt64(0)) { $0 << 8 | UInt64($1) })"
            #endif
        }
    }
}
