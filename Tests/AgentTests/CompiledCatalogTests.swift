import MeshModel
import Platform
import Proxy
import Testing

@testable import Catalog
@testable import weftd

/// What workers read is compiled change by change; everything compiled anew is the truth that it is held to.
@Suite struct CompiledCatalogTests {
    /// Tells records apart; signatures are not what this is about.
    private static let authority = RecordAuthority(
        sha256: { bytes in
            var hash: UInt64 = 0xcbf2_9ce4_8422_2325
            return (0..<4).flatMap { _ -> [UInt8] in
                for byte in bytes { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01b3 }
                return (0..<8).map { UInt8(truncatingIfNeeded: hash >> UInt64(8 * $0)) }
            }
        }, sign: { _ in ([[1]], [1]) }, verify: { (_: [UInt8], _: [UInt8], _: [[UInt8]], _: String) in })

    private static func core(_ name: String) -> CatalogCore {
        CatalogCore(node: name, trustDomain: "shop.example", generation: 1, limits: CatalogLimits(), authority: authority)
    }

    private struct World {
        var here = CompiledCatalogTests.core("z")
        var origins: [CatalogCore] = []
        var now = MonotonicTime(nanoseconds: 1_000_000_000_000)

        init() throws {
            for number in 0..<4 {
                var origin = CompiledCatalogTests.core("n\(number)")
                try describe(&origin, "192.0.2.\(number + 1):15008")
                origins.append(origin)
                here.connected(origin.node, now)
                here.liveness(origin.node, .alive, now)
            }
            try describe(&here, "192.0.2.99:15008")
            here.commit(now)
        }

        func describe(_ core: inout CatalogCore, _ tunnel: String) throws {
            try core.put(.node(core.node), payload: NodeInfo(name: core.node, tunnel: SocketAddress(tunnel)!, version: "1").recordPayload)
        }

        mutating func change(_ random: inout some RandomNumberGenerator) throws {
            let number = Int.random(in: 0..<origins.count, using: &random)
            switch Int.random(in: 0..<12, using: &random) {
            case 0..<5: here.liveness(origins[number].node, [.alive, .dead].randomElement(using: &random)!, now)
            case 5: try write(&here, "192.0.2.99", &random)
            case 6: try describe(&origins[number], "192.0.2.\(Int.random(in: 1...8, using: &random)):15008")
            case 7: origins[number].delete(.endpoint("\(Int.random(in: 0..<3, using: &random))"))
            default: try write(&origins[number], "192.0.2.\(number + 1)", &random)
            }
            here.commit(now)
            origins[number].commit(now)
            if let delta = origins[number].own?.whole { here.received(.delta([delta]), from: origins[number].node, now) }
            here.effects = []
            now = now + .seconds(1)
        }

        private func write(_ core: inout CatalogCore, _ address: String, _ random: inout some RandomNumberGenerator) throws {
            // The last two want the same virtual address: which of them has it changes when the smaller name comes or goes.
            let service = ServiceName("\(["s0", "s10", "s432"].randomElement(using: &random)!).default")!
            let port = Int.random(in: 80..<83, using: &random)
            let identity = SPIFFEID(trustDomain: "shop.example", namespace: "default", account: service.name)!
            let endpoint = Endpoint(
                service: service, address: SocketAddress("\(address):\(port)")!, identity: identity, node: core.node,
                version: ["", "v1", "v2"].randomElement(using: &random)!, health: [.healthy, .unhealthy].randomElement(using: &random)!)
            try core.put(.endpoint("\(Int.random(in: 0..<3, using: &random))"), payload: endpoint.recordPayload(port: 80))
        }
    }

    /// With names in place of their numbers, which differ.
    private func texts(_ compiled: CompiledCatalog, _ names: Interner) -> [String] {
        func text(_ target: Snapshot.Target) -> String {
            "\(target.address) \(target.tunnel.map { "\($0)" } ?? "here") \(names[target.identity]) \(names[target.node]) \(target.eligible)"
        }
        return
            (compiled.tables.services.map { "\($0) \(names[$1.name]) \($1.targets.map(text))" }
            + compiled.tables.byEndpoint.map { "\($0) \(names[$1.service]) \(text($1.target))" }
            + compiled.tables.local.map { "\($0) \(names[$1.service]) \(names[$1.identity])" } + compiled.nodeAddresses.map { "\($0) \(names[$1])" })
            .sorted()
    }

    @Test(arguments: 0..<30) func whatIsCompiledChangeByChangeIsWhatIsCompiledAtOnce(_ run: Int) throws {
        var random = SystemRandomNumberGenerator()
        var world = try World()
        let (names, tenants) = (Interner(), Tenants())
        var followed = CompiledCatalog(node: "z", names: names, tenants: tenants)
        for step in 0..<60 {
            for _ in 0..<Int.random(in: 1...2, using: &random) { try world.change(&random) }
            let view = world.here.view()
            _ = followed.follow(view)
            var anew = CompiledCatalog(node: "z", names: names, tenants: tenants)
            _ = anew.follow(view)
            #expect(texts(followed, names) == texts(anew, names), "run \(run), step \(step)")
        }
        #expect(!followed.tables.services.isEmpty)
    }

    /// Both names want the same virtual address, and the smaller one gets it.
    @Test func aServiceThatTakesAnAddressOverHasIt() throws {
        var here = Self.core("z")
        let now = MonotonicTime(nanoseconds: 1_000_000_000_000)
        let (names, tenants) = (Interner(), Tenants())
        var followed = CompiledCatalog(node: "z", names: names, tenants: tenants)
        for (place, name) in ["s432", "s10"].enumerated() {
            let service = ServiceName("\(name).default")!
            let endpoint = Endpoint(
                service: service, address: SocketAddress("192.0.2.1:\(80 + place)")!,
                identity: SPIFFEID(trustDomain: "shop.example", namespace: "default", account: name)!, node: "z")
            try here.put(.endpoint("\(place)"), payload: endpoint.recordPayload(port: 80))
            here.commit(now)
            let view = here.view()
            _ = followed.follow(view)
            for service in view.services {
                let address = SocketAddress(service.service.addresses.v4, port: 80)
                #expect(followed.tables.services[address].map { names[$0.name] } == service.service.name.description, "\(address)")
            }
        }
        let view = here.view()
        let hosts = view.services.map { $0.service.addresses.v4.v4Number }
        #expect(hosts[0] + 1 == hosts[1], "they do want the same one")
    }
}
