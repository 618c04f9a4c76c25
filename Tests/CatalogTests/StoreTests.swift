import Glibc
import Identity
import MeshModel
import Platform
import Testing

@testable import Catalog

@Suite struct StoreTests {
    private let scratch = ScratchDirectory()
    private var directory: String { "\(scratch.path)/catalog" }

    private func put(_ text: String, _ name: String) throws { try AtomicFile.write(Array(text.utf8), to: "\(directory)/\(name)", mode: 0o600) }

    @Test func eachStartIsANewGenerationWhateverTheClockSays() async throws {
        let store = CatalogStore(directory: directory)
        #expect(try await store.open(now: WallTime(seconds: 1_000)).generation == 1_000)
        #expect(try await store.open(now: WallTime(seconds: 1_000)).generation == 1_001)
        #expect(try await store.open(now: WallTime(seconds: 5)).generation == 1_002, "the clock went back")
        #expect(try await store.open(now: WallTime(seconds: 9_000)).generation == 9_000)
        #expect(try await CatalogStore(directory: directory).open(now: WallTime(seconds: -5)).generation == 9_001)
    }

    @Test func aDamagedGenerationIsWarnedOfAndTheClockHelps() async throws {
        let store = CatalogStore(directory: directory)
        _ = try await store.open(now: WallTime(seconds: 1_000))
        try put("{\"generation\":", "generation.json")
        let opened = try await store.open(now: WallTime(seconds: 2_000))
        #expect(opened.generation == 2_000)
        #expect(opened.warning?.contains("generation.json") == true)
    }

    @Test func registeredInstancesComeBackAsTheyWere() async throws {
        let store = CatalogStore(directory: directory)
        _ = try await store.open(now: .now())
        #expect(try await store.registered().isEmpty)
        let instance = LocalInstance(
            service: ServiceName("reviews.shop")!, port: 80, address: SocketAddress("[2001:db8::7]:9080")!,
            identity: SPIFFEID("spiffe://shop.example/ns/shop/sa/r")!,
            version: "v1", weight: 7, labels: ["tier": "gold"], locality: Locality(region: "eu", zone: "1"),
            check: EndpointCheck(
                kind: .tcp, port: 9081, interval: .milliseconds(2_500), jitter: 0.25, timeout: .milliseconds(300), healthyAfter: 2, unhealthyAfter: 5)
        )
        try await store.save(registered: [instance])
        #expect(try await store.registered() == [instance])
    }

    @Test(arguments: ["", "[]", #"{"version":1,"instances":[{"service":"x"}]}"#])
    func damagedRegistrationsAreAnErrorThatNamesTheFile(_ text: String) async throws {
        let store = CatalogStore(directory: directory)
        _ = try await store.open(now: .now())
        try put(text, "registered.json")
        let error = await #expect(throws: MeshError.self) { _ = try await store.registered() }
        #expect(error?.code == "state_corrupt" && error?.message.contains("registered.json") == true)
    }

    @Test func damagedRecordsOfOthersAreJustNotUsed() async throws {
        let store = CatalogStore(directory: directory)
        _ = try await store.open(now: .now())
        var origin = CatalogCore.test("a")
        try origin.putEndpoint("reviews.default", "192.0.2.1:80")
        origin.commit(.at(0))
        try await store.save(remote: [origin.own!.whole])
        let authority = Fake.authority("b")
        #expect(await store.remote(authority).deltas == [origin.own!.whole])
        try put("{", "remote.json")
        let damaged = await store.remote(authority)
        #expect(damaged.deltas.isEmpty && damaged.warning?.contains("remote.json") == true)
    }

    @Test func recordsOnDiskThatWereTamperedWithAreRefusedLikeAnyOthers() async throws {
        let store = CatalogStore(directory: directory)
        _ = try await store.open(now: .now())
        var origin = CatalogCore.test("a")
        try origin.putEndpoint("reviews.default", "192.0.2.1:80")
        origin.commit(.at(0))
        let text = String(decoding: CatalogWire.encode(.delta([origin.own!.whole])).payload, as: UTF8.self)
        try put(text.replacing("192.0.2.1:80", with: "192.0.2.66:80"), "remote.json")
        var core = CatalogCore.test("b")
        core.restore(await store.remote(core.authority).deltas, .at(0))
        #expect(core.view().services.isEmpty)
        #expect(core.counters.refused["incomplete"] == 1)
    }
}
