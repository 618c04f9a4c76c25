import MeshModel
import Platform
import Testing

@Suite struct EndpointTests {
    private static func make(
        service: String = "reviews.default", address: String = "192.0.2.1:80", account: String = "reviews", node: String = "a", version: String = "v1",
        weight: UInt32 = 1, zone: String = "1", labels: [String: String] = ["tier": "web"], health: Health = .healthy
    ) -> Endpoint {
        Endpoint(
            service: ServiceName(service)!, address: SocketAddress(address)!, identity: SPIFFEID(trustDomain: "shop.example", namespace: "default", account: account)!,
            node: node, version: version, weight: weight, locality: Locality(region: "eu", zone: zone), labels: labels, health: health)
    }

    @Test func endpointsWithTheSamePartsAreTheSame() {
        #expect(Self.make() == Self.make())
        #expect(Set([Self.make(), Self.make()]).count == 1)
    }

    static let others: [(String, Endpoint)] = [
        ("service", make(service: "ratings.default")), ("address", make(address: "192.0.2.1:81")), ("identity", make(account: "other")),
        ("node", make(node: "b")), ("version", make(version: "v2")), ("weight", make(weight: 2)), ("locality", make(zone: "2")),
        ("labels", make(labels: ["tier": "db"])), ("health", make(health: .unhealthy)),
    ]

    @Test(arguments: others) func everyPartCounts(_ part: String, _ other: Endpoint) {
        #expect(Self.make() != other, "\(part)")
        #expect(Mirror(reflecting: other).children.count == Self.others.count, "a new part is compared, too")
    }
}
