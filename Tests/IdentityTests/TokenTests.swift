import MeshModel
import Platform
import Testing

@testable import Identity

@Suite struct JoinTokenTests {
    @Test func `a token is one word and says the same when read again`() async throws {
        let mesh = try TestMesh()
        let token = try await mesh.service.createToken(node: "b", allow: ["ns/shop/sa/*"], lifetime: .seconds(3600))
        let text = token.text
        #expect(text.hasPrefix("weft1.") && text.allSatisfy { $0.isASCII && !$0.isWhitespace })
        #expect(try JoinToken("  \(text)\n") == token)
        #expect(token.fingerprint.bytes == Hash.sha256(mesh.service.authority.rootDER))
        #expect(token.authority == "a" && token.addresses == ["192.0.2.1:15008"] && token.trustDomain == "mesh.test")
        #expect(token.expires == mesh.clock.now.seconds + 3600)
    }

    @Test func `the fingerprint is the one that OpenSSL prints`() async throws {
        let mesh = try TestMesh()
        let token = try await mesh.service.createToken(node: "b", allow: [], lifetime: .seconds(60))
        let printed = run("openssl", ["x509", "-noout", "-fingerprint", "-sha256", "-in", mesh.store.rootCertificatePath]).output
        let hex = printed.split(separator: "=").last?.filter { $0.isHexDigit }.lowercased()
        #expect(hex == Hex.encode(token.fingerprint.bytes))
    }

    @Test func `a damaged token is refused in words`() async throws {
        let mesh = try TestMesh()
        let text = try await mesh.service.createToken(node: "b", allow: [], lifetime: .seconds(60)).text
        for bad in [
            "", "weft1.", "weft2." + text.dropFirst(6), String(text.dropLast(5)), "weft1.e30", "weft1.%%%", String(repeating: "x", count: 100_000),
        ] {
            #expect(code { () throws(MeshError) in try JoinToken(bad) } == "token_malformed", "\(bad.prefix(40))")
        }
    }

    @Test func `the secret is not on the authority's disk`() async throws {
        let mesh = try TestMesh()
        let token = try await mesh.service.createToken(node: "b", allow: [], lifetime: .seconds(60))
        let file = String(decoding: try AtomicFile.read(mesh.store.tokensPath, secret: true) ?? [], as: UTF8.self)
        #expect(file.contains(token.id))
        #expect(!file.contains(Base64.encode(token.secret.bytes)) && !file.contains(Base64.encodeURL(token.secret.bytes)))
    }

    static let creations: [(node: String, allow: [String], seconds: Int, code: String)] = [
        ("", [], 60, "node_name"), ("b c", [], 60, "node_name"), ("a", [], 60, "node_name"),
        (String(repeating: "n", count: 129), [], 60, "node_name"),
        ("b", ["node/c"], 60, "allow_pattern"), ("b", ["everything"], 60, "allow_pattern"), ("b", [], 0, "token_lifetime"),
        ("b", [], 31 * 86_400, "token_lifetime"), ("b", Array(repeating: "ns/a/sa/b", count: 257), 60, "allow_pattern"),
    ]
    @Test(arguments: creations.indices)
    func `a token that cannot be right is not made`(index: Int) async throws {
        let row = Self.creations[index]
        let mesh = try TestMesh()
        await #expect { try await mesh.service.createToken(node: row.node, allow: row.allow, lifetime: .seconds(row.seconds)) } throws: {
            ($0 as? MeshError)?.code == row.code
        }
    }
}

@Suite struct TokenLedgerTests {
    let now = WallTime(seconds: 1_700_000_000)
    func record(_ id: String, node: String = "b", expires: Int64 = 1_700_000_600) -> TokenLedger.Record {
        TokenLedger.Record(
            id: id, secretHash: Bytes(Hash.sha256([1])), node: node, allow: [], created: now.seconds, expires: expires, replace: false, used: nil)
    }

    @Test func `each way to be wrong has its own answer`() throws {
        var ledger = TokenLedger()
        try ledger.add(record("t"), now: now)
        try ledger.add(record("used"), now: now)
        ledger.use("used", now: now)
        let rows: [(String, [UInt8], String, Int64, String?, String)] = [
            ("t", [1], "b", 0, nil, ""),
            ("t", [1], "b", 599, nil, ""),
            ("t", [1], "b", 600, "token_expired", "expired 0 seconds ago"),
            ("t", [1], "b", 600 + 7_300, "token_expired", "expired 2 hours ago"),
            ("t", [2], "b", 0, "token_unknown", ""),
            ("t", [], "b", 0, "token_unknown", ""),
            ("x", [1], "b", 0, "token_unknown", ""),
            ("t", [1], "c", 0, "token_name", "is for node b, not for c"),
            ("used", [1], "b", 180, "token_used", "used 3 minutes ago"),
        ]
        for (id, secret, node, later, wanted, words) in rows {
            do throws(MeshError) {
                _ = try ledger.check(id: id, secret: secret, node: node, now: WallTime(seconds: now.seconds + later))
                #expect(wanted == nil)
            } catch {
                #expect(error.code == wanted && error.message.contains(words) && error.remedy.contains("weft token create --node"), "\(error)")
            }
        }
    }

    @Test func `the number of unused tokens is bounded, and expired ones make room`() throws {
        var ledger = TokenLedger()
        for index in 0..<TokenLedger.maximumOutstanding { try ledger.add(record("t\(index)"), now: now) }
        #expect(code { () throws(MeshError) in try ledger.add(record("more"), now: now) } == "too_many_tokens")
        #expect(code { () throws(MeshError) in try ledger.add(record("more", expires: 1_700_009_000), now: now + .seconds(600)) } == nil)
    }

    @Test func `what is remembered of used tokens is bounded`() throws {
        var ledger = TokenLedger()
        for index in 0..<(TokenLedger.maximumRemembered + 50) {
            try ledger.add(record("t\(index)"), now: now)
            ledger.use("t\(index)", now: now)
        }
        #expect(ledger.tokens.count == TokenLedger.maximumRemembered)
        #expect(ledger.tokens.values.allSatisfy { $0.used != nil })
    }
}
