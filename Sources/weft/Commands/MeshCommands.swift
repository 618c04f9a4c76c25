import ArgumentParser
import ManagementAPI
import NIOCore

struct Init: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Make a mesh, with its certificate authority on this node.",
        discussion: "The trust domain is part of every identity and cannot be changed later. Needs root or group weft-admin.")

    @Argument(help: ArgumentHelp("Lower case letters, digits, dots and hyphens, as shop.example.", valueName: "trust-domain"))
    var trustDomain: String
    @OptionGroup var global: GlobalOptions

    func run() async throws {
        let request = InitRequest(trustDomain: trustDomain)
        let (report, _): (InitReport, _) = try await global.client.call(.initialise, body: request, timeout: .seconds(120))
        try global.show(report) { report in
            """
            mesh \(Text.printable(report.trustDomain)) exists; its authority is this node
            identity          \(Text.printable(report.identity))
            root fingerprint  \(Text.printable(report.rootFingerprint))

            """
        }
        global.note("to add a host, run `weft token create --node NAME` here and `weft join` there")
    }
}

struct Join: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Join a mesh with a token from `weft token create`.",
        discussion: """
            The token is taken from the argument, from --token-file (- is standard input), or from WEFT_TOKEN. An argument can be seen by every \
            user of the host in ps; the other ways cannot. Needs root or group weft-admin.
            """)

    @Argument(help: "The token; - reads it from standard input.")
    var token: String?
    @Option(help: ArgumentHelp("Read the token from a file; - is standard input.", valueName: "path"), completion: .file())
    var tokenFile: String?
    @Flag(help: "Take the node's name over from a node that has it.")
    var replace = false
    @OptionGroup var global: GlobalOptions

    func validate() throws {
        if token != nil, tokenFile != nil { throw ValidationError("Give the token as an argument or with --token-file, not both.") }
    }

    func run() async throws {
        let token = try TokenSource.read(argument: token, file: tokenFile)
        if token.isVisible { Terminal.error("warning: the token could be seen in ps while this ran; --token-file or WEFT_TOKEN hides it\n") }
        let request = JoinRequest(token: token.text, replace: replace)
        let (report, _): (JoinReport, _) = try await global.client.call(.join, body: request, timeout: .seconds(120))
        try global.show(report) { report in
            """
            joined mesh \(Text.printable(report.trustDomain)) as \(Text.printable(report.node))
            identity   \(Text.printable(report.identity))
            authority  \(Text.printable(report.authority))

            """
        }
    }
}

struct Leave: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Leave the mesh: tell the others, and forget this node's keys and certificates.",
        discussion: "The node that holds the authority leaves only with --force, and the mesh can then add no node and renew no certificate.")

    @Flag(help: "Leave even if the mesh loses its authority by it, or nobody else can be reached.")
    var force = false
    @OptionGroup var global: GlobalOptions

    func run() async throws {
        let (report, _): (LeaveReport, _) = try await global.client.call(.leave, body: LeaveRequest(force: force), timeout: .seconds(120))
        try global.show(report) { "\(Text.printable($0.node)) has left mesh \(Text.printable($0.trustDomain))\n" }
        for warning in report.warnings { global.note(warning) }
    }
}

struct Members: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "List the nodes of the mesh.",
        discussion: """
            With --watch: each change as it comes, with who said so and why, until the agent stops or you press ^C; with --output json, one object \
            on each line.
            """)
    @Flag(help: "Show changes as they come instead of the list.")
    var watch = false
    @OptionGroup var global: GlobalOptions

    func run() async throws {
        if watch { return try await MemberWatcher(global: global).run() }
        let (list, _): (MemberList, _) = try await global.client.call(.listMembers)
        try global.show(list) { list in
            if list.members.isEmpty { return Hints.noMesh }
            var table = Table([
                .init("NAME"), .init("STATE"), .init("KIND"), .init("TUNNEL"), .init("GOSSIP"), .init("ENDPOINTS", isNumber: true), .init("VERSION"),
                .init("ZONE"), .init("SINCE", isNumber: true),
            ])
            for member in list.members {
                table.add([
                    member.isSelf ? "\(member.name) (this)" : member.name, member.state.rawValue, member.kind.rawValue, Text.orDash(member.tunnel),
                    Text.orDash(member.address), "\(member.endpoints)", Text.orDash(member.version),
                    Text.orDash([member.region, member.zone].filter { !$0.isEmpty }.joined(separator: "/")), Text.span(seconds: member.sinceSeconds),
                ])
            }
            return table.text
        }
        if list.members.count == 1 { global.note(Hints.alone) }
    }
}
