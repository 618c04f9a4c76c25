import Platform

/// One query on its way through the resolvers: whom to ask next, and whether what came back is an answer to it. Pure.
package struct Exchange: Sendable {
    package enum Verdict: Equatable, Sendable {
        /// For the client, with its own id.
        case answer([UInt8])
        /// The resolver says that it cannot (SERVFAIL, NOTIMP, REFUSED) and another may: ask on, and keep this in case nobody can.
        case tryNext
        /// Not an answer to this query; go on waiting.
        case garbage
    }

    private let query: [UInt8]
    private let questionEnd: Int?
    private var plan: ArraySlice<SocketAddress>
    private var id: UInt16 = 0
    private var lastResort: [UInt8]?

    /// - Parameter query: at least a header.
    package init(_ query: [UInt8], plan: [SocketAddress]) {
        self.query = query
        self.plan = plan[...]
        questionEnd = Self.questionEnd(query)
    }

    /// The next resolver and the query for it: as the client sent it, under an id that nobody else knows. Nil when all were asked.
    package mutating func next(using generator: inout some RandomNumberGenerator) -> (to: SocketAddress, bytes: [UInt8])? {
        guard let address = plan.popFirst() else { return nil }
        id = UInt16.random(in: 0...UInt16.max, using: &generator)
        return (address, DNSWriter.word(id) + query.dropFirst(2))
    }

    /// What the client gets when nobody answered: the last refusal, or SERVFAIL.
    package var failure: [UInt8] { lastResort ?? Self.serverFailure(query) }
    package var hasReply: Bool { lastResort != nil }

    package mutating func judge(_ reply: [UInt8]) -> Verdict {
        guard reply.count >= DNSBounds.header, Array(reply.prefix(2)) == DNSWriter.word(id), reply[2] & 0x80 != 0 else { return .garbage }
        // The operation must be the one that was asked.
        guard (reply[2] ^ query[2]) & 0x78 == 0 else { return .garbage }
        let code = UInt16(reply[3]) & DNSFlags.code
        let isRefusal = [DNSCode.serverFailure, .notImplemented, .refused, .formatError].contains { $0.rawValue == code }
        if let questionEnd {
            let count = Int(reply[4]) << 8 | Int(reply[5])
            // Servers may leave the question out of an error and nothing else. Some fold the case of the name.
            if count == 0 {
                guard isRefusal else { return .garbage }
            } else {
                guard count == 1, reply.count >= questionEnd,
                    Self.sameQuestion(reply[DNSBounds.header..<questionEnd], query[DNSBounds.header..<questionEnd])
                else { return .garbage }
            }
        }
        let answer = Array(query.prefix(2)) + reply.dropFirst(2)
        if isRefusal, code != DNSCode.formatError.rawValue, !plan.isEmpty {
            lastResort = answer
            return .tryNext
        }
        return .answer(answer)
    }

    package static func serverFailure(_ query: [UInt8]) -> [UInt8] {
        if case .query(let parsed) = DNSQuery.parse(query) {
            return DNSWriter(parsed, limit: DNSBounds.message).finished(.serverFailure, authoritative: false).bytes
        }
        return DNSWriter.bare(header: query, code: .serverFailure)
    }

    private static func questionEnd(_ query: [UInt8]) -> Int? {
        guard case .query(let parsed) = DNSQuery.parse(query) else { return nil }
        return DNSBounds.header + parsed.question.count
    }

    private static func sameQuestion(_ a: ArraySlice<UInt8>, _ b: ArraySlice<UInt8>) -> Bool {
        // The type and class, the last four bytes, have no case.
        let fold: (UInt8) -> UInt8 = { $0 >= 65 && $0 <= 90 ? $0 | 32 : $0 }
        return a.suffix(4) == b.suffix(4) && a.dropLast(4).lazy.map(fold).elementsEqual(b.dropLast(4).lazy.map(fold))
    }
}
