import MeshModel
import Platform
import Testing

@testable import Catalog

/// The index builds what changed; everything made anew is the truth that it is held to.
@Suite("The index of services")
struct IndexTests {
    private struct State {
        var records: [String: [String: RecordContent]] = [:]
        var rules: [ServiceName: [SubsetRule]] = [:]
        var gone: Set<String> = []

        func reach(_ origin: String) -> Reach { .init(reachable: !gone.contains(origin), stale: false) }

        /// All of it, by an index that has built nothing before.
        func anew() -> [CatalogView.ServiceView] {
            var index = CatalogIndex()
            _ = index.setRules(rules)
            for (origin, records) in records { for (key, content) in records { index.set(.endpoint(key), of: origin, to: content) } }
            var events: [CatalogEvent] = []
            return index.build(reach, conflicts: &events)
        }
    }

    private func endpoint(_ origin: String, _ number: Int, _ random: inout Seeded) -> RecordContent {
        let service = ServiceName("s\(Int.random(in: 0..<6, using: &random)).default")!
        let identity = SPIFFEID(trustDomain: "shop.example", namespace: "default", account: service.name)!
        let endpoint = Endpoint(
            service: service, address: SocketAddress("192.0.2.\(number + 1):80")!, identity: identity, node: origin,
            version: ["", "v1", "v2"].randomElement(using: &random)!, health: [.healthy, .unhealthy].randomElement(using: &random)!)
        return .endpoint(endpoint, port: [80, 80, 80, 81].randomElement(using: &random)!)
    }

    @Test(arguments: UInt64(0)..<40) func `what is built change by change is what is built at once`(seed: UInt64) {
        var random = Seeded(seed)
        var index = CatalogIndex()
        var state = State()
        var view = CatalogView()
        // As somebody who follows the changes holds it.
        var followed: [ServiceName: CatalogView.ServiceView] = [:]
        for step in 0..<60 {
            for _ in 0..<Int.random(in: 1...3, using: &random) {
                let origin = "n\(Int.random(in: 0..<4, using: &random))"
                switch Int.random(in: 0..<10, using: &random) {
                case 0:
                    index.remove(origin)
                    state.records[origin] = nil
                case 1:
                    if state.gone.remove(origin) == nil { state.gone.insert(origin) }
                    index.touch(origin)
                case 2:
                    let service = ServiceName("s\(Int.random(in: 0..<6, using: &random)).default")!
                    let name = ["v1", "red"].randomElement(using: &random)!
                    state.rules[service] = Bool.random(using: &random) ? nil : [SubsetRule(name: name, labels: ["version": "v2"])]
                    _ = index.setRules(state.rules)
                case let kind:
                    let number = Int.random(in: 0..<4, using: &random)
                    let content = kind < 5 ? nil : endpoint(origin, number, &random)
                    index.set(.endpoint("e\(number)"), of: origin, to: content)
                    state.records[origin, default: [:]]["e\(number)"] = content
                }
            }
            var events: [CatalogEvent] = []
            let services = index.build(state.reach, conflicts: &events)
            let truth = state.anew()
            #expect(services == truth, "seed \(seed), step \(step)")
            let fresh = CatalogView(services: services)
            let changes = fresh.changes(since: view)
            for name in changes.gone { followed[name] = nil }
            for service in changes.services { followed[service.service.name] = service }
            #expect(followed.values.sorted { $0.service.name < $1.service.name } == services, "seed \(seed), step \(step)")
            #expect(changes.services.allSatisfy { view.service($0.service.name) != $0 }, "only what is different")
            if !changes.names { #expect(names(view) == names(fresh), "seed \(seed), step \(step)") }
            view = fresh
        }
    }

    private func names(_ view: CatalogView) -> [String] {
        view.services.flatMap { service in ["\(service.service)"] + service.subsets.map { "\($0.subset) \($0.addresses)" } }
    }

    @Test func `an endpoint's health is no other name`() throws {
        var core = CatalogCore.test("a")
        try core.putEndpoint("reviews.default", "192.0.2.1:80", version: "v1")
        try core.putEndpoint("ratings.default", "192.0.2.1:81")
        core.commit(.at(0))
        let first = core.view()
        try core.putEndpoint("reviews.default", "192.0.2.1:80", version: "v1", health: .unhealthy)
        core.commit(.at(1))
        let second = core.view()
        let changes = second.changes(since: first)
        #expect(changes.services == [second.service(ServiceName("reviews.default")!)!])
        #expect(!changes.names && !changes.nodes && changes.gone.isEmpty)
        #expect(second.changes(since: second) == CatalogView.Changes())
        try core.putNode()
        core.commit(.at(2))
        #expect(core.view().changes(since: second).nodes)
    }
}
