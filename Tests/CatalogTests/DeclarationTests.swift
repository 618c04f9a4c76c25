import MeshModel
import Platform
import Settings
import Testing

@testable import Catalog

@Suite struct DeclarationTests {
    private let workloads = [Workload(name: "web", namespace: "shop", account: "reviews", selector: .unit("reviews.service"))]
    private let here = IPAddress("192.0.2.1")!

    @Test func aDeclarationTakesItsIdentityFromTheWorkloadAndItsAddressFromTheNode() throws {
        var declaration = ServiceDeclaration(service: ServiceName("reviews.shop")!, port: 80, workload: "web")
        declaration.targetPort = 9080
        declaration.version = "v2"
        let instance = try LocalInstance(declaration, workloads: workloads, address: here, trustDomain: "shop.example")
        #expect(instance.address == SocketAddress("192.0.2.1:9080") && instance.port == 80 && instance.version == "v2")
        #expect(instance.identity.description == "spiffe://shop.example/ns/shop/sa/reviews")
        #expect(instance.check.kind == .tcp && instance.check.unhealthyAfter == 3)
    }

    @Test func whoIsNeverCheckedIsAlwaysHealthy() throws {
        var declaration = ServiceDeclaration(service: ServiceName("reviews.shop")!, port: 80, workload: "web")
        declaration.check = nil
        declaration.address = IPAddress("192.0.2.9")
        let instance = try LocalInstance(declaration, workloads: workloads, address: here, trustDomain: "shop.example")
        #expect(instance.check.kind == .none && instance.address == SocketAddress("192.0.2.9:80"))
    }

    @Test func anUnknownWorkloadIsNamedWithThoseThatAreKnown() {
        let declaration = ServiceDeclaration(service: ServiceName("reviews.shop")!, port: 80, workload: "wbe")
        let error = #expect(throws: MeshError.self) {
            try LocalInstance(declaration, workloads: workloads, address: here, trustDomain: "shop.example")
        }
        #expect(error?.code == "service_workload" && error?.remedy.contains("web") == true)
    }
}
