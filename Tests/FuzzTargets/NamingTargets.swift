import MeshModel
import Platform

@testable import Naming

private let table = NameTable(
    services: [
        ServiceName("reviews", namespace: "default")!: .init(v4: IPAddress("240.240.0.1"), v6: IPAddress("fd77:6566:7400::1"), ports: [9080]),
        ServiceName("reviews", namespace: "prod")!: .init(v4: IPAddress("240.240.0.2"), v6: nil, ports: [80, 443]),
    ],
    subsets: [Subset("v2", of: ServiceName("reviews", namespace: "prod")!)!: .init(v4: IPAddress("240.240.1.2"), v6: nil, ports: [80])])

private func query(_ name: String, _ type: DNSType, edns: Bool = false) -> [UInt8] {
    DNSWriter.word(0x1234) + DNSWriter.word(0x0100) + [0, 1, 0, 0, 0, 0, 0, edns ? 1 : 0] + DNSWriter.name(name.split(separator: ".").map(String.init))
        + DNSWriter.word(type.number) + [0, 1] + (edns ? [0, 0, 41, 4, 0xd0, 0, 0, 0, 0, 0, 0] : [])
}

private let names = [
    "reviews", "reviews.default.svc.cluster.local", "v2.reviews.prod.svc.mesh", "_9080._tcp.reviews.default.weft", "example.com",
    "1.0.240.240.in-addr.arpa", "reviews.service.consul", "nothing.weft",
]

/// The same number always: ids are not what is tried here.
private struct One: RandomNumberGenerator {
    mutating func next() -> UInt64 { 0x0101_0101_0101_0101 }
}

extension FuzzTarget {
    /// What a captured process asks. First byte: whether the caller is known; the second cuts the same bytes as a TCP stream.
    static let dnsQuery = FuzzTarget(
        name: "dns-query",
        seeds: {
            let queries = names.flatMap { name in [DNSType.a, .aaaa, .srv, .ptr, .any].flatMap { [query(name, $0), query(name, $0, edns: true)] } }
            return queries.map { [1, 7] + $0 } + [[0, 3] + Naming.StreamFramer.framed(queries[0]) + Naming.StreamFramer.framed(queries[1])]
        },
        run: { bytes in
            var input = Input(bytes)
            let caller = input.byte() & 1 == 0 ? nil : "default"
            let cut = input.byte()
            answer(input.bytes, caller)
            let pieces = Array(Pieces(input.bytes, cut))
            require(messages([input.bytes]) == messages(pieces), "a stream in pieces has other messages")
        })

    private static func messages(_ pieces: [[UInt8]]) -> [[UInt8]] {
        var framer = Naming.StreamFramer()
        var messages: [[UInt8]] = []
        for piece in pieces {
            framer.append(piece)
            while let message = framer.next() { messages.append(message) }
        }
        return messages
    }

    private static func answer(_ bytes: [UInt8], _ caller: String?) {
        switch DNSQuery.parse(bytes) {
        case .drop, .otherOperation: return
        case .malformed(let reply): require(isReply(reply, to: bytes), "a refusal that is no answer")
        case .query(let parsed):
            require(isReply(Exchange.serverFailure(bytes), to: bytes), "a failure that is no answer")
            let resolver = NameResolver(searchDomains: ["corp.example.com"])
            _ = resolver.mayBeOurs(parsed)
            let limit = parsed.udpLimit
            switch resolver.answer(parsed, callerNamespace: caller, table: table, limit: limit) {
            case .answer(let reply, _), .refuse(let reply):
                require(reply.count <= limit, "an answer of \(reply.count) bytes, and the bound is \(limit)")
                require(isReply(reply, to: bytes), "an answer that is none")
                require(isReadable(reply), "an answer that nobody can read")
            case .forward: break
            }
        }
    }

    private static func isReply(_ reply: [UInt8], to query: [UInt8]) -> Bool {
        guard reply.count >= DNSBounds.header, reply[..<2] == query[..<2], reply[2] & 0x80 != 0 else { return false }
        if case .drop = DNSQuery.parse(reply) { return true }
        return false
    }

    private static func isReadable(_ reply: [UInt8]) -> Bool {
        var reader = DNSReader(reply, at: 4)
        do throws(DNSFormatError) {
            let counts = [try reader.word(), try reader.word(), try reader.word(), try reader.word()]
            for _ in 0..<counts[0] {
                _ = try reader.name(pointers: false)
                try reader.skip(4)
            }
            for _ in 0..<(Int(counts[1]) + Int(counts[2]) + Int(counts[3])) {
                _ = try reader.name(pointers: true)
                try reader.skip(8)
                try reader.skip(Int(try reader.word()))
            }
            return reader.position == reply.count
        } catch {
            return false
        }
    }

    /// What a resolver answers. First byte: which question was asked, and whether the answer gets the right id.
    static let dnsAnswer = FuzzTarget(
        name: "dns-answer",
        seeds: {
            let asked = query("example.com", .a)
            var answer = asked
            answer[2] = 0x81
            answer[7] = 1
            answer += [0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 192, 0, 2, 1]
            var refusal = asked
            refusal[2] = 0x81
            refusal[3] = 0x82
            return [[1] + answer, [1] + refusal, [1] + Array(refusal[..<12]), [0] + answer, [3] + answer, [1] + Exchange.serverFailure(asked)]
        },
        run: { bytes in
            var input = Input(bytes)
            let kind = input.byte()
            let asked = kind & 2 == 0 ? query("example.com", .a) : query("EXAMPLE.com", .aaaa, edns: true)
            var reply = input.bytes
            var exchange = Exchange(asked, plan: [SocketAddress("192.0.2.53:53")!, SocketAddress("192.0.2.54:53")!])
            var generator = One()
            let sent = exchange.next(using: &generator)!.bytes
            if kind & 1 != 0, reply.count >= 2 { reply.replaceSubrange(..<2, with: sent[..<2]) }
            switch exchange.judge(reply) {
            case .answer(let answer):
                require(answer[..<2] == asked[..<2] && answer[2...] == reply[2...], "not the resolver's answer under the client's id")
                require(answer[2] & 0x80 != 0, "a question was taken for an answer")
                // With a question it is the one that was asked, whatever the case of its letters.
                if answer[4] != 0 || answer[5] != 0 {
                    let end = DNSBounds.header + 13 + 4
                    require(answer[4] == 0 && answer[5] == 1 && answer.count >= end, "more than one question")
                    require(answer[(end - 4)..<end] == asked[(end - 4)..<end], "another type or class than was asked")
                }
            case .tryNext:
                require(exchange.hasReply && exchange.failure.count == reply.count, "a refusal that was not kept")
                require(exchange.next(using: &generator) != nil, "the other resolver is not asked")
            case .garbage: require(!exchange.hasReply, "rubbish was kept")
            }
        })
}
