import MeshModel
import Platform
import Testing

@testable import Proxy

@Suite("What workers look up of services")
struct ServiceTablesTests {
    private typealias Part = ServiceTables.Part

    /// Several services may have an endpoint at the same address.
    private func part(_ service: Int, _ name: NameID, _ random: inout some RandomNumberGenerator) -> Part {
        var part = Part()
        for _ in 0..<Int.random(in: 1...4, using: &random) {
            let address = SocketAddress("192.0.2.\(Int.random(in: 1...8, using: &random)):80")!
            let node = NameID(part.endpoints.count)
            let target = Snapshot.Target(address: address, tunnel: nil, identity: name, node: node, eligible: .random(using: &random))
            part.endpoints.append((target, Bool.random(using: &random) ? .init(service: name, identity: name) : nil))
        }
        let entry = Snapshot.ServiceEntry(name: name, targets: part.endpoints.map(\.target))
        part.entries = [(SocketAddress("240.240.0.\(service + 1):80")!, entry, Array(part.endpoints.indices))]
        return part
    }

    /// Other states of the same addresses.
    private func turned(_ part: Part, _ random: inout some RandomNumberGenerator) -> Part {
        var part = part
        for index in part.endpoints.indices where Bool.random(using: &random) { part.endpoints[index].target.eligible.toggle() }
        part.entries[0].entry.targets = part.endpoints.map(\.target)
        return part
    }

    private func texts(_ tables: ServiceTables) -> [String] {
        (tables.services.map { "\($0) \($1)" } + tables.byEndpoint.map { "\($0) \($1)" } + tables.local.map { "\($0) \($1)" }).sorted()
    }

    @Test(arguments: 0..<40) func `what is changed service by service is what is made at once`(seed: Int) {
        var random = SystemRandomNumberGenerator()
        let names = Interner()
        let services = (0..<5).map { ServiceName("s\($0).default")! }
        // Numbers in another order than the names.
        for service in services.shuffled(using: &random) { _ = names.id(service.description) }
        var tables = ServiceTables()
        var parts: [ServiceName: Part] = [:]
        for step in 0..<100 {
            let number = Int.random(in: 0..<services.count, using: &random)
            let (service, name) = (services[number], names.id(services[number].description))
            let fresh: Part? =
                switch Int.random(in: 0..<8, using: &random) {
                case 0...1: nil
                case 2...4: part(number, name, &random)
                default: parts[service].map { turned($0, &random) }
                }
            tables.set(service, name, to: fresh)
            parts[service] = fresh
            var anew = ServiceTables()
            for (service, part) in parts.sorted(by: { $0.key < $1.key }) { anew.set(service, names.id(service.description), to: part) }
            #expect(texts(tables) == texts(anew), "run \(seed), step \(step)")
        }
    }

    @Test func `at an address that services share the last name stands, and another follows it`() {
        let names = Interner()
        let address = SocketAddress("192.0.2.1:80")!
        let (first, last) = (ServiceName("a.default")!, ServiceName("b.default")!)
        var tables = ServiceTables()
        for service in [last, first] {
            let name = names.id(service.description)
            var part = Part()
            part.endpoints = [(Snapshot.Target(address: address, tunnel: nil, identity: name, node: 0, eligible: true), .init(service: name, identity: name))]
            tables.set(service, name, to: part)
        }
        #expect(names[tables.byEndpoint[address]!.service] == "b.default")
        #expect(names[tables.local[address]!.service] == "b.default")
        tables.set(last, names.id("b.default"), to: nil)
        #expect(names[tables.byEndpoint[address]!.service] == "a.default")
        tables.set(first, names.id("a.default"), to: nil)
        #expect(tables.byEndpoint.isEmpty && tables.local.isEmpty)
    }
}
