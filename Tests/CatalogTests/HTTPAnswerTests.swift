import Platform
import Settings
import Testing

@testable import Catalog

@Suite struct HTTPAnswerTests {
    static func asked(status: [ClosedRange<UInt16>] = [200...299], headers: [String: String] = [:], body: String? = nil) -> HTTPCheck {
        var result = HTTPCheck(path: "/")
        (result.statuses, result.headers, result.body) = (status, headers, body)
        return result
    }

    /// One answer and what is asked of it.
    struct Row: Sendable, CustomTestStringConvertible {
        var text: String
        var check: HTTPCheck
        /// Nil passes; else a part of the failure.
        var failure: String?
        init(_ text: String, _ check: HTTPCheck = asked(), _ failure: String? = nil) {
            (self.text, self.check, self.failure) = (text, check, failure)
        }
        var testDescription: String { "\(String(text.prefix(60))) → \(failure ?? "passed")" }
    }
    private static let well = asked(body: "well")
    private static let ok = "HTTP/1.1 200 OK\r\n"

    static let rows: [Row] = [
        // Status.
        Row("\(ok)\r\n"), Row("HTTP/1.0 204\r\n\r\n"), Row("HTTP/1.1 200 \n\n"), Row("\(ok)Content-Length: 99\r\n\r\n"),
        Row("HTTP/1.1 503 Service Unavailable\r\n\r\n", asked(), "answered 503; wanted 200-299"),
        Row("HTTP/1.1 304 Not Modified\r\n\r\n", asked(status: [200...200, 300...304])),
        Row("HTTP/1.1 302 Found\r\n\r\n", asked(status: [200...200, 304...304]), "answered 302; wanted 200, 304"),
        Row("HTTP/1.1 100 Continue\r\nA: b\r\n\r\nHTTP/1.1 103 Early\r\n\r\n\(ok)\r\n"),
        Row(String(repeating: "HTTP/1.1 103 Early\r\n\r\n", count: 9), asked(), "more than 8 informational answers"),
        // Heads that are none.
        Row("", asked(), "closed without an answer"), Row("HTTP/1.1 200 OK\r\nA: b\r\n", asked(), "closed within the answer's head"),
        Row("\r\n\(ok)\r\n", asked(), "which is no HTTP/1.1"), Row("SSH-2.0-OpenSSH\r\n\r\n", asked(), "answered \"SSH-2.0-OpenSSH\", which is no HTTP/1.1"),
        Row("HTTP/2 200\r\n\r\n", asked(), "no HTTP/1.1"), Row("HTTP/1.1 20 OK\r\n\r\n", asked(), "no HTTP/1.1"),
        Row("HTTP/1.1 2000 OK\r\n\r\n", asked(), "no HTTP/1.1"), Row("HTTP/1.1 abc OK\r\n\r\n", asked(), "no HTTP/1.1"),
        Row("\(ok)no field\r\n\r\n", asked(), "a line that is no field: \"no field\""), Row("\(ok)A : b\r\n\r\n", asked(), "no field"),
        Row("\(ok)A: b\r\n folded\r\n\r\n", asked(), "no field"),
        Row("\(ok)A: \(String(repeating: "x", count: HTTPAnswer.headBytes))\r\n\r\n", asked(), "head is longer than 16384 bytes"),
        Row(String(repeating: "x", count: HTTPAnswer.headBytes + 1), asked(), "head is longer than 16384 bytes"),
        // Fields.
        Row("\(ok)X-READY: \t yes \r\n\r\n", asked(headers: ["x-ready": "yes"])), Row("\(ok)A: no\r\nA: yes\r\n\r\n", asked(headers: ["a": "yes"])),
        Row("\(ok)A:\r\n\r\n", asked(headers: ["a": ""])), Row("\(ok)A: no\r\n\r\n", asked(headers: ["a": "yes"]), "the field a is \"no\"; wanted \"yes\""),
        Row("\(ok)B: yes\r\n\r\n", asked(headers: ["a": "yes"]), "has no field a; wanted \"yes\""),
        // Bodies with a length.
        Row("\(ok)Content-Length: 8\r\n\r\nall well", well), Row("\(ok)content-length: 99\r\n\r\nall well, but it is cut", well),
        Row("\(ok)Content-Length: 7\r\n\r\nall well", well, "the 7 bytes of the body do not contain \"well\""),
        Row("\(ok)Content-Length: 0\r\n\r\n", well, "the body is empty"), Row("\(ok)Content-Length: 9\r\n\r\nall wel", well, "closed after 7 bytes of the body"),
        Row("\(ok)Content-Length: -1\r\n\r\n", well, "no number"), Row("\(ok)Content-Length: 99999999999999999999\r\n\r\n", well, "no number"),
        Row("HTTP/1.1 204 None\r\n\r\nwell", well, "the answer 204 has no body"),
        // Bodies without.
        Row("\(ok)\r\nall well", well), Row("\(ok)\r\nwelwell", well), Row("\(ok)\r\nwwel", well, "the 4 bytes of the body do not contain"),
        Row("\(ok)\r\n\(String(repeating: "x", count: HTTPAnswer.bodyBytes - 4))well", well),
        Row("\(ok)\r\n\(String(repeating: "x", count: HTTPAnswer.bodyBytes - 3))well", well, "the first 65536 bytes of the body do not contain"),
        // Chunks.
        Row("\(ok)Transfer-Encoding: chunked\r\n\r\n5\r\nall w\r\n3;a=b\r\nell\r\n0\r\n\r\n", well),
        Row("\(ok)Transfer-Encoding: Chunked\r\nContent-Length: 3\r\n\r\n00A\r\n0123456789\r\n4\r\nwell\r\n0\r\n\r\n", well),
        Row("\(ok)Transfer-Encoding: chunked\r\n\r\n3\r\nwel\r\n0\r\n\r\nl", well, "the 3 bytes of the body do not contain"),
        Row("\(ok)Transfer-Encoding: chunked\r\n\r\n3\r\nwell\r\n0\r\n\r\n", well, "longer than it says"),
        Row("\(ok)Transfer-Encoding: chunked\r\n\r\nxyz\r\n", well, "begins with \"xyz.\", which is no size"),
        Row("\(ok)Transfer-Encoding: chunked\r\n\r\n+4\r\nwell", well, "no size"), Row("\(ok)Transfer-Encoding: chunked\r\n\r\n-4\r\nwell", well, "no size"),
        Row("\(ok)Transfer-Encoding: chunked\r\n\r\n123456789\r\n", well, "no size"),
        Row("\(ok)Transfer-Encoding: chunked\r\n\r\n\(String(repeating: "0", count: 1025))", well, "first line is longer than 1024 bytes"),
        Row("\(ok)Transfer-Encoding: chunked\r\n\r\n\(String(repeating: "1;\(String(repeating: "e", count: 900))\r\nx\r\n", count: 300))", well, "the first 2"),
        Row("\(ok)Transfer-Encoding: chunked\r\n\r\n4\r\nwe", well, "closed after 2 bytes"), Row("\(ok)Transfer-Encoding: gzip\r\n\r\n", well, "coding \"gzip\""),
    ]

    private func judge(_ row: Row, pieces: (Int) -> Int) -> CheckVerdict {
        var answer = HTTPAnswer(row.check)
        var rest = Array(row.text.utf8)[...]
        while !rest.isEmpty {
            let piece = rest.prefix(max(1, pieces(rest.count)))
            rest = rest.dropFirst(piece.count)
            let verdict = answer.received(piece)
            if verdict != .waiting { return verdict }
        }
        return answer.ended()
    }

    @Test(arguments: rows) func anAnswerIsJudgedTheSameInWhateverPiecesItComes(_ row: Row) {
        let whole = judge(row) { $0 }
        if let failure = row.failure {
            guard case .failed(let why) = whole else {
                Issue.record("\(whole)")
                return
            }
            #expect(why.contains(failure))
        } else {
            #expect(whole == .passed)
        }
        var random = SystemRandomNumberGenerator()
        // Bodies end where the bound was passed, which is not the same place in all pieces: what is said before the numbers is.
        #expect(Self.words(judge(row) { _ in 1 }) == Self.words(whole))
        for _ in 0..<5 { #expect(Self.words(judge(row) { Int.random(in: 1...min($0, 700), using: &random) }) == Self.words(whole)) }
    }
    private static func words(_ verdict: CheckVerdict) -> String { String("\(verdict)".filter { !$0.isNumber }) }

    @Test func whateverIsChangedInAnAnswerItEndsWithAVerdict() {
        var random = SystemRandomNumberGenerator()
        for row in Self.rows where row.text.utf8.count < 4096 {
            for _ in 0..<200 {
                var bytes = Array(row.text.utf8)
                for _ in 0..<Int.random(in: 1...4, using: &random) where !bytes.isEmpty {
                    let place = Int.random(in: 0..<bytes.count, using: &random)
                    switch Int.random(in: 0..<3, using: &random) {
                    case 0: bytes[place] = .random(in: 0...255, using: &random)
                    case 1: bytes.remove(at: place)
                    default: bytes.insert(contentsOf: bytes[place...].prefix(20), at: place)
                    }
                }
                var answer = HTTPAnswer(row.check)
                _ = answer.received(bytes)
                #expect(answer.ended() != .waiting)
            }
        }
    }

    @Test func theRequestIsWhatWasDeclared() {
        var asked = HTTPCheck(path: "/a?b=c")
        var plain = HTTPConversation(asked, address: .init("[2001:db8::7]:80")!)
        #expect(
            String(decoding: plain.takeOutput(), as: UTF8.self)
                == "GET /a?b=c HTTP/1.1\r\nHost: [2001:db8::7]:80\r\nUser-Agent: weft-health\r\nAccept: */*\r\nConnection: close\r\n\r\n")
        #expect(plain.takeOutput().isEmpty)
        asked.host = "shop"
        var named = HTTPConversation(asked, address: .init("192.0.2.1:80")!)
        #expect(String(decoding: named.takeOutput(), as: UTF8.self).contains("\r\nHost: shop\r\n"))
        #expect(named.question == "GET http://192.0.2.1:80/a?b=c (host shop)")
    }
}
