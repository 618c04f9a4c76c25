import ArgumentParser
import Glibc
import Reactor

/// A pool of members with real sockets in one process, for `make bench SCENARIO=membership`. One JSON object a line.
@main
struct PoolBenchmark: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "weft-pool", abstract: "Measures gossip: many members with real sockets, each on an address of its own in 127.9.0.0/16, in one process.",
        discussion: "Steps are done in the order given: join, settle=SECONDS, exit=TIMES, tags=TIMES, watch=SECONDS.")

    @Option(help: "Members.") var nodes = 50
    @Option(help: "TCP connections that each member opens to others, to stand for the plane's.") var links = 0
    @Option(help: "Port of gossip; the links have the next.") var port: UInt16 = 7946
    @Argument(help: "What to do.") var steps: [String]

    func run() async throws { try await Self.run(nodes, links, port, steps) }

    @Control
    private static func run(_ nodes: Int, _ links: Int, _ port: UInt16, _ steps: [String]) async throws {
        let pool = try Pool(nodes, links: links, port: port)
        for step in steps {
            let parts = step.split(separator: "=")
            let number = parts.count > 1 ? Int(parts[1]) ?? 1 : 1
            switch parts[0] {
            case "join": tell("join", await pool.join())
            case "settle":
                await ControlLoop.shared.sleep(.seconds(number))
                tell("settle", [:])
            case "exit":
                for _ in 0..<number {
                    guard let victim = pool.running.dropFirst().randomElement() else { break }
                    tell("exit", await pool.exit(victim))
                    await ControlLoop.shared.sleep(.seconds(2))
                }
            case "tags":
                for round in 0..<number {
                    guard let origin = pool.running.randomElement() else { break }
                    tell("tags", await pool.retag(origin, "round \(round)"))
                }
            case "watch": tell("watch", await pool.watch(number))
            default: throw ValidationError("there is no step \(parts[0])")
            }
        }
    }

    private static func tell(_ step: String, _ report: Report) {
        let fields = report.sorted { $0.key < $1.key }.map { ", \"\($0.key)\": \($0.value.map { "\($0)" } ?? "null")" }
        print("{\"step\": \"\(step)\"\(fields.joined())}")
        fflush(nil)
    }
}
