import ArgumentParser
import ManagementAPI
import NIOCore

/// `weft members --watch`: asks again and again for what came after the last answer.
struct MemberWatcher {
    let global: GlobalOptions
    /// How long the agent holds one question; the next follows at once.
    private static let patience = 25

    /// Returns never; throws when the agent stops or refuses.
    func run() async throws {
        var last = try await ask(after: nil, seconds: 0).last
        while true {
            let answer: MemberChanges
            do { answer = try await ask(after: last, seconds: Self.patience) } catch { throw Self.ended(error) }
            if answer.missed > 0 { Terminal.error("note: \(Text.count(Int(answer.missed), "change")) came too fast and cannot be shown\n") }
            for change in answer.changes { Terminal.out(try line(change)) }
            last = answer.last
        }
    }

    private func ask(after last: UInt64?, seconds: Int) async throws -> MemberChanges {
        let (answer, _): (MemberChanges, _) = try await global.client.call(
            .watchMembers, query: [("after", last.map(String.init)), ("timeoutSeconds", "\(seconds)")], timeout: .seconds(Int64(seconds) + 15))
        return answer
    }

    private func line(_ change: MemberChange) throws -> String {
        switch global.output {
        case .json: String(decoding: try APIJSON.encode(change), as: UTF8.self) + "\n"
        case .table: Text.printable("\(change.time)  \(change.name) (\(change.address)) \(change.kind.rawValue): \(change.why)") + "\n"
        }
    }

    /// An agent that stops closes the socket first or answers first, by chance.
    private static func ended(_ error: any Error) -> any Error {
        let isGone = (error as? Failure)?.status == .unavailable || (error as? APIError)?.kind == .unavailable
        guard isGone else { return error }
        return Failure(
            .unavailable, code: "agent_stopped", "the agent has stopped, or left its mesh", remedy: "`weft status` says which; watch again when it is back")
    }
}

struct GossipCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "gossip", abstract: "Show this node's own part in the gossip.",
        discussion: "Whether it trusts its own observations, what its probes came to, and what it refused from the network and why.",
        subcommands: [KeyCommand.self])
    @OptionGroup var global: GlobalOptions

    func run() async throws {
        let (report, _): (GossipReport, _) = try await global.client.call(.getGossip)
        try global.show(report, table: Self.text)
        let counters = report.counters
        if counters.probesByStreamOnly > 0 {
            global.note("\(Text.count(Int(counters.probesByStreamOnly), "probe")) came back over TCP alone: something between the nodes drops UDP of the gossip port")
        }
        for contest in report.contested {
            global.note("two nodes are called \(contest.name): \(contest.address), which is the member, and \(contest.claimant); rename one of them (`node.name`)")
        }
        if report.keys.isEmpty { global.note("nothing is encrypted: the pool has no gossip key") }
    }

    private static func text(_ report: GossipReport) -> String {
        let (counters, members) = (report.counters, report.members)
        let keys = report.keys.enumerated().map { $0.offset == 0 ? "\($0.element) (seals)" : $0.element }.joined(separator: ", ")
        let lines: [(String, String)] = [
            ("node", "\(report.node) at \(report.address), incarnation \(report.incarnation)"),
            ("pool", report.label.isEmpty ? report.pool : "\(report.pool), label \(report.label)"),
            ("keys", Text.orDash(keys)),
            ("awareness", "\(report.awareness) of \(report.awarenessMaximum)\(report.awareness == 0 ? ": well" : ": it distrusts what it sees itself")"),
            ("members", "\(members.alive) alive, \(members.suspect) suspect, \(members.dead) dead, \(members.left) left"),
            ("queue", "\(Text.count(report.queued, "message")) to pass on"),
            (
                "probes",
                "\(counters.probes), \(counters.probesFailed) failed, \(counters.probesByStreamOnly) answered over TCP alone, \(counters.probesDiscarded) void; \(counters.relayed) for others"
            ),
            ("suspicions", "\(counters.suspicions), \(counters.deaths) led to death; this node refuted \(counters.refutations)"),
            ("exchanges", "\(counters.exchanges), \(counters.exchangesFailed) failed"),
            ("received", "\(counters.datagramsReceived) datagrams, \(Text.bytes(counters.bytesReceived))"),
            ("sent", "\(counters.datagramsSent) datagrams, \(Text.bytes(counters.bytesSent)), \(counters.sendFailures) not taken by the kernel"),
            ("streams", "\(counters.streamsRefused) turned away, \(counters.streamsTimedOut) timed out"),
        ]
        var text = ""
        for (name, value) in lines + report.refused.map({ ("refused", "\($0.count) \($0.reason): \($0.meaning)") }) {
            text += "\(name)\(String(repeating: " ", count: 12 - name.count))\(Text.printable(value))\n"
        }
        return text
    }
}

struct CatalogCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "catalog", abstract: "Compare what nodes know of the services of the mesh.", subcommands: [Diff.self])

    struct Diff: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Say what this node and another know differently.",
            discussion: """
                Asks the other node how far it knows the records of every node, and shows those of which the two know different ones, and which of \
                the two is ahead. Differences of a moment are normal while changes spread.
                """)
        @Argument(help: "The other node's name, from `weft members`.")
        var node: String
        @OptionGroup var global: GlobalOptions

        func run() async throws {
            let (diff, _): (CatalogDiff, _) = try await global.client.call(.diffCatalog, parameter: node)
            try global.show(diff) { diff in
                let both = Text.printable("\(diff.node) and \(diff.peer)")
                if diff.differences.isEmpty { return "\(both) know the same of \(Text.count(diff.equal, "node"))\n" }
                var table = Table([.init("RECORDS OF"), .init("VERDICT"), .init("HERE (\(diff.node))"), .init("THERE (\(diff.peer))")])
                for difference in diff.differences {
                    table.add([difference.origin, Self.words(difference.verdict), Self.words(difference.here), Self.words(difference.there)])
                }
                return table.text + "\n\(both) know the same of \(Text.count(diff.equal, "other node"))\n"
            }
        }

        private static func words(_ known: CatalogDiff.Known?) -> String {
            known.map { "\(Text.count($0.records, "record")), version \($0.generation).\($0.version), digest \($0.digest.prefix(12))" } ?? "-"
        }

        private static func words(_ verdict: CatalogDiff.Difference.Verdict) -> String {
            switch verdict {
            case .hereNewer: "newer here"
            case .thereNewer: "newer there"
            case .onlyHere: "only here"
            case .onlyThere: "only there"
            case .forked: "two contents of one version"
            }
        }
    }
}
