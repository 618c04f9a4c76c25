import Platform
import Testing

@testable import Naming

private func bytes(_ hex: String) -> [UInt8] {
    let digits = hex.filter { !$0.isWhitespace }.map { UInt8($0.hexDigitValue!) }
    return stride(from: 0, to: digits.count, by: 2).map { digits[$0] << 4 | digits[$0 + 1] }
}

@Suite("The wire")
struct WireTests {
    @Test("A query from dig 9.18 is read: question, EDNS size, cookie passed over")
    func dig() throws {
        // dig reviews.default.weft AAAA, as captured.
        let query = try #require(
            parsed(
                bytes(
                    """
                    f3a9 0120 0001 0000 0000 0001
                    07 72657669657773 07 64656661756c74 04 77656674 00 001c 0001
                    00 0029 04d0 0000 0000 000c 000a 0008 c0ffee00c0ffee00
                    """)))
        #expect(query.id == 0xf3a9 && query.flags == 0x0120)
        #expect(query.labels == ["reviews", "default", "weft"])
        #expect(query.type == .aaaa && query.recordClass == 1)
        #expect(query.edns == .init(payloadSize: 1232, version: 0, dnssecOK: false))
        #expect(query.udpLimit == 1232)
    }

    @Test(
        "The offered size is kept within 512 and 4096",
        arguments: [(nil, 512), (0, 512), (100, 512), (1232, 1232), (65_535, 4096)] as [(UInt16?, Int)])
    func sizes(_ edns: UInt16?, _ limit: Int) {
        #expect(parsed(makeQuery("a.b", edns: edns))?.udpLimit == limit)
    }

    @Test("The question keeps its case, the labels for looking up do not")
    func letterCase() throws {
        let query = try #require(parsed(makeQuery("rEvIeWs.DEFAULT")))
        #expect(query.labels == ["reviews", "default"])
        #expect(query.question.starts(with: [7] + Array("rEvIeWs".utf8)))
    }

    @Test("What is no query is dropped, refused or passed on")
    func others() {
        func kind(_ bytes: [UInt8]) -> String {
            switch DNSQuery.parse(bytes) {
            case .query: "query"
            case .otherOperation: "other"
            case .malformed(let reply): "malformed \(reply.count) \(reply[3] & 15) \(reply[2] >> 7)"
            case .drop: "drop"
            }
        }
        #expect(kind([]) == "drop")
        #expect(kind([UInt8](repeating: 0, count: 11)) == "drop")
        #expect(kind(makeQuery("a", flags: 0x8100)) == "drop")
        #expect(kind(makeQuery("a", flags: 0x2900)) == "other")
        #expect(kind([UInt8](repeating: 0, count: 12)) == "malformed 12 1 1")
        #expect(kind(Array(makeQuery("abc").dropLast())) == "malformed 12 1 1")
        // Two questions; a pointer in the question; a reserved label type; a name of 256 bytes; two OPT records.
        var two = makeQuery("a")
        two[5] = 2
        #expect(kind(two) == "malformed 12 1 1")
        let header = Array(makeQuery("a").prefix(12))
        #expect(kind(header + [0xc0, 0x0c, 0, 1, 0, 1]) == "malformed 12 1 1")
        #expect(kind(header + [0x40, 0, 0, 1, 0, 1]) == "malformed 12 1 1")
        let long = (0..<4).map { _ in String(repeating: "x", count: 63) }.joined(separator: ".")
        #expect(kind(makeQuery(long)) == "malformed 12 1 1")
        #expect(kind(makeQuery(String(long.dropLast(2)))) == "query")
        var twoOPT = makeQuery("a", edns: 512)
        twoOPT[11] = 2
        #expect(kind(twoOPT + twoOPT.suffix(11)) == "malformed 12 1 1")
    }

    @Test("Compression pointers lead backwards or nowhere")
    func pointers() throws {
        func names(_ tail: [UInt8], at start: Int) throws -> [String] {
            var reader = DNSReader([UInt8](repeating: 0, count: 12) + tail, at: start)
            return try reader.name(pointers: true).map { String(decoding: $0, as: UTF8.self) }
        }
        #expect(try names([1, 97, 0, 1, 98, 0xc0, 12], at: 15) == ["b", "a"])
        // To itself, forwards, into the header, in a circle of two, and cut off.
        #expect(throws: DNSFormatError.self) { try names([0xc0, 12], at: 12) }
        #expect(throws: DNSFormatError.self) { try names([0xc0, 14, 0], at: 12) }
        #expect(throws: DNSFormatError.self) { try names([1, 97, 0, 0xc0, 0], at: 15) }
        #expect(throws: DNSFormatError.self) { try names([1, 97, 0xc0, 16, 1, 98, 0xc0, 12], at: 16) }
        #expect(throws: DNSFormatError.self) { try names([1, 97, 0, 0xc0], at: 15) }
        // The reader goes on after the first pointer, not after what it led to.
        var reader = DNSReader([UInt8](repeating: 0, count: 12) + [1, 97, 0, 0xc0, 12, 77], at: 15)
        _ = try reader.name(pointers: true)
        #expect(try reader.byte() == 77)
    }

    @Test("Truncated and damaged messages never crash: parsed, answered and judged")
    func damage() throws {
        var generator = SeededGenerator(seed: 53)
        let table = testTable
        let resolver = NameResolver(searchDomains: ["corp.example.com"])
        let originals = [
            makeQuery("reviews"), makeQuery("_http._tcp.reviews.default.svc.mesh", .srv, edns: 1232),
            makeQuery("reviews.corp.example.com", .any, edns: 4096, dnssecOK: true),
            makeQuery("1.0.240.240.in-addr.arpa", .ptr),
        ]
        for original in originals {
            for length in 0...original.count { exercise(Array(original.prefix(length))) }
            for _ in 0..<3_000 {
                var bytes = original
                for _ in 0...Int.random(in: 0...3, using: &generator) {
                    bytes[Int.random(in: 0..<bytes.count, using: &generator)] ^= 1 << UInt8.random(in: 0...7, using: &generator)
                }
                exercise(bytes)
            }
        }
        func exercise(_ bytes: [UInt8]) {
            if case .query(let query) = DNSQuery.parse(bytes) {
                switch resolver.answer(query, callerNamespace: "default", table: table, limit: query.udpLimit) {
                case .answer(let reply, _), .refuse(let reply):
                    #expect(reply.count <= query.udpLimit)
                    #expect((try? Response(reply)) != nil || !query.labels.allSatisfy { $0.utf8.allSatisfy { $0 < 128 } }, "\(bytes)")
                case .forward: break
                }
            }
            guard bytes.count >= 12 else { return }
            var exchange = Exchange(bytes, plan: [.init(.loopbackV4, port: 53)])
            _ = exchange.next(using: &generator)
            _ = exchange.judge(bytes)
            _ = exchange.failure
        }
    }

    @Test("A stream is cut at its lengths, whatever the reads were")
    func framing() {
        let messages: [[UInt8]] = [[1, 2, 3], [], [UInt8](repeating: 7, count: 65_535), [9]]
        let stream = messages.flatMap(StreamFramer.framed)
        for size in [1, 2, 3, 1000, stream.count] where size > 1 || stream.count < 100_000 {
            var framer = StreamFramer()
            var found: [[UInt8]] = []
            for start in stride(from: 0, to: stream.count, by: size) {
                framer.append(stream[start..<min(start + size, stream.count)])
                while let message = framer.next() { found.append(message) }
            }
            #expect(found == messages)
        }
    }
}
