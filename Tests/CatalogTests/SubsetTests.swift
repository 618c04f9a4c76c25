import MeshModel
import Testing

@testable import Catalog

@Suite struct SubsetTests {
    private func view(_ core: inout CatalogCore, versions: [String]) throws -> CatalogView {
        for (index, version) in versions.enumerated() {
            try core.putEndpoint("reviews.default", "192.0.2.1:\(1000 + index)", version: version)
        }
        core.commit(.at(0))
        return core.view()
    }

    @Test func everyVersionThatCanStandInANameHasAddressesOfItsOwn() throws {
        var core = CatalogCore.test("a")
        let first = try view(&core, versions: ["v1", "v2", "v2", "", "1.2"])
        let service = try #require(first.services.first)
        #expect(service.subsets.map(\.subset.description) == ["v1.reviews.default", "v2.reviews.default"])
        #expect(Set(service.subsets.map(\.addresses.v4) + [service.service.addresses.v4]).count == 3)
        // A version more changes no other's addresses, and one that goes takes its own along.
        let more = try view(&core, versions: ["v1", "v2", "v2", "v3", "1.2"])
        #expect(more.services[0].subsets.prefix(2).elementsEqual(service.subsets) && more.services[0].subsets.count == 3)
        let fewer = try view(&core, versions: ["v1", "v1", "v1", "v1", "v1"])
        #expect(fewer.services[0].subsets == [service.subsets[0]])
    }

    @Test func tooManyVersionsAreToldOnceAndTheFirstKeepTheirNames() throws {
        var core = CatalogCore.test("a")
        let versions = (0..<Subset.perService + 3).map { "v\($0 + 100)" }
        let subsets = try view(&core, versions: versions).services[0].subsets
        #expect(subsets.map(\.subset.version) == Array(versions.prefix(Subset.perService)))
        let event = CatalogEvent.tooManyVersions(ServiceName("reviews.default")!, count: versions.count)
        #expect(core.events.filter { $0 == event }.count == 1)
        #expect(event.description.contains("35 versions and only the first 32 have a name"))
        core.effects = []
        _ = try view(&core, versions: ["v999"])
        #expect(!core.events.contains(event))
    }
}
