import MeshModel
import Platform
import Reactor
import Testing

@testable import Catalog

/// Real connects against real listeners.
@Suite(.serialized) struct HealthCheckerTests {
    private func id(_ address: SocketAddress) -> LocalInstance.ID { .init(service: ServiceName("reviews.default")!, address: address) }

    @Test @Control func aListenerThatDiesAndReturnsIsNoticed() async throws {
        let listener = try Listener()
        let address = try #require(listener.address)
        var seen: [Health] = []
        let checker = HealthChecker(mark: 0) { _, health in seen.append(health) }
        checker.start(id(address), EndpointCheck(interval: .milliseconds(40), timeout: .milliseconds(500), healthyAfter: 2, unhealthyAfter: 2))
        #expect(checker.health(id(address)) == .unknown)
        await until("healthy") { seen == [.healthy] }
        // Only changes are told.
        await ControlLoop.shared.sleep(.milliseconds(150))
        #expect(seen == [.healthy] && checker.counters.passed >= 2)
        listener.close()
        await until("unhealthy") { seen == [.healthy, .unhealthy] }
        #expect(checker.lastFailure(id(address)).contains("refused"))
        #expect(checker.counters.failed >= 2)
        try listener.open(address)
        await until("healthy again") { seen == [.healthy, .unhealthy, .healthy] }
        checker.stopAll()
        let passed = checker.counters.passed
        await ControlLoop.shared.sleep(.milliseconds(120))
        #expect(checker.counters.passed == passed, "a stopped check does nothing more")
        listener.close()
    }

    @Test @Control func anAddressThatDoesNotAnswerTimesOut() async throws {
        // A listener whose queue is full: the kernel drops what comes.
        let listener = try Socket.tcpListener(SocketAddress(.loopbackV4, port: 0), backlog: 0)
        let address = try #require(Socket.localAddress(listener.raw))
        var held: [CInt] = []
        for _ in 0..<4 { held.append(try Socket.connect(to: address).release()) }
        defer { for fd in held { _ = OwnedFD(consuming: fd) } }
        var seen: [Health] = []
        let checker = HealthChecker(mark: 0) { _, health in seen.append(health) }
        checker.start(id(address), EndpointCheck(interval: .seconds(5), timeout: .milliseconds(60)))
        await until("unhealthy") { seen == [.unhealthy] }
        #expect(checker.lastFailure(id(address)).contains("within 60 ms"))
        checker.stopAll()
    }

    @Test @Control func healthReachesTheRecordOnlyWhenItChangesAndTheViewAtOnce() async throws {
        let mesh = try TestMesh()
        let scratch = ScratchDirectory()
        let agent = try TestAgent("a", mesh, scratch)
        try await agent.start()
        let listener = try Listener()
        let address = try #require(listener.address)
        let check = EndpointCheck(interval: .milliseconds(40), unhealthyAfter: 2)
        try agent.catalog.declare([agent.instance("reviews.default", at: address.description, check: check)])
        await until("healthy") { agent.sees("reviews.default").map(\.endpoint.health) == [.healthy] }
        await until("signed") { agent.catalog.positions["a"] != nil }
        await ControlLoop.shared.sleep(.milliseconds(30))
        let version = agent.catalog.positions["a"]?.version
        await ControlLoop.shared.sleep(.milliseconds(200))
        #expect(agent.catalog.positions["a"]?.version == version, "passing checks write nothing")
        listener.close()
        await until("unhealthy") { agent.sees("reviews.default").map(\.usable) == [false] }
        #expect(agent.catalog.local.first?.health == .unhealthy)
        #expect(agent.catalog.local.first?.lastFailure.isEmpty == false)
        await agent.stop()
    }
}
