import ArgumentParser
import Glibc
import ManagementAPI

@main struct Main {
    static func main() async {
        signal(SIGPIPE, SIG_IGN)
        exit(await run(Array(CommandLine.arguments.dropFirst())).rawValue)
    }

    /// Runs one command line, and tells its failure on standard error.
    static func run(_ arguments: [String]) async -> ExitStatus {
        do {
            let arguments = try CommandTree(Weft.self).normalise(arguments)
            var command = try Weft.parseAsRoot(arguments)
            if var command = command as? any AsyncParsableCommand { try await command.run() } else { try command.run() }
            return .success
        } catch let failure as Failure {
            failure.report(asJSON: wantsJSON(arguments))
            return failure.status
        } catch let error as APIError {
            Failure(error).report(asJSON: wantsJSON(arguments))
            return ExitStatus(error.kind)
        } catch {
            return tell(error)
        }
    }

    /// Help, version and completion scripts come as errors too; the parser knows which they are.
    private static func tell(_ error: any Error) -> ExitStatus {
        let text = Weft.fullMessage(for: error)
        switch Weft.exitCode(for: error) {
        case .success:
            Terminal.out(text + "\n")
            return .success
        case .validationFailure:
            Terminal.error(text + "\n")
            return .usage
        default:
            if !text.isEmpty { Terminal.error(text + "\n") }
            return .failed
        }
    }

    /// Errors are JSON too when the answer would have been; read here since the command line itself may be what is wrong.
    private static func wantsJSON(_ arguments: [String]) -> Bool {
        arguments.contains("--output=json") || zip(arguments, arguments.dropFirst()).contains { ($0 == "--output" || $0 == "-o") && $1 == "json" }
    }
}
