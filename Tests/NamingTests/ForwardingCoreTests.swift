import Platform
import Testing

@testable import Naming

private let first = SocketAddress("192.0.2.1:53")!
private let second = SocketAddress("192.0.2.2:53")!
private let third = SocketAddress("192.0.2.3:53")!
private func at(_ seconds: Int64) -> MonotonicTime { MonotonicTime(nanoseconds: 1_000_000_000) + .seconds(seconds) }

@Suite("Which resolver is asked")
struct UpstreamsTests {
    @Test("The configured order, the only one twice, at most three attempts")
    func order() {
        #expect(Upstreams([first]).plan(at(0)) == [first, first])
        #expect(Upstreams([first, second]).plan(at(0)) == [first, second])
        #expect(Upstreams([first, second, third, SocketAddress("192.0.2.4:53")!]).plan(at(0)) == [first, second, third])
        #expect(Upstreams([]).plan(at(0)) == [])
    }

    @Test("Our own address and doubles are left out")
    func own() {
        #expect(Upstreams([first, second, first], own: [second]).addresses == [first])
    }

    @Test("After two silences in a row, or one refusal, a resolver is asked last, for a while")
    func dead() {
        var upstreams = Upstreams([first, second])
        upstreams.failed(first, refused: false, at(0))
        #expect(upstreams.plan(at(0)) == [first, second])
        upstreams.answered(first)
        upstreams.failed(first, refused: false, at(1))
        #expect(!upstreams.isDead(first, at(1)))
        upstreams.failed(first, refused: false, at(2))
        #expect(upstreams.plan(at(3)) == [second, first])
        #expect(upstreams.plan(at(12)) == [first, second])
        upstreams.failed(second, refused: true, at(20))
        #expect(upstreams.isDead(second, at(21)))
        upstreams.answered(second)
        #expect(!upstreams.isDead(second, at(21)))
    }

    @Test("With all of them dead they are still asked")
    func allDead() {
        var upstreams = Upstreams([first, second])
        for address in [first, second] { upstreams.failed(address, refused: true, at(0)) }
        #expect(upstreams.plan(at(1)) == [first, second])
    }

    @Test("Another list keeps what is known of those that stay")
    func replace() {
        var upstreams = Upstreams([first, second])
        upstreams.failed(second, refused: true, at(0))
        upstreams.replace(with: [second, third], own: [])
        #expect(upstreams.plan(at(1)) == [third, second])
    }
}

extension Exchange {
    /// `next`, where there must be one.
    fileprivate mutating func send(_ generator: inout some RandomNumberGenerator) throws -> (to: SocketAddress, bytes: [UInt8]) {
        let next = next(using: &generator)
        return try #require(next)
    }
}

@Suite("One forwarded query")
struct ExchangeTests {
    private let query = makeQuery("Www.Example.org", id: 0xbeef, flags: 0x0130, edns: 1400, dnssecOK: true)

    private func reply(to sent: [UInt8], code: UInt8 = 0) -> [UInt8] {
        var bytes = sent
        bytes[2] |= 0x80
        bytes[3] = 0x80 | code
        return bytes
    }

    @Test("It goes out as it came but for the id, and comes back under the client's")
    func verbatim() throws {
        var generator = SeededGenerator(seed: 1)
        var exchange = Exchange(query, plan: [first, second])
        let (address, sent) = try exchange.send(&generator)
        #expect(address == first && Array(sent.dropFirst(2)) == Array(query.dropFirst(2)) && sent.prefix(2) != query.prefix(2))
        let answer = reply(to: sent) + [1, 2, 3]
        let verdict = exchange.judge(answer)
        #expect(verdict == .answer([0xbe, 0xef] + answer.dropFirst(2)))
    }

    @Test("Every attempt has another id")
    func ids() {
        var generator = SystemRandomNumberGenerator()
        var ids: Set<[UInt8]> = []
        for _ in 0..<100 {
            var exchange = Exchange(query, plan: [first])
            if let (_, bytes) = exchange.next(using: &generator) { ids.insert(Array(bytes.prefix(2))) }
        }
        #expect(ids.count > 90)
    }

    @Test("What does not answer the question is garbage")
    func garbage() throws {
        var generator = SeededGenerator(seed: 2)
        var exchange = Exchange(query, plan: [first])
        let sent = try exchange.send(&generator).bytes
        let good = reply(to: sent)
        func changed(_ body: (inout [UInt8]) -> Void) -> [UInt8] {
            var bytes = good
            body(&bytes)
            return bytes
        }
        let bad = [
            [], Array(good.prefix(11)), changed { $0[0] ^= 1 }, changed { $0[2] &= 0x7f }, changed { $0[2] |= 0x28 },
            changed { $0[13] = UInt8(ascii: "x") },
            changed { $0[5] = 0 }, changed { $0[5] = 2 }, Array(good.prefix(20)), changed { $0[12 + 17 + 1] = 28 },
        ]
        for bytes in bad {
            let verdict = exchange.judge(bytes)
            #expect(verdict == .garbage, "\(bytes)")
        }
        // Some resolvers fold the case.
        let verdict = exchange.judge(changed { $0[13] = UInt8(ascii: "w") })
        #expect(verdict != .garbage)
    }

    @Test("A refusal is kept while others may know, and given when none does", arguments: [2, 4, 5] as [UInt8])
    func refusals(_ code: UInt8) throws {
        var generator = SeededGenerator(seed: 3)
        var exchange = Exchange(query, plan: [first, second])
        let sent = try exchange.send(&generator).bytes
        let verdict = exchange.judge(reply(to: sent, code: code))
        #expect(verdict == .tryNext)
        #expect(try Response(exchange.failure).code == UInt16(code))
        let again = try exchange.send(&generator).bytes
        guard case .answer(let bytes) = exchange.judge(reply(to: again, code: code)) else { return #expect(Bool(false)) }
        #expect(bytes.prefix(2) == [0xbe, 0xef])
        let next = exchange.next(using: &generator)
        #expect(next == nil)
    }

    @Test("NXDOMAIN is an answer")
    func nameError() throws {
        var generator = SeededGenerator(seed: 4)
        var exchange = Exchange(query, plan: [first, second])
        let sent = try exchange.send(&generator).bytes
        guard case .answer = exchange.judge(reply(to: sent, code: 3)) else { return #expect(Bool(false)) }
    }

    @Test("Without any answer the client gets SERVFAIL to its own question")
    func failure() throws {
        let response = try Response(Exchange(query, plan: []).failure)
        #expect(response.code == 2 && response.id == 0xbeef && response.question == "Www.Example.org" && !response.isAuthoritative)
        // An update has no question that we could read.
        #expect(try Response(Exchange(makeQuery("a", flags: 0x2800), plan: []).failure).code == 2)
    }
}

@Suite("resolv.conf")
struct ResolvConfTests {
    @Test("It is read as the C library reads it")
    func read() {
        let conf = ResolvConf(
            """
            # comment
            ; comment
            domain ignored.example
            nameserver 192.0.2.1
            nameserver\t2001:db8::1
            nameserver fe80::1%eth0
            nameserver 0.0.0.0
            nameserver 192.0.2.9
            options ndots:2 edns0
            options timeout:1
            search corp.example.com. example.com
            nonsense
            """)
        #expect(conf.nameservers.map(\.description) == ["192.0.2.1", "2001:db8::1", "0.0.0.0"])
        #expect(conf.unusable == ["fe80::1%eth0"])
        #expect(conf.search == ["corp.example.com", "example.com"])
        #expect(conf.options == ["ndots:2", "edns0", "timeout:1"])
        #expect(conf.upstreams.map(\.description) == ["192.0.2.1:53", "[2001:db8::1]:53", "127.0.0.1:53"])
    }

    @Test("Without name servers it is the host itself; the last of domain and search counts")
    func defaults() {
        #expect(ResolvConf("").upstreams.map(\.description) == ["127.0.0.1:53"])
        #expect(ResolvConf("search a.b\ndomain c.d e.f").search == ["c.d"])
        #expect(ResolvConf("nameserver fe80::1%eth0").upstreams.isEmpty)
    }
}
