import FoundationEssentials

/// `stream.py`: calls without a pause, and what came of each.
final class Stream {
    struct Call: Decodable {
        let started: Double
        let ended: Double
        /// The server's name, or "error: …".
        let answer: String
        var failed: Bool { answer.hasPrefix("error") }
    }

    private let program: Program

    init(_ host: LabHost, _ workload: String?, to name: String, _ port: Int, clients: Int = 2, pause: Double = 0.01) throws {
        program = try host.serve(workload, "stream.py", name, "\(port)", "\(clients)", "\(pause)")
    }

    /// All calls that have ended, in that order.
    func calls() throws -> [Call] {
        let lines = program.out.split(separator: "\n", omittingEmptySubsequences: false).dropFirst().dropLast()
        return try lines.map { try JSONDecoder().decode(Call.self, from: Data($0.utf8)) }
    }

    /// Waits for successful calls that began after `time`.
    func succeeds(_ count: Int = 10, since time: Double = 0, seconds: Double = 15) throws {
        try Clock.until("\(count) calls succeed", seconds: seconds) { try calls().filter { $0.started > time && !$0.failed }.count >= count }
    }

    func end() { program.end() }
}
