import ArgumentParser
import Glibc
import Platform
import Simulation

/// Runs the cores of membership and catalog in virtual time under faults that a seed decides.
@main
struct Simulate: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "weft-simulate",
        abstract: "Whole meshes in virtual time: the agent's membership and catalog under faults that a seed decides.",
        discussion: "One line for each seed. A seed whose run breaks an invariant is printed with the command that replays it; the exit status is 1 then.")

    @Option(help: "The first seed; unless given, a fresh one.")
    var seed: UInt64?
    @Option(help: "How many seeds, each one above the last.")
    var seeds = 1
    @Option(help: "Nodes in each run; unless given, 20 to 50, as the seed decides.")
    var nodes: Int?
    @Option(help: "Simulated seconds of each run.")
    var seconds = 600
    @Flag(help: "Let the nodes join at the beginning, which those of more than 200 nodes do not unless asked.")
    var joins = false
    @Option(help: "Print what happens to this node, as n7.")
    var trace: String?

    func validate() throws {
        guard seeds > 0 else { throw ValidationError("--seeds must be at least 1") }
        guard (3...5000).contains(nodes ?? 3) else { throw ValidationError("--nodes must be 3 to 5000") }
        guard (1...1_000_000).contains(seconds) else { throw ValidationError("--seconds must be 1 to 1000000") }
        if let trace, watched == nil { throw ValidationError("\"\(trace)\" is no node; they are n0, n1 and so on") }
    }

    private var watched: Int? { trace.flatMap { $0.first == "n" ? Int($0.dropFirst()) : nil } }

    func run() throws {
        let first = seed ?? UInt64.random(in: 1_000_000..<(1 << 48))
        var failed = 0
        for number in 0..<UInt64(seeds) where !run(first &+ number) { failed += 1 }
        if failed > 0 {
            print("\(failed) of \(seeds) seeds failed")
            throw ExitCode(1)
        }
    }

    private func run(_ seed: UInt64) -> Bool {
        let count = nodes ?? 20 + Int(seed % 31)
        let begin = Self.processorTime()
        var scenario = Scenario(seed: seed, nodes: count, duration: .seconds(seconds), watched: watched, formed: joins ? false : nil)
        let violation = scenario.run()
        let (world, used) = (scenario.world, Self.processorTime() - begin)
        let figures = world.figures
        let lived = Double((world.now - MonotonicTime(nanoseconds: 1_000_000_000)).milliseconds) / 1000
        let times = figures.convergences.map { "\(Self.tenths(Double($0.milliseconds) / 1000))" }.joined(separator: " ")
        let last = figures.unjudged.map { ", the last not yet after \(Self.tenths(Double($0.milliseconds) / 1000)) s" } ?? ""
        print(
            """
            seed \(seed): \(violation == nil ? "ok" : "FAILED"), \(count) nodes, \(Self.tenths(lived)) s in \(Self.tenths(used)) s of processor, \
            \(figures.events) events, \(Self.tenths(Double(figures.datagrams) / lived / Double(count))) datagrams/node/s, \
            \(figures.streams) streams, \(figures.messages) messages, \(figures.writes) writes, \(figures.deaths) deaths, \
            \(figures.refutations) refutations, converged after \(times) s\(last), trace \(String(world.trace, radix: 16))
            """)
        guard let violation else { return true }
        print("  \(violation)")
        print("  replay: weft-simulate --seed \(seed) --nodes \(count) --seconds \(seconds)\(joins ? " --joins" : "") --trace \(violation.node)")
        return false
    }

    private static func tenths(_ value: Double) -> String { String(Double(Int(value * 10)) / 10) }

    private static func processorTime() -> Double {
        var time = timespec()
        clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time)
        return Double(time.tv_sec) + Double(time.tv_nsec) / 1e9
    }
}
