import ArgumentParser
import Glibc
import Platform
import Reactor

/// All nodes of a mesh but one, for the benchmark `catalog-1000-20`: what a real agent holds and sends among a thousand, without a thousand agents.
@main
struct PeersBenchmark: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "weft-peers", abstract: "Stands for the other nodes of an agent's mesh, each with certificate, stream, records and gossip of its own.",
        discussion: "Tells of its progress with one JSON object a line, and ends with its input.")

    @Option(help: "Nodes.") var nodes: Int
    @Option(help: "Endpoints of each.") var endpoints: Int
    @Option(help: "The agent's state: the root's key and the gossip keys are there.") var state: String
    @Option(help: "The agent's address.") var agent: String
    @Option(help: "The agent's name: larger than those here, which begin with n, so that they dial.") var name: String
    @Option(help: "The nodes have this address and the ones after it.") var first: String

    func run() async throws { try await Self.run(self) }

    @Control
    private static func run(_ options: PeersBenchmark) async throws {
        guard let agent = IPAddress(options.agent), let first = IPAddress(options.first), first.isV4 else { throw ValidationError("--agent and --first are addresses") }
        let issuer = try Issuer(options.state)
        var peers: [Peer] = []
        for number in 0..<options.nodes {
            peers.append(try Peer(number, IPAddress(v4: first.v4Number + UInt32(number)), issuer, endpoints: options.endpoints))
        }
        let others = Others(peers, agent: (options.name, agent), issuer)
        tell("made", peers.count)
        await others.connect()
        tell("connected", others.connected)
        tell("joined", try await others.join())
        _ = try ControlLoop.shared.watch(STDIN_FILENO, .read) { _ in if readLine() == nil { Glibc.exit(0) } }
        while true { await ControlLoop.shared.sleep(.seconds(3600)) }
    }

    private static func tell(_ step: String, _ count: Int) {
        print("{\"step\": \"\(step)\", \"count\": \(count)}")
        fflush(nil)
    }
}
