import MeshModel
import Testing

@testable import Identity

@Suite struct IdentityPatternTests {
    static let rows: [(pattern: String, path: String, matches: Bool)] = [
        ("ns/shop/sa/web", "ns/shop/sa/web", true),
        ("ns/shop/sa/web", "ns/shop/sa/web2", false),
        ("ns/shop/sa/*", "ns/shop/sa/anything", true),
        ("ns/shop/sa/*", "ns/bank/sa/web", false),
        ("ns/*/sa/*", "ns/bank/sa/web", true),
        ("ns/*/sa/*", "node/b", false),
        ("ns/*/sa/*", "ns/bank/sa/web/more", false),
        ("ns/shop/sa/web-*", "ns/shop/sa/web-1", true),
        ("ns/shop/sa/web-*", "ns/shop/sa/web", false),
        ("ns/shop/sa/*-*-x", "ns/shop/sa/a-b-x-c-x", true),
        ("ns/shop/sa/*a*a*a*b", "ns/shop/sa/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", false),
        ("spiffe://mesh.test/ns/shop/sa/web", "ns/shop/sa/web", true),
    ]
    @Test(arguments: rows.indices)
    func `a pattern matches within one part only`(index: Int) throws {
        let row = Self.rows[index]
        let pattern = try IdentityPattern(row.pattern, trustDomain: "mesh.test")
        #expect(pattern.matches(SPIFFEID("spiffe://mesh.test/\(row.path)")!) == row.matches)
    }

    @Test(arguments: [
        "", "*", "ns/shop", "ns/shop/sa/", "ns//sa/x", "node/b", "node/*", "ns/shop/sa/a/b", "spiffe://other.test/ns/shop/sa/web", "ns/shop/sa/..",
        "ns/a b/sa/c",
    ])
    func `anything else is refused`(text: String) {
        #expect(code { () throws(MeshError) in try IdentityPattern(text, trustDomain: "mesh.test") } == "allow_pattern")
    }

    @Test func `a pattern survives JSON`() throws {
        let pattern = try IdentityPattern("ns/shop/sa/web-*", trustDomain: "mesh.test")
        #expect(try StateJSON.decode([IdentityPattern].self, from: StateJSON.encode([pattern])) == [pattern])
        #expect(throws: (any Error).self) { try StateJSON.decode([IdentityPattern].self, from: Array("[\"node/b\"]".utf8)) }
    }
}
