import MeshModel
import Platform
import Testing

@testable import Resources

@Suite("What a resource's writing does")
struct CoreTests {
    private func three(_ limits: ResourceLimits = ResourceLimits()) -> World {
        var world = World(["a": [.admin], "b": [.namespaceAdmin("shop")], "c": []], limits: limits)
        world.connectAll()
        return world
    }

    @Test func `a writing reaches every node, its deletion too`() {
        var world = three()
        world.write("a", key("x"), "one")
        world.run(seconds: 2)
        for name in ["a", "b", "c"] { #expect(world.text(name, key("x")) == "one") }
        world.write("a", key("x"), nil)
        world.run(seconds: 2)
        for name in ["a", "b", "c"] {
            #expect(world.text(name, key("x")) == nil)
            #expect(world.nodes[name]!.core.count == 1, "the deletion is remembered")
        }
    }

    @Test func `a node without the right is refused at home`() throws {
        var world = three()
        let result1 = world.write("c", key("x"), "one")
        #expect(result1 == .failure(.noRight(author: "c", namespace: "shop")))
        _ = try world.write("b", key("x"), "one").get()
        let result2 = world.write("b", key("x", in: "bank"), "one")
        #expect(result2 == .failure(.noRight(author: "b", namespace: "bank")))
        let result3 = world.write("b", key("x", in: ""), "one")
        #expect(result3 == .failure(.noRight(author: "b", namespace: "")))
    }

    @Test func `a writing without the right, forged or changed on its way is refused by others and goes no further`() throws {
        let rights: [String: [ConfigurationRight]] = ["a": [.admin], "c": []]
        // A node that lets itself do what it may not.
        var liar = ResourceCore(node: "c", limits: ResourceLimits(), authority: .cheap(node: "c", rights: ["c": [.admin]]))
        let moment = Moment(monotonic: MonotonicTime(nanoseconds: 0), wall: WallTime(seconds: 1_800_000_000))
        _ = try liar.write(key("x"), payload: Array("one".utf8), expecting: .anything, moment)
        let unmarked = try #require(liar.write(of: key("x")))
        let forged = ResourceWrite(
            key: unmarked.key, version: .init(time: unmarked.version.time, author: "a"), payload: unmarked.payload, replaces: nil,
            certificate: Array("a".utf8), signature: unmarked.signature)
        var honest = ResourceCore(node: "a", limits: ResourceLimits(), authority: .cheap(node: "a", rights: rights))
        _ = try honest.write(key("y"), payload: Array("one".utf8), expecting: .anything, moment)
        let true1 = try #require(honest.write(of: key("y")))
        let changed = ResourceWrite(
            key: true1.key, version: true1.version, payload: Array("two".utf8), replaces: nil, certificate: true1.certificate, signature: true1.signature)
        for (write, code) in [(unmarked, "no_right"), (forged, "bad_signature"), (changed, "bad_signature")] {
            var world = World(rights.merging(["b": []]) { first, _ in first })
            world.connect(["b", "c"])
            world.send(.writes([write]), from: "c", to: "b")
            let core = world.nodes["b"]!.core
            #expect(core.count == 0)
            #expect(core.counters.refused[code] == 1, "\(core.counters.refused)")
            #expect(core.refusal(of: write.key)?.version == write.version)
            #expect(world.events["b"]?.contains { "\($0)".contains("received from c, is refused") } == true)
        }
    }

    @Test func `what is on the disk of another mesh, or changed there, is not taken up`() throws {
        var world = World(["a": [.admin], "b": [.admin]])
        world.write("a", key("x"), "one")
        world.write("a", key("y"), "one")
        let writes = world.nodes["a"]!.core.writes
        let changed = ResourceWrite(
            key: writes[0].key, version: writes[0].version, payload: Array("two".utf8), replaces: nil, certificate: writes[0].certificate,
            signature: writes[0].signature)
        world.input("b") { $0.restore([changed, writes[1]], lastAgreed: nil, $1) }
        #expect(world.text("b", key("x")) == nil)
        #expect(world.text("b", key("y")) == "one")
        #expect(world.events["b"]!.contains { "\($0)".contains("received from disk, is refused") })
        var other = World(["a": [], "b": [.admin]])
        other.input("b") { $0.restore(writes, lastAgreed: nil, $1) }
        #expect(other.nodes["b"]!.core.count == 0)
    }

    @Test func `a peer that goes on passing on what it should have refused is left`() throws {
        var world = World(["a": [.admin], "b": [], "c": []])
        world.connect(["b", "c"])
        world.run(seconds: 1)
        for number in 0..<60 {
            let version = ResourceVersion(time: world.now("b").wall.hybrid(number), author: "a")
            let write = ResourceWrite(key: key("x\(number)"), version: version, payload: [1], replaces: nil, certificate: [], signature: [])
            world.send(.writes([write]), from: "c", to: "b")
        }
        #expect(!world.nodes["b"]!.reach.contains("c"))
        #expect(world.nodes["b"]!.core.counters.refused["bad_signature"] == 51)
    }

    @Test func `a peer whose messages cannot be read is told of in bounds, counted and left`() {
        var world = World(["a": [.admin], "b": []])
        world.connect(["a", "b"])
        for _ in 0..<60 { world.input("a") { $0.receivedMalformed(.malformed("no JSON"), from: "b", $1) } }
        #expect(!world.nodes["a"]!.reach.contains("b"))
        #expect(world.nodes["a"]!.core.counters.refused["malformed"] == 51)
        #expect(world.events["a"]!.count <= Int(world.limits.eventBurst))
        #expect(world.nodes["a"]!.core.counters.untold > 0)
    }

    @Test func `a change against another version than is there is refused`() throws {
        var world = three()
        let result4 = try world.write("a", key("x"), "one").get()
        let first = try #require(result4)
        let result5 = try world.write("a", key("x"), "two", expecting: .version(first)).get()
        let second = try #require(result5)
        let result6 = world.write("a", key("x"), "three", expecting: .version(first))
        #expect(result6 == .failure(.conflict(now: second)))
        let result7 = world.write("a", key("x"), "three", expecting: .nothing)
        #expect(result7 == .failure(.conflict(now: second)))
        world.write("a", key("x"), nil)
        let result8 = world.write("a", key("x"), "three", expecting: .version(second))
        #expect(result8 == .failure(.conflict(now: nil)))
    }

    @Test func `what is there already is not written again`() throws {
        var world = three()
        let result9 = try world.write("a", key("x"), "one").get()
        let first = try #require(result9)
        world.run(seconds: 1)
        let result10 = try world.write("a", key("x"), "one").get()
        #expect(result10 == first)
        let result11 = try world.write("a", key("y"), nil).get()
        #expect(result11 == nil)
    }

    @Test func `of two writings at once the later stays everywhere, and the journal says whose was lost`() throws {
        var world = three()
        world.write("a", key("x"), "zero")
        world.run(seconds: 2)
        world.connect([])
        world.write("a", key("x"), "first")
        world.milliseconds += 10
        world.write("b", key("x"), "second")
        world.connectAll()
        world.run(seconds: 10)
        for name in ["a", "b", "c"] { #expect(world.text(name, key("x")) == "second") }
        #expect(world.nodes["a"]!.core.counters.concurrent == 1)
        #expect(world.events["a"]!.contains { "\($0)".contains("node b replaced what a had written meanwhile, without having seen it") })
        // Writing after having seen it is no conflict.
        world.write("a", key("x"), "third")
        world.run(seconds: 2)
        #expect(world.nodes["b"]!.core.counters.concurrent == 0)
    }

    @Test func `a writing far ahead of the clock is refused until it is not`() throws {
        var world = three()
        world.nodes["a"]!.skew = 90_000
        world.write("a", key("x"), "one")
        world.run(seconds: 5)
        #expect(world.text("b", key("x")) == nil)
        #expect(world.nodes["b"]!.core.counters.refused["clock_ahead"]! > 0)
        #expect(world.events["b"]!.contains { "\($0)".contains("ahead of this node's clock: one of the two clocks is wrong") })
        world.run(seconds: 60)
        #expect(world.text("b", key("x")) == "one", "the comparison brings it again")
    }

    @Test func `a node whose clock is behind still writes over what it has seen`() {
        var world = three()
        world.nodes["b"]!.skew = -50_000
        world.write("a", key("x"), "one")
        world.run(seconds: 2)
        world.write("b", key("x"), "two")
        world.run(seconds: 2)
        for name in ["a", "b", "c"] { #expect(world.text(name, key("x")) == "two") }
    }

    @Test func `every bound is kept, and named`() throws {
        var limits = ResourceLimits()
        (limits.resources, limits.bytesPerResource, limits.bytes) = (3, 100, 3_000)
        var world = three(limits)
        let result12 = world.write("a", key("x"), String(repeating: "x", count: 101))
        #expect(result12 == .failure(.tooLarge(bytes: 101, limit: 100)))
        for name in ["x", "y", "z"] { _ = try world.write("a", key(name), "1").get() }
        let result13 = world.write("a", key("w"), "1")
        #expect(result13 == .failure(.tooMany(limit: 3)))
        limits.bytes = 300
        var small = three(limits)
        _ = try small.write("a", key("x"), "1").get()
        let result14 = small.write("a", key("y"), "1")
        #expect(result14 == .failure(.tooManyBytes(limit: 300)))
    }

    @Test func `an author that floods is held to its rate, and its writings come later`() throws {
        var limits = ResourceLimits()
        (limits.burstPerAuthor, limits.ratePerAuthor) = (10, 5)
        var world = three(limits)
        for number in 0..<30 { world.write("a", key("x\(number)"), "1") }
        world.run(seconds: 1)
        #expect(world.nodes["b"]!.core.count < 20)
        #expect(world.nodes["b"]!.core.counters.refused["too_fast"]! > 0)
        world.run(seconds: 90)
        #expect(world.agree())
    }

    @Test func `ten thousand resources reach a new node by comparison alone`() throws {
        var world = World(["a": [.admin], "b": [.admin]])
        for number in 0..<10_000 { world.write("a", key("x\(number)"), "document \(number)") }
        world.connectAll()
        world.run(seconds: 30)
        #expect(world.nodes["b"]!.core.count == 10_000)
        #expect(world.agree())
        #expect(world.nodes["b"]!.core.tableEntries < 10, "nothing is left of the questions")
    }
}

extension WallTime {
    fileprivate func hybrid(_ counter: Int) -> HybridTime { HybridTime(milliseconds: milliseconds, counter: UInt16(counter)) }
}
