import ArgumentParser
import Glibc
import ManagementAPI

enum OutputFormat: String, ExpressibleByArgument, CaseIterable { case table, json }

/// What every command takes.
struct GlobalOptions: ParsableArguments {
    @Option(
        help: ArgumentHelp("The agent's socket (default: $WEFT_SOCKET, else \(AgentClient.defaultSocket)).", valueName: "path"), completion: .file())
    var socket: String?

    @Option(name: [.customShort("o"), .long], help: "table for people, json for programs.")
    var output = OutputFormat.table

    var client: AgentClient {
        let chosen = socket ?? getenv("WEFT_SOCKET").map { String(cString: $0) } ?? ""
        return AgentClient(socket: chosen.isEmpty ? AgentClient.defaultSocket : chosen)
    }

    /// Prints an answer: as the agent gave it, or as `table` makes it readable.
    func show<A: Codable>(_ answer: A, table: (A) -> String) throws {
        switch output {
        case .json: Terminal.out(String(decoding: try APIJSON.encode(answer, pretty: true), as: UTF8.self) + "\n")
        case .table: Terminal.out(table(answer))
        }
    }

    /// Says something to people that is no part of the answer.
    func note(_ text: String) {
        if output == .table { Terminal.error("note: \(Text.printable(text))\n") }
    }
}
