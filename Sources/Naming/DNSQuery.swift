/// A query as it arrived: its one question, and what EDNS says (RFC 1035 section 4, RFC 6891).
package struct DNSQuery: Sendable {
    package let id: UInt16
    package let flags: UInt16
    /// The name's labels in lower case; bytes that are no ASCII never equal a name of ours.
    package let labels: [String]
    package let type: DNSType
    package let recordClass: UInt16
    /// The question as it is on the wire: it goes back with the case that the client chose (draft-vixie-dnsext-dns0x20).
    let question: [UInt8]
    let edns: EDNS?

    struct EDNS: Equatable, Sendable {
        var payloadSize: UInt16
        var version: UInt8
        var dnssecOK: Bool
    }

    package enum Parsed: Sendable {
        case query(DNSQuery)
        /// Another operation than QUERY (NOTIFY, UPDATE …): not ours to understand.
        case otherOperation
        /// Answer this: the message is a query, but not a well-formed one.
        case malformed(reply: [UInt8])
        /// No answer: too short to have a header, or itself a response (answering those makes loops).
        case drop
    }

    package static func parse(_ bytes: [UInt8]) -> Parsed {
        guard bytes.count >= DNSBounds.header, bytes.count <= DNSBounds.message else { return .drop }
        var reader = DNSReader(bytes)
        do throws(DNSFormatError) {
            let id = try reader.word()
            let flags = try reader.word()
            if flags & DNSFlags.response != 0 { return .drop }
            if flags & DNSFlags.operation != 0 { return .otherOperation }
            let counts = (try reader.word(), try reader.word(), try reader.word(), try reader.word())
            guard counts.0 == 1 else { throw DNSFormatError() }
            let start = reader.position
            let name = try reader.name(pointers: false)
            let type = DNSType(try reader.word())
            let recordClass = try reader.word()
            let question = Array(bytes[start..<reader.position])
            var edns: EDNS?
            for index in 0..<(Int(counts.1) + Int(counts.2) + Int(counts.3)) {
                let owner = try reader.name(pointers: true)
                let type = DNSType(try reader.word())
                let size = try reader.word()
                let extended = (try reader.word(), try reader.word())
                try reader.skip(Int(try reader.word()))
                guard type == .opt else { continue }
                // One OPT, in the additional section, at the root (RFC 6891 section 6.1.1).
                guard edns == nil, owner.isEmpty, index >= Int(counts.1) + Int(counts.2) else { throw DNSFormatError() }
                edns = EDNS(payloadSize: size, version: UInt8(truncatingIfNeeded: extended.0), dnssecOK: extended.1 & 0x8000 != 0)
            }
            let labels = name.map { String(decoding: $0.map { $0 >= 65 && $0 <= 90 ? $0 | 32 : $0 }, as: UTF8.self) }
            return .query(DNSQuery(id: id, flags: flags, labels: labels, type: type, recordClass: recordClass, question: question, edns: edns))
        } catch {
            return .malformed(reply: DNSWriter.bare(header: bytes, code: .formatError))
        }
    }

    /// The most that an answer over UDP may have.
    package var udpLimit: Int { max(DNSBounds.plainUDP, min(Int(edns?.payloadSize ?? 0), DNSBounds.largestUDP)) }
}
