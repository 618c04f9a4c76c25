import ArgumentParser
import Glibc
import ManagementAPI
import NIOCore

struct KeyCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "key", abstract: "List and change the gossip keys of the whole mesh.",
        discussion: """
            To change the key: add a new one, use it, remove the old one. Each step is given on any node, goes to all, and waits for them; given \
            again it completes what was left. Keys are named by a fingerprint; the keys themselves are never shown.
            """,
        subcommands: [List.self, Add.self, Use.self, Remove.self])

    struct List: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Ask every live member which keys it has, and with which it seals.")
        @OptionGroup var global: GlobalOptions

        func run() async throws {
            let (list, _): (GossipKeyList, _) = try await global.client.call(.listGossipKeys)
            try global.show(list) { list in
                var table = Table([.init("KEY"), .init("INSTALLED"), .init("PRIMARY"), .init("MISSING ON")])
                for key in list.keys {
                    table.add([key.fingerprint, "\(key.installed) of \(list.nodes)", "\(key.primary) of \(list.nodes)", Text.orDash(key.missing.joined(separator: " "))])
                }
                return table.text
            }
            try KeyOrder.fail(on: list.failures, global, "did not say which keys it has")
        }
    }

    struct Add: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Install a key on every node. Nothing is sealed with it yet.",
            discussion: "Prints the new key's fingerprint alone on standard output. Needs root or group weft-admin.")
        @Argument(help: "Base64 of 16, 24 or 32 bytes; - reads it from standard input, where `ps` does not show it. Without one the agent makes one.")
        var key: String?
        @OptionGroup var global: GlobalOptions

        func run() async throws {
            if let key, key != "-" { global.note("every user of this host could see the key in `ps`; give it on standard input with -") }
            let text = key == "-" ? try TokenSource.word(from: "-", what: "gossip key") : key
            let report = try await KeyOrder.give(.addGossipKey, body: GossipKeyAddition(key: text), global)
            try global.show(report) { "\($0.fingerprint)\n" }
            global.note("\(KeyOrder.reach(report)) \(report.changed ? "added it" : "had it already"); next: `weft gossip key use \(report.fingerprint)`")
            try KeyOrder.fail(on: report.failures, global, "has not got the key")
        }
    }

    struct Use: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Seal with a key that every live member has.")
        @Argument(help: "From `weft gossip key list`; its first digits are enough.")
        var fingerprint: String
        @Flag(help: "Go on without members that do not answer.")
        var force = false
        @OptionGroup var global: GlobalOptions

        func run() async throws {
            let report = try await KeyOrder.give(.useGossipKey, body: GossipKeyUse(fingerprint: fingerprint, force: force), global)
            try global.show(report) { "\(KeyOrder.reach($0)) \($0.changed ? "seal" : "sealed already") with key \($0.fingerprint)\n" }
            try KeyOrder.fail(on: report.failures, global, "was not told")
        }
    }

    struct Remove: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Take a key away from every node. Refused while it is the primary.")
        @Argument(help: "From `weft gossip key list`; its first digits are enough.")
        var fingerprint: String
        @Flag(help: "Go on without members that do not answer.")
        var force = false
        @OptionGroup var global: GlobalOptions

        func run() async throws {
            let report = try await KeyOrder.give(.removeGossipKey, parameter: fingerprint, query: [("force", force ? "true" : nil)], global)
            try global.show(report) { "\(KeyOrder.reach($0)) \($0.changed ? "removed" : "had removed already") key \($0.fingerprint)\n" }
            try KeyOrder.fail(on: report.failures, global, "was not told")
        }
    }
}

/// What the orders about keys have in common.
enum KeyOrder {
    /// Gives an order; on a terminal, says meanwhile how many nodes have followed it.
    static func give(
        _ route: Route, parameter: String = "", query: [(String, String?)] = [], body: (any APIRequest)? = nil, _ global: GlobalOptions
    ) async throws -> GossipKeyReport {
        let watcher = isatty(STDERR_FILENO) == 1 && global.output == .table ? Task { await watch(global.client) } : nil
        defer { watcher?.cancel() }
        let (report, _): (GossipKeyReport, _) = try await global.client.call(route, parameter: parameter, query: query, body: body)
        if let watcher {
            watcher.cancel()
            await watcher.value
        }
        return report
    }

    private static func watch(_ client: AgentClient) async {
        var isShown = false
        while !Task.isCancelled {
            try? await Task.sleep(for: .milliseconds(200))
            guard !Task.isCancelled, let (report, _): (GossipReport, _) = try? await client.call(.getGossip), let order = report.keyOrder else { continue }
            Terminal.error("\r\(order.done) of \(Text.count(order.nodes, "node"))")
            isShown = true
        }
        if isShown { Terminal.error("\r\u{1b}[K") }
    }

    static func reach(_ report: GossipKeyReport) -> String {
        report.done == report.nodes ? (report.nodes == 1 ? "the only node" : "all \(report.nodes) nodes") : "\(report.done) of \(Text.count(report.nodes, "node"))"
    }

    /// Names each member that failed, with cause and remedy.
    /// - Throws: when there is any.
    static func fail(on failures: [GossipKeyFailure], _ global: GlobalOptions, _ what: String) throws {
        guard !failures.isEmpty else { return }
        if global.output == .table {
            for failure in failures {
                Terminal.error("error: \(Text.printable("\(failure.node) \(what): \(failure.message)"))\n")
                if !failure.remedy.isEmpty { Terminal.error("hint: \(Text.printable(failure.remedy))\n") }
            }
        }
        throw Failure(
            .failed, code: "nodes_failed", "\(Text.count(failures.count, "member")) of the gossip failed: \(failures.prefix(8).map(\.node).joined(separator: ", "))",
            remedy: "a node gets the keys by itself once there is a stream to it; the same command again shows what is left")
    }
}
