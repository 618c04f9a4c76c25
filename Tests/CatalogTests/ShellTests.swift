import Identity
import MeshModel
import Plane
import Platform
import Reactor
import TLS
import Testing

@testable import Catalog

/// Real catalogs over TLS on loopback.
@Suite(.serialized) struct ShellTests {
    private let mesh: TestMesh
    init() throws { mesh = try TestMesh() }

    @Test @Control func threeNodesThatKnowOneSeedSeeEachOther() async throws {
        let scratch = (ScratchDirectory(), ScratchDirectory(), ScratchDirectory())
        let a = try TestAgent("a", mesh, scratch.0)
        let b = try TestAgent("b", mesh, scratch.1)
        let c = try TestAgent("c", mesh, scratch.2)
        try await a.start()
        try await b.start(seeds: [a.address])
        try await c.start(seeds: [a.address])
        try a.catalog.declare([a.instance("reviews.default", port: 9080, at: "127.0.0.1:9001", version: "v1")])
        try b.catalog.declare([b.instance("reviews.default", port: 9080, at: "127.0.0.1:9002", version: "v2")])
        for agent in [a, b, c] {
            await until("\(agent.name) sees all nodes and endpoints") {
                agent.catalog.view.nodes.map(\.info.name) == ["a", "b", "c"] && agent.sees("reviews.default").map(\.endpoint.version) == ["v1", "v2"]
            }
        }
        // b and c never heard of each other but through a, and still have a stream of their own, just one.
        await until("a full mesh") { [a, b, c].allSatisfy { $0.catalog.peers.count == 2 } }
        #expect(c.catalog.address(of: "b") == b.address)
        // A change is there at once, by push and not by digest.
        let before = MonotonicTime.now()
        try b.catalog.declare([b.instance("reviews.default", port: 9080, at: "127.0.0.1:9002", version: "v3")])
        await until("c sees v3") { c.sees("reviews.default").last?.endpoint.version == "v3" }
        #expect(MonotonicTime.now() - before < .milliseconds(400))
        for agent in [a, b, c] {
            #expect(agent.catalog.counters.refused.values.allSatisfy { $0 == 0 }, "\(agent.catalog.counters.refused)")
            await agent.stop()
        }
    }

    @Test @Control func aNodeThatDiesIsLostAndComesBackUnderItsName() async throws {
        let scratch = (ScratchDirectory(), ScratchDirectory())
        let a = try TestAgent("a", mesh, scratch.0)
        let b = try TestAgent("b", mesh, scratch.1)
        try await a.start()
        try await b.start(seeds: [a.address])
        try b.catalog.declare([b.instance("ratings.default", at: "127.0.0.1:9002")])
        await until("a sees ratings") { !a.sees("ratings.default").isEmpty }
        await b.stop()
        await until("a notices the lost stream") { a.lost == ["b"] }
        a.catalog.liveness("b", .dead)
        #expect(a.sees("ratings.default").map(\.reachable) == [false])
        let again = try TestAgent("b", mesh, scratch.1)
        try await again.start(seeds: [a.address])
        a.catalog.liveness("b", .alive)
        // Its declaration is gone with its file; the higher generation replaces what was known.
        await until("the new life counts") { a.sees("ratings.default").isEmpty && a.catalog.address(of: "b") == again.address }
        await again.stop()
        await a.stop()
    }

    @Test @Control func aReturnWaitsForWhatElseThereIsToSay() async throws {
        let scratch = (ScratchDirectory(), ScratchDirectory())
        let a = try TestAgent("a", mesh, scratch.0) { $0.improvement = .seconds(600) }
        let b = try TestAgent("b", mesh, scratch.1)
        try await a.start()
        try await b.start(seeds: [a.address])
        try b.catalog.declare([b.instance("ratings.default", at: "127.0.0.1:9002")])
        await until("a sees ratings") { !a.sees("ratings.default").isEmpty }
        a.catalog.liveness("b", .dead)
        #expect(a.sees("ratings.default").map(\.reachable) == [false])
        a.catalog.liveness("b", .alive)
        try await Task.sleep(for: .milliseconds(100))
        #expect(a.sees("ratings.default").map(\.reachable) == [false])
        // What cannot wait takes it along.
        try a.catalog.declare([a.instance("reviews.default", at: "127.0.0.1:9001")])
        await until("both are there") { !a.sees("reviews.default").isEmpty && a.sees("ratings.default").map(\.reachable) == [true] }
        await a.stop()
        await b.stop()
    }

    @Test @Control func whatIsRegisteredSurvivesARestartAndWhatOthersSaidToo() async throws {
        let scratch = (ScratchDirectory(), ScratchDirectory())
        let a = try TestAgent("a", mesh, scratch.0)
        let b = try TestAgent("b", mesh, scratch.1)
        try await a.start()
        try await b.start(seeds: [a.address])
        try await a.catalog.register(a.instance("reviews.default", at: "127.0.0.1:9001"))
        try await b.catalog.register(b.instance("ratings.default", at: "127.0.0.1:9002", version: "v7"))
        await until("b sees reviews") { !b.sees("reviews.default").isEmpty }
        let generation = try #require(b.catalog.positions["b"]?.generation)
        await a.stop()
        await b.stop()
        // a is gone; b comes back and knows what it knew.
        let again = try TestAgent("b", mesh, scratch.1)
        try await again.start()
        #expect(again.sees("ratings.default").map(\.endpoint.version) == ["v7"])
        #expect(again.sees("reviews.default").map(\.stale) == [true])
        #expect(again.sees("reviews.default").map(\.reachable) == [true])
        await until("its records are signed") { again.catalog.positions["b"] != nil }
        #expect(try #require(again.catalog.positions["b"]?.generation) > generation)
        #expect(try await again.catalog.deregister(ServiceName("ratings.default")!) == 1)
        await again.stop()
        let third = try TestAgent("b", mesh, scratch.1)
        try await third.start()
        #expect(third.sees("ratings.default").isEmpty)
        await third.stop()
    }

    @Test @Control func whatIsSaidBeforeTheStartCounts() async throws {
        let scratch = (ScratchDirectory(), ScratchDirectory())
        let a = try TestAgent("a", mesh, scratch.0)
        let b = try TestAgent("b", mesh, scratch.1)
        try b.catalog.declare([b.instance("ratings.default", at: "127.0.0.1:9002")])
        b.catalog.setSeeds([a.address])
        a.catalog.liveness("b", .dead)
        try await a.start()
        try await b.start(seeds: [a.address])
        await until("a has b's records") { !a.sees("ratings.default").isEmpty }
        #expect(a.sees("ratings.default").map(\.reachable) == [false])
        a.catalog.liveness("b", .alive)
        await until("it is alive") { a.sees("ratings.default").map(\.reachable) == [true] }
        await a.stop()
        await b.stop()
    }

    @Test @Control func badDeclarationsAreRefusedWithTheirReason() async throws {
        let scratch = ScratchDirectory()
        let a = try TestAgent("a", mesh, scratch)
        try await a.start()
        let good = a.instance("reviews.default", at: "127.0.0.1:9001")
        try a.catalog.declare([good])
        await until("it is published") { a.sees("reviews.default").count == 1 }
        #expect(throws: MeshError.self) { try a.catalog.declare([good, good]) }
        #expect(throws: MeshError.self) { try a.catalog.declare([a.instance("reviews.default", at: "240.240.0.1:9001")]) }
        #expect(a.sees("reviews.default").count == 1, "what was there stays")
        await #expect(throws: MeshError.self) { try await a.catalog.register(good) }
        await #expect(throws: MeshError.self) { try await a.catalog.deregister(good.service) }
        await #expect(throws: MeshError.self) { try await a.catalog.deregister(ServiceName("nothing.default")!) }
        try a.catalog.declare([])
        await until("it is gone") { a.sees("reviews.default").isEmpty }
        await a.stop()
    }

    @Test @Control func aStreamIsOnlyForTheNodeThatItsCertificateNames() async throws {
        let scratch = ScratchDirectory()
        let a = try TestAgent("a", mesh, scratch)
        try await a.start()
        let mallory = try mesh.credentials("m")
        // Says that it is b.
        let stream = try await PlaneDialer.dial(
            a.address, serverName: nil, alpn: [IdentityProtocol.plane], credential: mallory.node, trust: mallory.trust, mark: 0)
        var reason = ""
        stream.onClose = { reason = $0.description }
        stream.start()
        let (type, payload) = CatalogWire.encode(.hello(node: "b", versions: 1...1, life: 1))
        try stream.send(Frame(FrameType(rawValue: type.rawValue), payload))
        await until("it is closed") { reason.contains("certificate of m") }
        #expect(a.catalog.peers.isEmpty)
        await a.stop()
    }

    @Test @Control func aPeerThatSharesNoVersionIsToldSo() async throws {
        let scratch = ScratchDirectory()
        let a = try TestAgent("a", mesh, scratch)
        try await a.start()
        let future = try mesh.credentials("f")
        let stream = try await PlaneDialer.dial(
            a.address, serverName: nil, alpn: [IdentityProtocol.plane], credential: future.node, trust: future.trust, mark: 0)
        var reason = ""
        stream.onClose = { reason = $0.description }
        stream.start()
        let (type, payload) = CatalogWire.encode(.hello(node: "f", versions: 7...9, life: 1))
        try stream.send(Frame(FrameType(rawValue: type.rawValue), payload))
        await until("it is closed") { reason.contains("no common version") }
        await a.stop()
    }

    @Test @Control func aNewerPeerIsUnderstoodAsFarAsItCanBe() async throws {
        let scratch = ScratchDirectory()
        let a = try TestAgent("a", mesh, scratch)
        try await a.start()
        let future = try mesh.credentials("f")
        let stream = try await PlaneDialer.dial(
            a.address, serverName: nil, alpn: [IdentityProtocol.plane], credential: future.node, trust: future.trust, mark: 0)
        var closed = false
        stream.onClose = { _ in closed = true }
        var overviews = 0
        stream.handle(FrameType(rawValue: CatalogWire.FrameType.overview.rawValue)) { _ in overviews += 1 }
        stream.start()
        // More versions than are spoken here, fields that are not known, a later version of the frame, and types of frames that do not exist yet.
        let hello = #"{"node":"f","minimum":1,"maximum":4,"life":1,"mood":{"is":["good"]}}"#
        try stream.send(Frame(FrameType(rawValue: CatalogWire.FrameType.hello.rawValue), Array(hello.utf8), version: 9))
        try stream.send(Frame(FrameType(rawValue: 0x2f), Array("later".utf8), version: 9))
        try stream.send(Frame(FrameType(rawValue: 0x7f), [], version: 200))
        await until("it is a peer") { a.catalog.peers.map(\.node) == ["f"] && overviews > 0 }
        // What it asks for it gets.
        let before = overviews
        try stream.send(Frame(FrameType(rawValue: CatalogWire.FrameType.overview.rawValue), Array(#"{"position":[0,0],"others":0,"digest":0,"asks":true,"more":1}"#.utf8), version: 9))
        await until("it is answered") { overviews > before }
        #expect(!closed)
        #expect(a.catalog.counters.refused.values.allSatisfy { $0 == 0 })
        stream.close("done")
        await a.stop()
    }

    @Test @Control func aStreamForOtherQuestionsIsNoPeerAndDisturbsNone() async throws {
        let scratch = (ScratchDirectory(), ScratchDirectory())
        let a = try TestAgent("a", mesh, scratch.0)
        let b = try TestAgent("b", mesh, scratch.1)
        try await a.start()
        try await b.start(seeds: [a.address])
        await until("connected") { a.catalog.peers.count == 1 && b.catalog.peers.count == 1 }
        let since = a.catalog.peers[0].since
        let stream = try await PlaneDialer.dial(
            a.address, serverName: nil, alpn: [IdentityProtocol.plane], credential: b.credentials.node, trust: b.credentials.trust, mark: 0)
        stream.start()
        await ControlLoop.shared.sleep(.milliseconds(50))
        stream.close("asked")
        await ControlLoop.shared.sleep(.milliseconds(50))
        #expect(a.catalog.peers.map(\.since) == [since])
        #expect(a.lost.isEmpty)
        await a.stop()
        await b.stop()
    }

    @Test @Control func aNodeOfAnotherMeshGetsNoStream() async throws {
        let scratch = (ScratchDirectory(), ScratchDirectory())
        let a = try TestAgent("a", mesh, scratch.0)
        let stranger = try TestAgent("s", TestMesh(), scratch.1)
        try await a.start()
        try await stranger.start(seeds: [a.address])
        await until("the dial failed") { stranger.catalog.dialFailures[a.address] != nil }
        #expect(a.catalog.peers.isEmpty && stranger.catalog.peers.isEmpty)
        await stranger.stop()
        await a.stop()
    }

    @Test @Control func aRestartedNodeReplacesItsOldStreamAtOnce() async throws {
        let scratch = (ScratchDirectory(), ScratchDirectory(), ScratchDirectory())
        let a = try TestAgent("a", mesh, scratch.0)
        try await a.start()
        let b = try TestAgent("b", mesh, scratch.1)
        try await b.start()
        a.catalog.setSeeds([b.address])
        await until("connected") { a.catalog.peers.count == 1 }
        #expect(a.catalog.peers[0].dialledHere)
        // The first life of b is frozen, not closed: a still has its stream when the second calls.
        b.stopListening()
        let again = try TestAgent("b", mesh, scratch.2, credentials: b.credentials)
        try await again.start(seeds: [a.address])
        await until("the new stream is used") { a.catalog.peers.map(\.dialledHere) == [false] }
        await again.stop()
        await b.stop()
        await a.stop()
    }

    @Test @Control func recordsOfAnotherNodeAreRefusedOnARealStream() async throws {
        let scratch = ScratchDirectory()
        let a = try TestAgent("a", mesh, scratch)
        try await a.start()
        let mallory = try mesh.credentials("m")
        let keys = RecordKeys { .now() }
        keys.use(mallory)
        // Everything about the record is right, but m signs for b.
        let authority = keys.authority
        let key = RecordKey.endpoint("bank.default/127.0.0.1:1")
        let content = CatalogCore.endpointPayload("bank.default", "127.0.0.1:1")
        let record = Record(key: key, version: 1, payload: content, digest: authority.digest(key: key, version: 1, payload: content))
        let position = Position(generation: 1, version: 1)
        let root = authority.digest(record.digest.bytes)
        let (chain, signature) = try #require(authority.sign(SignedHead.signedBytes(origin: "b", position: position, root: root)))
        let head = SignedHead(origin: "b", position: position, root: root, chain: chain, signature: signature)

        let stream = try await PlaneDialer.dial(
            a.address, serverName: nil, alpn: [IdentityProtocol.plane], credential: mallory.node, trust: mallory.trust, mark: 0)
        stream.start()
        for message in [
            CatalogMessage.hello(node: "m", versions: 1...1, life: 1),
            .delta([OriginDelta(from: nil, head: head, records: [record], tombstones: [])]),
        ] {
            let (type, payload) = CatalogWire.encode(message)
            try stream.send(Frame(FrameType(rawValue: type.rawValue), payload))
        }
        await until("it is refused") { a.catalog.counters.refused["not_signer"] == 1 }
        #expect(a.sees("bank.default").isEmpty)
        #expect(a.events.contains { if case .refused(.notSigner, origin: "b", peer: "m") = $0 { true } else { false } })
        stream.close("done")
        await a.stop()
    }

    @Test @Control func aNewCertificateSignsEverythingAgain() async throws {
        let scratch = (ScratchDirectory(), ScratchDirectory())
        let a = try TestAgent("a", mesh, scratch.0)
        let b = try TestAgent("b", mesh, scratch.1)
        try await a.start()
        try await b.start(seeds: [a.address])
        try a.catalog.declare([a.instance("reviews.default", at: "127.0.0.1:9001")])
        await until("b sees reviews") { !b.sees("reviews.default").isEmpty }
        let before = try #require(b.catalog.positions["a"])
        a.catalog.use(try mesh.credentials("a"))
        await until("the records are signed again") { (b.catalog.positions["a"] ?? .none) > before }
        #expect(b.sees("reviews.default").count == 1)
        await a.stop()
        await b.stop()
    }
}
