import MeshModel
import Platform
import Resources
import Testing

@Suite("Any order of events")
struct ConvergenceTests {
    /// Eight nodes write, delete, restart, split and heal under loss; afterwards all have the same, and of each resource the latest writing.
    @Test(arguments: (1...20).map(UInt64.init) + (0..<4).map { _ in UInt64.random(in: 1_000...1_000_000) })
    func `ends with the same resources on every node`(_ seed: UInt64) {
        let names = (0..<8).map { "n\($0)" }
        var world = World(Dictionary(uniqueKeysWithValues: names.map { ($0, [.admin]) }), seed: seed)
        var random = SplitMix(seed &* 31)
        for name in names { world.nodes[name]!.skew = Int64(random.next() % 40_000) - 20_000 }
        world.loss = 0.1
        world.connectAll()
        var latest: [ResourceKey: ResourceVersion] = [:]
        for _ in 0..<60 {
            let name = names[Int(random.next() % 8)]
            switch random.next() % 10 {
            case 0: world.restart(name)
            case 1: world.connect(names.filter { _ in random.chance(0.5) })
            case 2, 3: world.connectAll()
            default:
                let target = key("r\(random.next() % 12)")
                world.write(name, target, random.chance(0.25) ? nil : "text \(random.next() % 1_000)")
                if let version = world.nodes[name]!.core.write(of: target)?.version { latest[target] = max(latest[target] ?? version, version) }
            }
            world.run(seconds: 1)
        }
        world.loss = 0
        world.connectAll()
        world.run(seconds: 60)
        #expect(world.agree(), "seed \(seed): \(names.map { world.nodes[$0]!.core.digestOfAll })")
        for (target, version) in latest {
            for name in names { #expect(world.nodes[name]!.core.write(of: target)?.version == version, "seed \(seed): \(target) on \(name)") }
        }
        for name in names { #expect(world.nodes[name]!.core.tableEntries < 60, "seed \(seed): \(name) keeps what it need not") }
    }

    @Test func `a mesh at rest says little`() {
        var world = World(Dictionary(uniqueKeysWithValues: (0..<10).map { ("n\($0)", [.admin]) }))
        world.connectAll()
        for number in 0..<500 { world.write("n0", key("r\(number)"), "text") }
        world.run(seconds: 60)
        let before = world.sent
        world.run(seconds: 60)
        // One summary for each node about every five seconds, and nothing else.
        #expect(world.sent - before < 10 * 60 / 5 * 2, "\(world.sent - before)")
    }
}
