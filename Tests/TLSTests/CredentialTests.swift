import COpenSSL
import Platform
import Testing

@testable import TLS

@Suite struct `Credentials and digests` {
    let authority = TestAuthority()

    @Test func `a credential knows its URIs and its end`() throws {
        let leaf = authority.issue(names: "URI:spiffe://lab/ns/a/sa/b,DNS:example.org,URI:spiffe://lab/node/n1")
        let credential = try Credential(chainDER: leaf.chainDER, privateKeyDER: leaf.keyDER)
        #expect(credential.uris == ["spiffe://lab/ns/a/sa/b", "spiffe://lab/node/n1"])
        let left = credential.notAfter.seconds - WallTime.now().seconds
        #expect((3590...3601).contains(left))
    }

    @Test func `what can't be used is refused with the reason`() {
        let one = authority.issue(), two = authority.issue()
        check(.badCredential, "key is not that of") { () throws(TLSError) in _ = try Credential(chainDER: one.chainDER, privateKeyDER: two.keyDER) }
        check(.badCredential, "private key can't be read") { () throws(TLSError) in
            _ = try Credential(chainDER: one.chainDER, privateKeyDER: [1, 2, 3])
        }
        check(.badCredential, "certificate can't be read") { () throws(TLSError) in
            _ = try Credential(chainDER: [[1, 2, 3]], privateKeyDER: one.keyDER)
        }
        check(.badCredential, "certificate can't be read") { () throws(TLSError) in _ = try Credential(chainDER: [], privateKeyDER: one.keyDER) }
        check(.badCredential, "certificate can't be read") { () throws(TLSError) in
            _ = try Credential(chainDER: [one.chainDER[0] + [0]], privateKeyDER: one.keyDER)
        }
        check(.badCredential, "certificate 2 of the chain") { () throws(TLSError) in
            _ = try Credential(chainDER: [one.chainDER[0], [9]], privateKeyDER: one.keyDER)
        }
        check(.badTrust, "no root") { () throws(TLSError) in _ = try TrustStore(rootsDER: []) }
        check(.badTrust, "root certificate 1 can't be read") { () throws(TLSError) in _ = try TrustStore(rootsDER: [[0x30, 0]]) }
        #expect(ERR_peek_error() == 0)
    }

    private func check(_ code: TLSError.Code, _ words: String, _ body: () throws(TLSError) -> Void) {
        do throws(TLSError) {
            try body()
            Issue.record("accepted: \(words)")
        } catch {
            #expect(error.code == code)
            #expect(error.message.contains(words), "\(error)")
        }
    }

    @Test func `SHA-256 is that of FIPS 180-4`() {
        let hex = { (bytes: [UInt8]) in bytes.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined() }
        #expect(hex(Digest.sha256(Array("abc".utf8))) == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad")
        #expect(hex(Digest.sha256([])) == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")
    }

    static let names: [([UInt8], HelloExtensions.Parsed<String>)] = [
        ([0, 6, 0, 0, 3, 65, 98, 99], .value("abc")), ([], .malformed), ([0, 0], .malformed), ([0, 3, 0, 0, 0], .malformed),
        ([0, 6, 1, 0, 3, 97, 98, 99], .malformed),
        ([0, 7, 0, 0, 3, 97, 98, 99], .malformed), ([0, 6, 0, 0, 4, 97, 98, 99], .malformed), ([0, 6, 0, 0, 3, 97, 0, 99], .malformed),
        ([0, 7, 0, 0, 3, 97, 98, 99, 0], .malformed),
    ]

    @Test(arguments: names)
    func `a server name extension is read exactly or not at all`(bytes: [UInt8], expected: HelloExtensions.Parsed<String>) {
        #expect(bytes.withUnsafeBytes { HelloExtensions.serverName($0) } == expected)
    }

    static let protocols: [([UInt8], HelloExtensions.Parsed<[String]>)] = [
        ([0, 3, 2, 104, 50], .value(["h2"])), ([0, 5, 2, 104, 50, 1, 120], .value(["h2", "x"])), ([0, 3, 3, 104, 50], .malformed),
        ([0, 2, 0, 0], .malformed), ([0, 9, 2, 104, 50], .malformed),
    ]

    @Test(arguments: protocols)
    func `a protocol list is read exactly or not at all`(bytes: [UInt8], expected: HelloExtensions.Parsed<[String]>) {
        #expect(bytes.withUnsafeBytes { HelloExtensions.alpn($0) } == expected)
    }
}
