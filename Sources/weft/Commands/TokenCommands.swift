import ArgumentParser
import ManagementAPI

struct TokenCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "token", abstract: "Make, list and withdraw join tokens, on the node that holds the authority.",
        subcommands: [Create.self, List.self, Delete.self])

    struct Create: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Let one host join.",
            discussion: """
                Prints the token alone on standard output, so that it can be piped: \
                weft token create --node b | ssh b weft join --token-file -. It works once. Needs root or group weft-admin.
                """)

        @Option(help: ArgumentHelp("The name the host joins as.", valueName: "name"))
        var node: String
        @Option(
            help: ArgumentHelp(
                "A workload identity the host may have: namespace/account or ns/namespace/sa/account, * for any. May be repeated.",
                valueName: "identity"))
        var allow: [String] = []
        @Option(
            help: ArgumentHelp(
                "What the host may write for others: admin, or namespace-admin: and a namespace. May be repeated.", valueName: "right"))
        var right: [String] = []
        @Option(help: ArgumentHelp("How long it works, as 30m, 12h or 7d.", valueName: "time"))
        var expires = TimeSpan(seconds: TokenRequest.defaultExpirySeconds)
        @Option(help: ArgumentHelp("Where the host finds this node's tunnel port, as 192.0.2.7:15008. May be repeated.", valueName: "address"))
        var address: [String] = []
        @Flag(help: "Let it take the name over from a node that has it.")
        var replace = false
        @OptionGroup var global: GlobalOptions

        func run() async throws {
            let request = TokenRequest(
                node: node, allow: allow.map(AllowPattern.expand), rights: right, expiresSeconds: expires.seconds, replace: replace,
                addresses: address.isEmpty ? nil : address)
            let (report, _): (TokenReport, _) = try await global.client.call(.createToken, body: request)
            try global.show(report) { "\(Text.printable($0.token))\n" }
            global.note("works once, for node \(report.node), \(Text.span(seconds: report.expiresInSeconds)) long; there: `weft join --token-file -`")
            if allow.isEmpty { global.note("without --allow the host's workloads get no identity: it can look names up, and nothing more") }
        }
    }

    struct List: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "List tokens, without their secrets.")
        @OptionGroup var global: GlobalOptions

        func run() async throws {
            let (list, _): (TokenList, _) = try await global.client.call(.listTokens)
            try global.show(list) { list in
                if list.tokens.isEmpty { return Hints.noTokens }
                var table = Table([.init("ID"), .init("NODE"), .init("STATE"), .init("EXPIRES"), .init("ALLOW"), .init("RIGHTS")])
                for token in list.tokens {
                    table.add([
                        token.id, token.replace ? "\(token.node) (replace)" : token.node, token.state.rawValue,
                        Text.fromNow(seconds: token.expiresInSeconds), Text.orDash(token.allow.joined(separator: " ")), Text.orDash(token.rights.joined(separator: " ")),
                    ])
                }
                return table.text
            }
        }
    }

    struct Delete: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Withdraw a token that was not used yet.")
        @Argument(help: "From `weft token list`.")
        var id: String
        @OptionGroup var global: GlobalOptions

        func run() async throws {
            let (token, _): (TokenEntry, _) = try await global.client.call(.deleteToken, parameter: id)
            try global.show(token) { "withdrew token \(Text.printable($0.id)) of node \(Text.printable($0.node))\n" }
        }
    }
}

enum AllowPattern {
    /// `shop/reviews` is short for `ns/shop/sa/reviews`; everything else is left for the agent to judge.
    static func expand(_ text: String) -> String {
        let parts = text.split(separator: "/", omittingEmptySubsequences: false)
        return parts.count == 2 ? "ns/\(parts[0])/sa/\(parts[1])" : text
    }
}

/// A time on the command line: a whole number with s, m, h or d; seconds without.
struct TimeSpan: ExpressibleByArgument, Equatable {
    var seconds: Int64
    init(seconds: Int64) { self.seconds = seconds }

    init?(argument: String) {
        let units: [Character: Int64] = ["s": 1, "m": 60, "h": 3600, "d": 86_400]
        let factor = argument.last.flatMap { units[$0] }
        guard let number = Int64(factor == nil ? argument[...] : argument.dropLast()), number > 0 else { return nil }
        let (product, overflow) = number.multipliedReportingOverflow(by: factor ?? 1)
        guard !overflow else { return nil }
        seconds = product
    }
    var defaultValueDescription: String {
        for (unit, size) in [("d", 86_400), ("h", 3600), ("m", 60)] as [(String, Int64)] where seconds % size == 0 {
            return "\(seconds / size)\(unit)"
        }
        return "\(seconds)s"
    }
}
