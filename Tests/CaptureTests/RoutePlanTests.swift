import MeshModel
import Netfilter
import Platform
import Testing

@testable import Capture

@Suite("The plan of routes")
struct RoutePlanTests {
    private func plan(v4: String?, v6: String?, addresses: [String], hasV6: Bool = true) -> RoutePlan {
        var settings = CaptureSettings()
        settings.nodeAddressV4 = v4.flatMap { IPAddress($0) }
        settings.nodeAddressV6 = v6.flatMap { IPAddress($0) }
        return RoutePlan(settings, addresses: Set(addresses.compactMap { IPAddress($0) }), hasV6: hasV6)
    }
    private func source(_ plan: RoutePlan, _ network: IPNetwork) -> IPAddress? { plan.routes.first { $0.destination == network }?.source }

    @Test("calls to virtual addresses come from the node's address where the host has it, else from loopback")
    func sources() {
        let both = plan(v4: "192.0.2.7", v6: "2001:db8::7", addresses: ["192.0.2.7", "2001:db8::7"])
        #expect(source(both, VirtualIP.v4Network) == IPAddress("192.0.2.7"))
        #expect(source(both, VirtualIP.v6Network) == IPAddress("2001:db8::7"))
        let late = plan(v4: "192.0.2.7", v6: nil, addresses: ["198.51.100.1"])
        #expect(source(late, VirtualIP.v4Network) == .loopbackV4)
        #expect(source(late, VirtualIP.v6Network) == .loopbackV6)
    }

    @Test("marked answers end on this host, and only they")
    func rules() {
        let settings = CaptureSettings()
        let plan = plan(v4: nil, v6: nil, addresses: [])
        #expect(plan.rules.map(\.family) == [.v4, .v6])
        #expect(plan.rules.allSatisfy { $0.mark == settings.spoofedMark && $0.mask == settings.markMask && $0.table == settings.routingTable })
        #expect(plan.routes.filter { $0.kind == .local }.map(\.destination.prefixLength) == [0, 0])
        #expect(plan.routes.filter { $0.kind == .local }.allSatisfy { $0.table == settings.routingTable })
    }

    @Test("without IPv6 there is nothing of it")
    func noV6() {
        let plan = plan(v4: nil, v6: "2001:db8::7", addresses: [], hasV6: false)
        #expect(plan.routes.allSatisfy { $0.destination.base.isV4 })
        #expect(plan.rules.map(\.family) == [.v4])
    }
}
