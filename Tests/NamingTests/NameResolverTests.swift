import MeshModel
import Platform
import Testing

@testable import Naming

/// Two namespaces with a service of the same name, and one service without an IPv6 address.
let testTable = NameTable(services: [
    ServiceName("reviews", namespace: "default")!: .init(v4: IPAddress("240.240.0.1"), v6: IPAddress("fd77:6566:7400::1"), ports: [9080]),
    ServiceName("reviews", namespace: "prod")!: .init(v4: IPAddress("240.240.0.2"), v6: IPAddress("fd77:6566:7400::2"), ports: [80, 443]),
    ServiceName("ratings", namespace: "prod")!: .init(v4: IPAddress("240.240.0.3"), v6: nil, ports: [9080]),
    ServiceName("weft", namespace: "default")!: .init(v4: IPAddress("240.240.0.4"), v6: nil, ports: [1]),
    ServiceName("prod", namespace: "prod")!: .init(v4: IPAddress("240.240.0.5"), v6: nil, ports: [80]),
], subsets: [
    Subset("v2", of: ServiceName("reviews", namespace: "prod")!)!: .init(v4: IPAddress("240.240.1.2"), v6: IPAddress("fd77:6566:7400::102"), ports: [80]),
    // The same two labels as a service's name: the service counts.
    Subset("reviews", of: ServiceName("prod", namespace: "prod")!)!: .init(v4: IPAddress("240.240.1.3"), v6: nil, ports: [80]),
])

@Suite("Names become answers")
struct NameResolverTests {
    private let resolver = NameResolver(searchDomains: ["corp.example.com", "Example.COM."])

    private func decide(_ name: String, _ type: DNSType = .a, caller: String? = "default", limit: Int = 512, edns: UInt16? = nil) throws -> (
        decision: NameResolver.Decision, response: Response?
    ) {
        let query = try #require(parsed(makeQuery(name, type, edns: edns)))
        let decision = resolver.answer(query, callerNamespace: caller, table: testTable, limit: limit)
        switch decision {
        case .answer(let bytes, _), .refuse(let bytes): return (decision, try Response(bytes))
        case .forward: return (decision, nil)
        }
    }

    @Test(
        "A: every form of a name, from every caller",
        arguments: [
            // Short, in the caller's namespace.
            ("reviews", "default", "240.240.0.1"), ("reviews", "prod", "240.240.0.2"), ("REVIEWS", "prod", "240.240.0.2"), ("reviews", "other", nil),
            ("reviews", nil, nil),
            ("ratings", "default", nil), ("ratings", "prod", "240.240.0.3"), ("unknown", "default", nil), ("localhost", "default", nil),
            // With its namespace.
            ("reviews.prod", "default", "240.240.0.2"), ("reviews.prod", nil, nil), ("reviews.nowhere", "default", nil),
            ("reviews.com", "default", nil), ("prod", "default", nil),
            // The mesh's zones: for anybody.
            ("reviews.prod.svc.mesh", nil, "240.240.0.2"), ("reviews.prod.weft", nil, "240.240.0.2"),
            ("Reviews.Prod.Svc.Mesh", "default", "240.240.0.2"),
            ("reviews.weft", "prod", "240.240.0.2"), ("weft.default.weft", nil, "240.240.0.4"), ("weft", "default", "apex"),
            // As in Kubernetes.
            ("reviews.prod.svc.cluster.local", "default", "240.240.0.2"), ("reviews.prod.svc", "default", "240.240.0.2"),
            ("kube-dns.kube-system.svc.cluster.local", "default", nil),
            ("reviews.prod.svc.cluster.local", nil, nil),
            // As with Consul; other domains, kinds and datacenters are Consul's own.
            ("reviews.service.consul", "default", "240.240.0.1"), ("reviews.service.consul", "prod", "240.240.0.2"),
            ("Reviews.Service.Prod.NS.Consul", "default", "240.240.0.2"), ("reviews.virtual.consul", "default", "240.240.0.1"),
            ("reviews.virtual.prod.ns.consul", "default", "240.240.0.2"), ("reviews.service.consul", nil, nil),
            ("unknown.service.consul", "default", nil), ("ratings.service.consul", "default", nil), ("reviews.service.nowhere.ns.consul", "default", nil),
            ("reviews.service.dc1.consul", "default", nil), ("reviews.service.prod.ns.dc1.dc.consul", "default", nil),
            ("reviews.node.consul", "default", nil), ("reviews.connect.consul", "default", nil), ("service.consul", "default", nil),
            ("consul", "default", nil), ("reviews.consul", "default", nil), ("a.reviews.service.consul", "default", nil),
            ("reviews.service.consul.corp.example.com", "default", "240.240.0.1"),
            // One version, in every form.
            ("v2.reviews", "prod", "240.240.1.2"), ("V2.Reviews", "prod", "240.240.1.2"), ("v2.reviews", "default", nil), ("v2.reviews", nil, nil),
            ("v2.reviews.prod", "default", "240.240.1.2"), ("v2.reviews.prod", nil, nil), ("v2.reviews.default", "default", nil),
            ("v2.reviews.prod.svc.mesh", nil, "240.240.1.2"), ("v2.reviews.prod.weft", nil, "240.240.1.2"), ("v2.reviews.weft", "prod", "240.240.1.2"),
            ("v2.reviews.prod.svc", "default", "240.240.1.2"), ("v2.reviews.prod.svc.cluster.local", "default", "240.240.1.2"),
            ("v2.reviews.service.consul", "prod", "240.240.1.2"), ("v2.reviews.service.prod.ns.consul", "default", "240.240.1.2"),
            ("v2.reviews.service.consul", "default", nil), ("v3.reviews.prod", "default", nil), ("v2.ratings.prod", "prod", nil),
            ("v2.reviews.prod.corp.example.com", "default", "240.240.1.2"), ("reviews.prod", "prod", "240.240.0.2"),
            // Under the host's search domains.
            ("reviews.corp.example.com", "default", "240.240.0.1"), ("reviews.prod.corp.example.com", "default", "240.240.0.2"),
            ("reviews.example.com", "prod", "240.240.0.2"),
            ("reviews.prod.weft.corp.example.com", "default", "240.240.0.2"), ("reviews.prod.svc.mesh.example.com", nil, "240.240.0.2"),
            ("unknown.corp.example.com", "default", nil),
            ("reviews.other.com", "default", nil), ("corp.example.com", "default", nil), ("x.weft.corp.example.com", "default", nil),
            ("reviews.corp.example.com", nil, nil),
            // Others', and the root.
            ("www.example.org", "default", nil), ("", "default", nil), ("a.b.c.reviews", "default", nil),
        ] as [(String, String?, String?)])
    func forms(_ name: String, _ caller: String?, _ address: String?) throws {
        let (decision, response) = try decide(name, caller: caller)
        guard address != "apex" else {
            #expect(response?.code == 0 && response?.answers.isEmpty == true)
            return
        }
        guard let address else {
            #expect(decision == .forward)
            return
        }
        #expect(try #require(response).answers == [.init(name: name, type: 1, ttl: 5, data: address)])
        #expect(response?.code == 0 && response?.isAuthoritative == true && response?.flags == 0x8580)
        #expect(response?.question == name && response?.id == 0x1234)
    }

    @Test(
        "What is unknown in our own zones does not exist, and says so with an SOA that nobody keeps long",
        arguments: [
            ("unknown.default.weft", "weft"), ("reviews.nowhere.weft", "weft"), ("unknown.weft", "weft"), ("a.reviews.prod.svc.mesh", "mesh"),
            ("reviews.prod.mesh", "mesh"),
            ("foo.svc.mesh", "mesh"), ("9.0.240.240.in-addr.arpa", "240.240.in-addr.arpa"), ("_9999._tcp.reviews.prod.weft", "weft"),
            ("_80._udp.reviews.prod.weft", "weft"),
            ("1.2.3.0.240.240.in-addr.arpa", "240.240.in-addr.arpa"),
        ])
    func nonexistent(_ name: String, _ zone: String) throws {
        for type in [DNSType.a, .aaaa, .srv, .ptr, DNSType(65)] {
            let (decision, response) = try decide(name, type)
            guard case .answer(_, .nameError) = decision else { return #expect(Bool(false), "\(name): \(decision)") }
            #expect(response?.code == 3 && response?.answers == [])
            #expect(response?.authority == [.init(name: zone, type: 6, ttl: 5, data: "ns.\(zone) hostmaster.\(zone) 1 3600 600 86400 5")])
        }
    }

    @Test(
        "A name that exists without data of that type, or only above others, has no data",
        arguments: [
            ("ratings.prod.svc.mesh", 28), ("reviews.prod.weft", 15), ("reviews.prod.weft", 65), ("prod.weft", 1), ("prod.svc.mesh", 1),
            ("svc.mesh", 1), ("mesh", 1), ("weft", 28),
            ("_tcp.reviews.prod.weft", 33), ("_http._tcp.reviews.prod.weft", 1), ("240.240.in-addr.arpa", 12), ("0.240.240.in-addr.arpa", 12),
            ("1.0.240.240.in-addr.arpa", 1),
        ] as [(String, UInt16)])
    func noData(_ name: String, _ type: UInt16) throws {
        let (decision, response) = try decide(name, DNSType(type), caller: nil)
        guard case .answer(_, .noData) = decision else { return #expect(Bool(false), "\(name): \(decision)") }
        #expect(response?.code == 0 && response?.answers == [] && response?.authority.first?.type == 6)
    }

    @Test("A short name without data of that type has an SOA of its own")
    func shortNoData() throws {
        let (_, response) = try decide("ratings", .aaaa, caller: "prod")
        #expect(response?.code == 0 && response?.authority.first?.name == "ratings")
    }

    @Test("AAAA, ANY and reverse names")
    func otherTypes() throws {
        #expect(try decide("reviews", .aaaa).response?.answers.map(\.data) == ["fd77:6566:7400::1"])
        #expect(try decide("reviews", .any).response?.answers.map(\.type) == [1, 28])
        #expect(try decide("weft", .soa).response?.answers.map(\.type) == [6])
        #expect(try decide("1.0.240.240.in-addr.arpa", .ptr).response?.answers.map(\.data) == ["reviews.default.svc.mesh"])
        let v6 = "2.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.4.7.6.6.5.6.7.7.d.f.ip6.arpa"
        #expect(try decide("0." + v6.dropFirst(2), .ptr).response?.code == 3)
        #expect(try decide(v6, .ptr).response?.answers.map(\.data) == ["reviews.prod.svc.mesh"])
        #expect(try decide("1.0.0.10.in-addr.arpa", .ptr).decision == .forward)
        #expect(try decide("2.1.240.240.in-addr.arpa", .ptr).response?.answers.map(\.data) == ["v2.reviews.prod.svc.mesh"])
        #expect(try decide("_reviews._v2.service.prod.ns.consul", .srv).response?.answers.map(\.data) == ["0 1 80 v2.reviews.prod.svc.mesh"])
        #expect(try decide("v3.reviews.prod.svc.mesh").response?.code == 3)
    }

    @Test(
        "SRV: plain, by port number, by port name; the target is the full name, its addresses come along",
        arguments: [
            ("reviews.prod.svc.mesh", [80, 443]), ("_http._tcp.reviews.prod.weft", [80, 443]), ("_443._tcp.reviews.prod", [443]),
            ("_grpc._tcp.reviews", [9080]), ("reviews", [9080]),
            ("_9080._tcp.reviews.corp.example.com", [9080]),
            ("reviews.service.consul", [9080]), ("reviews.service.prod.ns.consul", [80, 443]), ("_reviews._tcp.service.consul", [9080]),
            ("_reviews._tcp.service.prod.ns.consul", [80, 443]), ("_443._tcp.reviews.service.prod.ns.consul", [443]),
        ])
    func srv(_ name: String, _ ports: [Int]) throws {
        let response = try #require(try decide(name, .srv).response)
        let namespace = ports == [9080] ? "default" : "prod"
        #expect(response.answers == ports.map { .init(name: name, type: 33, ttl: 5, data: "0 1 \($0) reviews.\(namespace).svc.mesh") })
        #expect(response.additional.map(\.type) == [1, 28])
        #expect(response.additional.allSatisfy { $0.name == "reviews.\(namespace).svc.mesh" })
    }

    @Test("SRV for a port that a short name has not is somebody else's")
    func foreignSRV() throws {
        #expect(try decide("_sip._udp.reviews", .srv).decision == .forward)
        #expect(try decide("_81._tcp.reviews", .srv).decision == .forward)
        #expect(try decide("_reviews._udp.service.consul", .srv).decision == .forward)
        #expect(try decide("_unknown._tcp.service.consul", .srv).decision == .forward)
    }

    @Test("Answers that are too big are truncated to nothing, and whole over TCP")
    func truncation() throws {
        let name = ServiceName("many", namespace: "default")!
        let table = NameTable(services: [name: .init(v4: IPAddress("240.240.0.9"), v6: nil, ports: Array(1...200))])
        let query = try #require(parsed(makeQuery("many", .srv, edns: 1232)))
        guard case .answer(let bytes, .truncated) = resolver.answer(query, callerNamespace: "default", table: table, limit: query.udpLimit) else {
            return #expect(Bool(false))
        }
        let small = try Response(bytes)
        #expect(small.isTruncated && small.answers.isEmpty && small.additional.map(\.type) == [41])
        guard case .answer(let all, .data) = resolver.answer(query, callerNamespace: "default", table: table, limit: 65_535) else {
            return #expect(Bool(false))
        }
        #expect(try Response(all).answers.count == 200)
        // Exactly at the limit all is there; a byte less leaves out the courtesy records only, then everything.
        let size = all.count
        guard case .answer(let exact, .data) = resolver.answer(query, callerNamespace: "default", table: table, limit: size) else {
            return #expect(Bool(false))
        }
        #expect(exact.count == size)
        guard case .answer(let less, .data) = resolver.answer(query, callerNamespace: "default", table: table, limit: size - 1) else {
            return #expect(Bool(false))
        }
        #expect(try Response(less).answers.count == 200 && Response(less).additional.count == 1)
    }

    @Test("EDNS is answered with EDNS, its DO bit comes back, and another version is refused as such")
    func edns() throws {
        let query = try #require(parsed(makeQuery("reviews", edns: 1232, dnssecOK: true)))
        guard case .answer(let bytes, _) = resolver.answer(query, callerNamespace: "default", table: testTable, limit: 512) else {
            return #expect(Bool(false))
        }
        #expect(try Response(bytes).additional == [.init(name: "", type: 41, ttl: 0x8000, data: "0 bytes")])
        let next = try #require(parsed(makeQuery("reviews", edns: 1232, ednsVersion: 1)))
        guard case .refuse(let refusal) = resolver.answer(next, callerNamespace: "default", table: testTable, limit: 512) else {
            return #expect(Bool(false))
        }
        let response = try Response(refusal)
        #expect(response.additional.first?.ttl == 1 << 24 && response.answers.isEmpty)
        let plain = try #require(parsed(makeQuery("reviews")))
        guard case .answer(let without, _) = resolver.answer(plain, callerNamespace: "default", table: testTable, limit: 512) else {
            return #expect(Bool(false))
        }
        #expect(try Response(without).additional.isEmpty)
    }

    @Test("Transfers of our zones are refused, other classes are forwarded")
    func refusals() throws {
        guard case .refuse(let bytes) = try decide("weft", .axfr).decision else { return #expect(Bool(false)) }
        #expect(try Response(bytes).code == 5)
        let chaos = try #require(parsed(makeQuery("reviews", recordClass: 3)))
        #expect(resolver.answer(chaos, callerNamespace: "default", table: testTable, limit: 512) == .forward)
    }

    @Test("Who asks is only looked up when the answer depends on it")
    func lazyCaller() throws {
        var lookups = 0
        func caller() -> String? {
            lookups += 1
            return "default"
        }
        for name in ["www.example.org", "unknown", "reviews.prod.weft", "unknown.weft", "reviews.nowhere"] {
            let query = try #require(parsed(makeQuery(name)))
            _ = resolver.answer(query, callerNamespace: caller(), table: testTable, limit: 512)
        }
        #expect(lookups == 0)
        _ = resolver.answer(try #require(parsed(makeQuery("reviews"))), callerNamespace: caller(), table: testTable, limit: 512)
        #expect(lookups == 1)
    }

    @Test("The TTL is never above five seconds", arguments: [(Duration.seconds(60), UInt32(5)), (.seconds(2), 2), (.zero, 0), (.seconds(-1), 0)])
    func ttl(_ configured: Duration, _ expected: UInt32) {
        #expect(NameResolver(ttl: configured).ttl == expected)
    }

    @Test("A table from services joins the ports of one name")
    func table() {
        let name = ServiceName("a", namespace: "b")!
        let addresses = VirtualIP.assign([name])[name]!
        let table = NameTable([
            Service(name: name, port: 443, addresses: addresses), Service(name: name, port: 80, addresses: addresses),
            Service(name: name, port: 80, addresses: addresses),
        ])
        #expect(table.services == [name: .init(v4: addresses.v4, v6: addresses.v6, ports: [80, 443])])
    }
}
