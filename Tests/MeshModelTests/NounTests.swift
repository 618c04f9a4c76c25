import Platform
import Testing

@testable import MeshModel

@Suite("Identities and names")
struct NounTests {
    @Test(
        "a SPIFFE ID is read, and what the standard forbids is not",
        arguments: [
            ("spiffe://shop.example/ns/default/sa/web", true), ("spiffe://shop.example", true), ("spiffe://Shop/x", false), ("https://shop/x", false),
            ("spiffe:///x", false), ("spiffe://shop/x/", false), ("spiffe://shop//x", false), ("spiffe://shop/../x", false), ("spiffe://shop/./x", false), ("spiffe://shop/.../x", true), ("spiffe://shop/.a", true), ("spiffe://shop/a b", false),
            ("spiffe://shop/ä", false),
        ])
    func spiffe(text: String, valid: Bool) {
        #expect((SPIFFEID(text) != nil) == valid)
        if let id = SPIFFEID(text) { #expect(id.description == text) }
    }

    @Test("workloads and nodes are told apart, and parts cannot smuggle a slash")
    func parts() throws {
        let workload = try #require(SPIFFEID(trustDomain: "t.test", namespace: "shop", account: "web"))
        #expect(workload.workload?.namespace == "shop" && workload.workload?.account == "web" && workload.node == nil)
        #expect(SPIFFEID(trustDomain: "t.test", node: "a")?.node == "a")
        #expect(SPIFFEID(trustDomain: "t.test", node: "a/b") == nil)
        #expect(SPIFFEID(trustDomain: "t.test", namespace: "x/sa/admin", account: "y") == nil)
    }

    @Test("service names are two DNS labels", arguments: [("reviews.default", true), ("reviews", false), ("-a.b", false), ("a.b.c", false), ("Reviews.default", false), (String(repeating: "a", count: 64) + ".b", false)])
    func services(text: String, valid: Bool) { #expect((ServiceName(text) != nil) == valid) }

    @Test("the server name is readable where it can be, and a hash where not")
    func sni() throws {
        let plain = try #require(SPIFFEID("spiffe://shop.example/ns/default/sa/web"))
        #expect(SNI.name(for: plain) { _ in [] } == "web.default.shop.example")
        let odd = try #require(SPIFFEID("spiffe://shop_x.example/ns/default/sa/web"))
        let name = SNI.name(for: odd) { _ in Array(repeating: 0xff, count: 32) }
        #expect(name == "h-77777777777777777777777777777777.weft.invalid")
        let dotted = try #require(SPIFFEID("spiffe://example/ns/a/sa/b.c"))
        #expect(SNI.name(for: dotted) { _ in [1] }.hasPrefix("h-"), "b.c in a must not look like c in b.a")
    }

    @Test("base32 follows RFC 4648", arguments: [("", ""), ("f", "my"), ("fo", "mzxq"), ("foo", "mzxw6"), ("foob", "mzxw6yq"), ("fooba", "mzxw6ytb"), ("foobar", "mzxw6ytboi")])
    func base32(text: String, expected: String) { #expect(SNI.base32(Array(text.utf8)) == expected) }
}

@Suite("Virtual addresses")
struct VirtualIPTests {
    private func names(_ count: Int) -> [ServiceName] { (0..<count).map { ServiceName("s\($0)", namespace: "default")! } }

    @Test("a name has the same address in any order and in any company that does not contest it")
    func stable() {
        let all = VirtualIP.assign(names(500))
        #expect(VirtualIP.assign(names(500).reversed()) == all)
        let alone = VirtualIP.assign([names(1)[0]])
        #expect(alone[names(1)[0]]?.v6 == all[names(1)[0]]?.v6)
    }

    @Test("subsets get what services leave, and move none of them")
    func subsets() throws {
        let services = VirtualIP.assign(names(10_000))
        let wanted = names(1000).flatMap { [Subset("v1", of: $0)!, Subset("v2", of: $0)!] }
        let subsets = VirtualIP.assign(wanted, beside: services.values).compactMap(\.self)
        #expect(subsets.count == 2000 && VirtualIP.assign(wanted, beside: services.values.reversed()) == subsets)
        #expect(Set(subsets.map(\.v4)).union(services.values.map(\.v4)).count == 12_000)
        #expect(Set(subsets.map(\.v6)).union(services.values.map(\.v6)).count == 12_000)
        #expect(Subset("1.2", of: names(1)[0]) == nil && Subset("", of: names(1)[0]) == nil && Subset("V2", of: names(1)[0]) == nil)
        #expect(try #require(Subset("v2", of: names(1)[0])).description == "v2.s0.default")
    }

    @Test("ten thousand services have ten thousand addresses, all inside the ranges")
    func distinct() {
        let all = VirtualIP.assign(names(10_000))
        #expect(all.count == 10_000)
        #expect(Set(all.values.map(\.v4)).count == 10_000)
        #expect(all.values.allSatisfy { VirtualIP.isVirtual($0.v4) && VirtualIP.isVirtual($0.v6) })
    }
}
