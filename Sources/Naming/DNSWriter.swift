import Platform

/// Builds one response to one query. The question is copied as it came; owners that equal it are a pointer to it.
struct DNSWriter {
    /// Who a record belongs to.
    enum Owner {
        /// The name that was asked.
        case question
        case name([String])
    }

    private let query: DNSQuery
    private let limit: Int
    private var bytes: [UInt8]
    private var counts: (answers: UInt16, authority: UInt16, additional: UInt16) = (0, 0, 0)
    private var truncated = false
    private let emptySize: Int

    /// - Parameter limit: the most bytes the response may have.
    init(_ query: DNSQuery, limit: Int) {
        self.query = query
        self.limit = limit
        bytes = [UInt8](repeating: 0, count: DNSBounds.header) + query.question
        emptySize = bytes.count
    }

    mutating func answer(_ owner: Owner, _ type: DNSType, ttl: UInt32, _ data: [UInt8]) {
        if append(owner, type, ttl, data) { counts.answers += 1 } else { truncated = true }
    }
    mutating func authority(_ owner: Owner, _ type: DNSType, ttl: UInt32, _ data: [UInt8]) {
        if append(owner, type, ttl, data) { counts.authority += 1 } else { truncated = true }
    }
    /// Left out when it does not fit: additional records are a courtesy (RFC 2181 section 9).
    mutating func additional(_ owner: Owner, _ type: DNSType, ttl: UInt32, _ data: [UInt8]) {
        if append(owner, type, ttl, data) { counts.additional += 1 }
    }

    /// The message. Truncated, it holds no records at all, so that nobody takes a part for the whole.
    consuming func finished(_ code: DNSCode, authoritative: Bool = true) -> (bytes: [UInt8], truncated: Bool) {
        if truncated {
            bytes.removeSubrange(emptySize...)
            counts = (0, 0, 0)
        }
        var flags =
            DNSFlags.response | query.flags & (DNSFlags.operation | DNSFlags.recursionDesired | DNSFlags.checkingDisabled)
            | DNSFlags.recursionAvailable
        if authoritative { flags |= DNSFlags.authoritative }
        if truncated { flags |= DNSFlags.truncated }
        flags |= code.rawValue & DNSFlags.code
        if let edns = query.edns {
            let extended = UInt16(code.rawValue >> 4) << 8
            bytes +=
                [0] + Self.word(DNSType.opt.number) + Self.word(UInt16(DNSBounds.largestUDP)) + Self.word(extended)
                + Self.word(edns.dnssecOK ? 0x8000 : 0) + [0, 0]
            counts.additional += 1
        }
        let header = [query.id, flags, 1, counts.answers, counts.authority, counts.additional]
        for (index, word) in header.enumerated() {
            bytes[2 * index] = UInt8(word >> 8)
            bytes[2 * index + 1] = UInt8(word & 0xff)
        }
        return (bytes, truncated)
    }

    private mutating func append(_ owner: Owner, _ type: DNSType, _ ttl: UInt32, _ data: [UInt8]) -> Bool {
        // The first 11 bytes of room are the OPT record's.
        let reserve = query.edns == nil ? 0 : 11
        let name: [UInt8] =
            switch owner {
            case .question: [0xc0, UInt8(DNSBounds.header)]
            case .name(let labels): Self.name(labels)
            }
        let record =
            name + Self.word(type.number) + Self.word(1) + Self.word(UInt16(ttl >> 16)) + Self.word(UInt16(ttl & 0xffff))
            + Self.word(UInt16(data.count)) + data
        guard bytes.count + record.count + reserve <= limit else { return false }
        bytes += record
        return true
    }

    // MARK: Pieces

    static func word(_ value: UInt16) -> [UInt8] { [UInt8(value >> 8), UInt8(value & 0xff)] }

    /// Uncompressed; the labels are ours and valid.
    static func name(_ labels: [String]) -> [UInt8] { labels.flatMap { [UInt8($0.utf8.count)] + Array($0.utf8) } + [0] }

    /// RFC 2782; its target may not be compressed.
    static func srv(port: UInt16, target: [String]) -> [UInt8] { word(0) + word(1) + word(port) + name(target) }

    /// RFC 1035 section 3.3.13; the last number is how long a negative answer may be kept (RFC 2308).
    static func soa(zone: [String], ttl: UInt32) -> [UInt8] {
        let numbers: [UInt32] = [1, 3600, 600, 86_400, ttl]
        return name(["ns"] + zone) + name(["hostmaster"] + zone) + numbers.flatMap { word(UInt16($0 >> 16)) + word(UInt16($0 & 0xffff)) }
    }

    /// A response with a code and no sections, from nothing but the query's header (12 bytes at least).
    static func bare(header: [UInt8], code: DNSCode) -> [UInt8] {
        var bytes = Array(header.prefix(DNSBounds.header))
        bytes[2] = (bytes[2] | 0x80) & ~0x06
        bytes[3] = 0x80 | UInt8(code.rawValue & DNSFlags.code)
        for index in 4..<DNSBounds.header { bytes[index] = 0 }
        return bytes
    }
}
