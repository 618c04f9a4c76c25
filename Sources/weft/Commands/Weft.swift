import ArgumentParser
import ManagementAPI

struct Weft: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "weft",
        abstract: "Look at and steer the Weft agent of this host.",
        discussion: """
            Talks to weftd over its Unix socket. Every command takes --socket (or WEFT_SOCKET) to choose the agent, and --output json for programs.

            Exit status: 0 done, 1 refused or failed, 64 wrong command line, 69 no agent answers, 75 timed out, 77 not permitted.
            """,
        version: WeftVersion.current,
        groupedSubcommands: [
            CommandGroup(name: "Mesh", subcommands: [Init.self, TokenCommand.self, Join.self, Leave.self, Members.self, GossipCommand.self]),
            CommandGroup(name: "Services", subcommands: [Services.self, ServiceCommand.self, CatalogCommand.self]),
            CommandGroup(name: "Resources", subcommands: [Get.self, Apply.self, Delete.self, RolloutCommand.self, NodeCommand.self]),
            CommandGroup(name: "Capture", subcommands: [Workloads.self, CaptureCommand.self]),
            CommandGroup(
                name: "Agent", subcommands: [StatusCommand.self, Connections.self, Certs.self, Reload.self, Metrics.self, VersionCommand.self]),
        ])
}
