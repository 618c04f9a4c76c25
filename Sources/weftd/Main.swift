import ArgumentParser
import CLinux
import Glibc
import ManagementAPI
import Platform
import Reactor
import Settings

/// weftd(8).
@main
struct Weftd: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "weftd", abstract: "The agent of the Weft service mesh: one on every host.",
        discussion: "Runs in the foreground; systemd keeps it running (weft.service). `weft` talks to it.",
        version: WeftVersion.current)

    @Option(name: .long, help: ArgumentHelp("The configuration file.", valueName: "file"))
    var config = "/etc/weft/weft.yaml"

    @Flag(name: .long, help: "Check the configuration and the service declarations, print what is in force, and exit.")
    var check = false

    @Flag(name: .long, help: "Remove what an agent that is gone has left in the kernel, and exit. For ExecStopPost.")
    var cleanup = false

    @Flag(name: .long, help: "With --cleanup: remove refusals too, whatever the configuration says.")
    var purge = false

    func validate() throws {
        if purge && !cleanup { throw ValidationError("--purge goes with --cleanup") }
        if check && cleanup { throw ValidationError("--check and --cleanup are two different things to do") }
    }

    func run() throws {
        if cleanup { return try Cleanup.run(config: config, purge: purge) }
        let loaded: LoadedConfiguration
        do {
            loaded = try LoadedConfiguration(path: config)
        } catch {
            Self.complain("\(error)")
            // EX_CONFIG of sysexits(3): systemd shows it by name, and does not restart for it (RestartPreventExitStatus).
            throw ExitCode(78)
        }
        if check {
            print(loaded.configuration.rendered(), terminator: "")
            return
        }
        Self.serve(loaded)
    }

    /// Starts the agent on the control thread; the main thread waits for signals.
    private static func serve(_ loaded: LoadedConfiguration) -> Never {
        var signals = sigset_t()
        sigemptyset(&signals)
        for signal in [SIGTERM, SIGINT, SIGHUP] { sigaddset(&signals, signal) }
        // Before any thread is made: all inherit it, so that only this thread takes them.
        pthread_sigmask(SIG_BLOCK, &signals, nil)
        signal(SIGPIPE, SIG_IGN)
        _ = clinux_raise_nofile(1 << 20)
        Task { @Control in
            let agent = Agent(loaded)
            Agent.running = agent
            await agent.run()
        }
        while true {
            var signal: CInt = 0
            guard sigwait(&signals, &signal) == 0 else { continue }
            if signal == SIGHUP {
                Task { @Control in _ = Agent.running?.reload() }
            } else {
                Task { @Control in await Agent.running?.stop() }
            }
        }
    }

    static func complain(_ text: String) {
        let line = "weftd: \(text)\n"
        _ = line.withCString { write(2, $0, strlen($0)) }
    }
}
