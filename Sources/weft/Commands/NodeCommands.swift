import ArgumentParser
import ManagementAPI

struct NodeCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "node", abstract: "List nodes and their rights, on the node that holds the authority.",
        subcommands: [List.self, Grant.self, Revoke.self])

    struct List: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "List the nodes that joined, and what they may write and be.")
        @OptionGroup var global: GlobalOptions

        func run() async throws {
            let (list, _): (NodeList, _) = try await global.client.call(.listNodes)
            try global.show(list) { list in
                var table = Table([.init("NODE"), .init("RIGHTS"), .init("IDENTITIES"), .init("JOINED")])
                for node in list.nodes {
                    table.add([
                        node.name, Text.orDash(node.rights.joined(separator: " ")), Text.orDash(node.allow.joined(separator: " ")), node.joinedAt,
                    ])
                }
                return table.text
            }
        }
    }

    struct Grant: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Let a node write resources for others.",
            discussion: """
                admin: resources of every namespace and of the whole mesh; namespace-admin:<namespace>: those of one. The right stands in the node's \
                next certificate; `weft certs --renew` there asks for it now. Needs root or group weft-admin.
                """)
        @Argument(help: "The node's name.")
        var node: String
        @Argument(help: "admin, or namespace-admin: and a namespace.")
        var rights: [String]
        @OptionGroup var global: GlobalOptions

        func run() async throws {
            try await NodeCommand.change(RightsRequest(node: node, grant: rights), global)
            global.note("it is in force with node \(node)'s next certificate: `weft certs --renew` there asks for it now")
        }
    }

    struct Revoke: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Take rights from a node.",
            discussion: "What it wrote stays. Its certificate keeps the mark until it ends. Needs root or group weft-admin.")
        @Argument(help: "The node's name.")
        var node: String
        @Argument(help: "admin, or namespace-admin: and a namespace.")
        var rights: [String]
        @OptionGroup var global: GlobalOptions

        func run() async throws {
            let report = try await NodeCommand.change(RightsRequest(node: node, revoke: rights), global)
            global.note("certificates with the earlier rights may be in use for \(Text.span(seconds: report.certificateSeconds)) more")
        }
    }

    @discardableResult
    private static func change(_ request: RightsRequest, _ global: GlobalOptions) async throws -> RightsReport {
        let (report, _): (RightsReport, _) = try await global.client.call(.changeRights, body: request)
        try global.show(report) { report in
            Text.printable("node \(report.node) has \(report.rights.isEmpty ? "no rights" : report.rights.joined(separator: ", "))") + "\n"
        }
        return report
    }
}
