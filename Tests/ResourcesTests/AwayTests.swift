import MeshModel
import Platform
import Resources
import Testing

@Suite("Nodes that were away")
struct AwayTests {
    private func mesh() -> World {
        var world = World(["a": [.admin], "b": [.admin], "c": [.admin]])
        world.connectAll()
        world.write("a", key("kept"), "1")
        world.write("a", key("gone"), "1")
        world.run(seconds: 90)
        for name in ["a", "b", "c"] { #expect(world.nodes[name]!.core.isSettled, "a new mesh agrees with itself") }
        return world
    }

    @Test func `a node that was away for a day misses nothing, and brings what it wrote`() {
        var world = mesh()
        world.connect(["a", "b"])
        world.write("a", key("gone"), nil)
        world.write("a", key("new"), "1")
        world.write("c", key("own"), "1")
        world.pass(days: 1)
        world.connectAll()
        world.run(seconds: 30)
        #expect(world.agree())
        for name in ["a", "b", "c"] {
            #expect(world.text(name, key("gone")) == nil)
            #expect(world.text(name, key("new")) == "1")
            #expect(world.text(name, key("own")) == "1")
        }
    }

    @Test func `a node that was away for longer than deletions are remembered does not bring the deleted back`() {
        var world = mesh()
        world.connect(["a", "b"])
        world.write("a", key("gone"), nil)
        for _ in 0..<10 {
            world.pass(days: 1)
            world.run(seconds: 30)
        }
        #expect(world.nodes["a"]!.core.count == 1, "the deletion is forgotten")
        #expect(world.nodes["a"]!.core.isSettled)
        #expect(!world.nodes["c"]!.core.isSettled)
        #expect(world.text("c", key("gone")) == "1")
        world.write("c", key("own"), "1")
        world.connectAll()
        world.run(seconds: 30)
        #expect(world.agree())
        for name in ["a", "b", "c"] {
            #expect(world.text(name, key("gone")) == nil)
            #expect(world.text(name, key("kept")) == "1", "what is old and known stays")
            #expect(world.text(name, key("own")) == "1", "what the node wrote lately counts")
        }
        #expect(world.nodes["c"]!.core.isSettled)
        #expect(world.nodes["c"]!.core.counters.dropped == 1)
        #expect(world.events["c"]!.contains { "\($0)".contains("it was deleted while this node was away") })
    }

    @Test func `the same after a restart`() {
        var world = mesh()
        world.connect(["a", "b"])
        world.write("a", key("gone"), nil)
        for _ in 0..<10 {
            world.pass(days: 1)
            world.run(seconds: 30)
        }
        world.restart("c")
        #expect(world.text("c", key("gone")) == "1", "what it had is in force until somebody says otherwise")
        world.connectAll()
        world.run(seconds: 30)
        #expect(world.agree())
        #expect(world.text("c", key("gone")) == nil)
    }

    @Test func `a whole mesh that was switched off for a month comes back with all it had`() {
        var world = mesh()
        world.connect([])
        world.pass(days: 30)
        for name in ["a", "b", "c"] { world.restart(name) }
        world.connectAll()
        world.run(seconds: 90)
        for name in ["a", "b", "c"] {
            #expect(world.text(name, key("kept")) == "1")
            #expect(world.text(name, key("gone")) == "1")
            #expect(world.nodes[name]!.core.isSettled)
        }
    }

    @Test func `a new node takes what is old, and does not need to be settled for that`() {
        var world = World(["a": [.admin], "b": [.admin], "new": []])
        world.connect(["a", "b"])
        world.write("a", key("old"), "1")
        world.run(seconds: 90)
        for _ in 0..<10 {
            world.pass(days: 1)
            world.run(seconds: 30)
        }
        world.connectAll()
        world.run(seconds: 20)
        #expect(world.text("new", key("old")) == "1")
        #expect(world.nodes["new"]!.core.isSettled)
    }

    @Test func `two halves that were apart for too long say so and change nothing by themselves`() {
        var world = World(["a": [.admin], "b": [.admin], "c": [.admin], "d": [.admin]])
        world.connectAll()
        world.run(seconds: 90)
        world.connect(["a", "b"])
        world.set("c", "d", isConnected: true)
        world.write("a", key("left"), "1")
        for _ in 0..<10 {
            world.pass(days: 1)
            world.run(seconds: 30)
        }
        world.connectAll()
        world.run(seconds: 60)
        #expect(world.text("c", key("left")) == nil)
        #expect(world.text("a", key("left")) == "1")
        #expect(world.events["a"]!.contains { "\($0)".contains("`weft apply` it again if it is to stay") })
        // The remedy works.
        world.write("a", key("left"), "2")
        world.run(seconds: 10)
        #expect(world.agree())
        #expect(world.text("d", key("left")) == "2")
    }

    @Test func `a clock that jumps a year ahead and back loses nothing`() {
        var world = mesh()
        world.nodes["c"]!.skew = 365 * 86_400_000
        world.run(seconds: 30)
        world.nodes["c"]!.skew = 0
        world.run(seconds: 60)
        #expect(world.agree())
        #expect(world.text("c", key("kept")) == "1")
        #expect(world.nodes["c"]!.core.isSettled)
    }
}
