import Glibc
import Identity
import MeshModel
import Platform
import Settings
import Testing

@testable import Catalog

@Suite struct StoreTests {
    private let scratch = ScratchDirectory()
    private var directory: String { "\(scratch.path)/catalog" }

    private func put(_ text: String, _ name: String) throws { try AtomicFile.write(Array(text.utf8), to: "\(directory)/\(name)", mode: 0o600) }

    @Test func eachStartIsANewGenerationWhateverTheClockSays() async throws {
        func next(_ seconds: Int64, _ salt: UInt64) async throws -> UInt64 {
            try await CatalogStore(directory: directory).open(now: WallTime(seconds: seconds), salt: salt).generation
        }
        #expect(try await next(1_000, 7) == 1_000 << 20 | 7)
        #expect(try await next(1_000, 3) == 1_001 << 20 | 3)
        #expect(try await next(5, .max) == 1_002 << 20 | 0xfffff, "the clock went back")
        #expect(try await next(9_000, 0) == 9_000 << 20)
        #expect(try await next(-5, 1 << 20) == 9_001 << 20, "no more than the low bits of the salt count")
    }

    @Test func aDamagedGenerationIsWarnedOfAndTheClockHelps() async throws {
        let store = CatalogStore(directory: directory)
        _ = try await store.open(now: WallTime(seconds: 1_000), salt: 1)
        try put("{\"generation\":", "generation.json")
        let opened = try await store.open(now: WallTime(seconds: 2_000), salt: 2)
        #expect(opened.generation == 2_000 << 20 | 2)
        #expect(opened.warning?.contains("generation.json") == true)
    }

    @Test func registeredInstancesComeBackAsTheyWere() async throws {
        let store = CatalogStore(directory: directory)
        _ = try await store.open(now: .now(), salt: 0)
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
        var asked = HTTPCheck(path: "/healthz")
        (asked.host, asked.statuses, asked.headers, asked.body) = ("shop", [200...204, 304...304], ["x-a": "b"], "well")
        let kinds: [HealthCheck.Kind?] = [nil, .http(asked), .grpc(service: "a.B"), .ttl(.seconds(30))]
        let instances = kinds.enumerated().map { index, kind in
            var one = instance
            one.address.port = UInt16(index + 1)
            one.check = EndpointCheck(kind: kind, initial: .unhealthy)
            return one
        }
        try await store.save(registered: instances)
        #expect(try await store.registered() == instances)
    }

    @Test func checksOfBeforeThereWereKindsAreRead() async throws {
        let store = CatalogStore(directory: directory)
        _ = try await store.open(now: .now(), salt: 0)
        let check = #""check":{"kind":"tcp","intervalMilliseconds":5000,"jitter":0.1,"timeoutMilliseconds":1000,"healthyAfter":1,"unhealthyAfter":3}"#
        let instance = #""service":"a.b","port":1,"address":"192.0.2.1:1","identity":"spiffe://x/ns/b/sa/a","subset":"","weight":1,"labels":{}"#
        try put("{\"version\":1,\"instances\":[{\(instance),\(check)}]}", "registered.json")
        #expect(try await store.registered().map(\.check) == [EndpointCheck()])
    }

    @Test(arguments: ["exec", "htpp", "http", "ttl"])
    func checksThatAreNotRegisteredMakeNoSense(_ kind: String) async throws {
        let store = CatalogStore(directory: directory)
        _ = try await store.open(now: .now(), salt: 0)
        let check = "\"check\":{\"kind\":\"\(kind)\",\"intervalMilliseconds\":5000,\"jitter\":0,\"timeoutMilliseconds\":9,\"healthyAfter\":1,\"unhealthyAfter\":3}"
        let instance = #""service":"a.b","port":1,"address":"192.0.2.1:1","identity":"spiffe://x/ns/b/sa/a","subset":"","weight":1,"labels":{}"#
        try put("{\"version\":1,\"instances\":[{\(instance),\(check)}]}", "registered.json")
        let error = await #expect(throws: MeshError.self) { _ = try await store.registered() }
        #expect(error?.message.contains("entry 1 makes no sense") == true)
    }

    @Test(arguments: ["", "[]", #"{"version":1,"instances":[{"service":"x"}]}"#])
    func damagedRegistrationsAreAnErrorThatNamesTheFile(_ text: String) async throws {
        let store = CatalogStore(directory: directory)
        _ = try await store.open(now: .now(), salt: 0)
        try put(text, "registered.json")
        let error = await #expect(throws: MeshError.self) { _ = try await store.registered() }
        #expect(error?.code == "state_corrupt" && error?.message.contains("registered.json") == true)
    }

    private func origin(_ name: String, _ address: String = "192.0.2.1:80") throws -> OriginDelta {
        var origin = CatalogCore.test(name)
        try origin.putEndpoint("reviews.default", address)
        origin.commit(.at(0))
        return origin.own!.whole
    }

    private func opened() async throws -> CatalogStore {
        let store = CatalogStore(directory: directory)
        _ = try await store.open(now: .now(), salt: 0)
        return store
    }

    @Test func eachNodeHasAFileThatComesAndGoesAlone() async throws {
        let store = try await opened()
        _ = try await store.remote(Fake.authority("z"))
        let long = String(repeating: "n", count: 253)
        _ = try await store.save(remote: ["a": try origin("a"), "b": try origin("b"), long: try origin(long)], bytes: 1 << 20)
        let before = try #require(try AtomicFile.read("\(directory)/remote/a.json", secret: false))
        _ = try await store.save(remote: ["b": try origin("b", "192.0.2.9:80"), "never": nil], bytes: 1 << 20)
        #expect(try AtomicFile.read("\(directory)/remote/a.json", secret: false) == before)
        let again = try await opened().remote(Fake.authority("z"))
        let expected: Set = [try origin("a"), try origin("b", "192.0.2.9:80"), try origin(long)]
        #expect(again.warnings == [] && Set(again.deltas) == expected)
        _ = try await store.save(remote: ["a": nil], bytes: 1 << 20)
        #expect(IdentityStore.names(in: "\(directory)/remote").count == 2)
    }

    @Test func whatIsTooMuchForTheDiskIsLeftOutTheOldestFirst() async throws {
        let store = try await opened()
        _ = try await store.remote(Fake.authority("z"))
        for number in 0..<8 { _ = try await store.save(remote: ["n\(number)": try origin("n\(number)")], bytes: 1 << 20) }
        let one = try #require(try AtomicFile.read("\(directory)/remote/n0.json", secret: false)).count
        _ = try await store.save(remote: ["n0": try origin("n0")], bytes: 1 << 20)
        #expect(try await store.save(remote: ["n8": try origin("n8")], bytes: one * 4) == 5)
        #expect(IdentityStore.names(in: "\(directory)/remote") == ["n0.json", "n6.json", "n7.json", "n8.json"])
        // What was there before the start counts, read or not.
        let next = try await opened()
        _ = try await next.remote(nil)
        #expect(try await next.save(remote: ["n9": try origin("n9")], bytes: one * 4) == 1)
    }

    @Test(arguments: ["", "{", #"{"deltas":[]}"#])
    func damagedRecordsOfOthersAreToldAndRemoved(_ text: String) async throws {
        let store = try await opened()
        _ = try await store.remote(Fake.authority("z"))
        _ = try await store.save(remote: ["a": try origin("a"), "b": try origin("b")], bytes: 1 << 20)
        try put(text, "remote/a.json")
        try put("half", "remote/b.json.new")
        let read = try await opened().remote(Fake.authority("z"))
        let left = try origin("b")
        #expect(read.deltas == [left])
        #expect(read.warnings.count == 1 && read.warnings[0].contains("remote/a.json"))
        #expect(IdentityStore.names(in: "\(directory)/remote") == ["b.json"])
    }

    @Test func aFileOfOneNodeThatSpeaksOfAnotherIsRemoved() async throws {
        let store = try await opened()
        _ = try await store.remote(Fake.authority("z"))
        try put(String(decoding: CatalogWire.encode(.delta([try origin("a")])).payload, as: UTF8.self), "remote/b.json")
        let read = try await store.remote(Fake.authority("z"))
        #expect(read.deltas == [] && read.warnings.count == 1)
    }

    @Test func recordsOnDiskThatWereTamperedWithAreRefusedLikeAnyOthers() async throws {
        let store = try await opened()
        _ = try await store.remote(nil)
        let text = String(decoding: CatalogWire.encode(.delta([try origin("a")])).payload, as: UTF8.self)
        try put(text.replacing("192.0.2.1:80", with: "192.0.2.66:80"), "remote/a.json")
        var core = CatalogCore.test("b")
        core.restore(try await store.remote(core.authority).deltas, .at(0))
        #expect(core.view().services.isEmpty)
        #expect(core.counters.refused["incomplete"] == 1)
    }
}
