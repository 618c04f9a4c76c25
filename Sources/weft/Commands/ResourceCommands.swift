import ArgumentParser
import ManagementAPI

/// Which resources a command is about.
struct ResourceArguments: ParsableArguments {
    @Argument(help: "A kind, as DestinationRule or dr.")
    var kind: String?
    @Argument(help: "A resource's name.")
    var name: String?
    @Option(name: [.customShort("n"), .long], help: ArgumentHelp("Only this namespace.", valueName: "name"))
    var namespace: String?

    var query: [(String, String?)] { [("kind", kind), ("namespace", namespace), ("name", name)] }
}

struct Get: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "List the resources of the mesh, or print one.",
        discussion: """
            With a kind and a name it prints the document, to be changed and given to `weft apply`: its resourceVersion makes sure that nobody \
            changed it meanwhile. A name without -n is looked for in namespace default.
            """)
    @OptionGroup var which: ResourceArguments
    @OptionGroup var global: GlobalOptions

    func run() async throws {
        var query = which.query
        if which.name != nil, which.namespace == nil { query[1].1 = ApplyRequest.defaultNamespace }
        let (list, _): (ResourceList, _) = try await global.client.call(.listResources, query: query)
        if let name = which.name, list.resources.isEmpty {
            throw Failure(
                .failed, code: "resource_not_found", "there is no \(which.kind ?? "resource") \(name) in namespace \(which.namespace ?? ApplyRequest.defaultNamespace)",
                remedy: "`weft get` lists what there is", source: "configuration")
        }
        try global.show(list) { list in
            if which.name != nil { return list.resources.map { Text.lines($0.document) }.joined(separator: "---\n") }
            if list.resources.isEmpty { return "no resources: `weft apply -f FILE` writes some\n" }
            var table = Table([.init("KIND"), .init("NAMESPACE"), .init("NAME"), .init("WRITTEN"), .init("BY"), .init("STATE")])
            for entry in list.resources {
                table.add([
                    entry.kind, Text.orDash(entry.namespace), entry.name, Text.fromNow(seconds: -entry.ageSeconds), entry.author,
                    entry.problem.isEmpty ? "in force" : "not in force here",
                ])
            }
            return table.text
        }
        if which.name == nil {
            for entry in list.resources where !entry.problem.isEmpty {
                global.note("\(entry.kind) \(entry.namespace)/\(entry.name) is not in force on this node: \(entry.problem)")
            }
        }
    }
}

struct Apply: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Write the resources of YAML files for the whole mesh.",
        discussion: """
            Every document of a file is checked before the first is written. A document with a resourceVersion, as `weft get` prints it, replaces that \
            version and no other. Needs root or group weft-admin, on a node with the right admin or namespace-admin:<namespace>.
            """)
    @Option(
        name: [.customShort("f"), .customLong("filename")],
        help: ArgumentHelp("A file, a directory of *.yaml files, or - for standard input. May be repeated.", valueName: "path"), completion: .file())
    var files: [String]
    @Option(name: [.customShort("n"), .long], help: ArgumentHelp("For documents that name no namespace.", valueName: "name"))
    var namespace = ApplyRequest.defaultNamespace
    @Flag(help: "Say what would be done, and do nothing.")
    var dryRun = false
    @OptionGroup var global: GlobalOptions

    func run() async throws {
        var total = ApplyReport(resources: [], dryRun: dryRun)
        for file in try ResourceFiles.read(files) {
            let request = ApplyRequest(text: file.text, path: file.path, namespace: namespace, dryRun: dryRun)
            let (report, _): (ApplyReport, _) = try await global.client.call(.applyResources, body: request)
            total.resources += report.resources
            total.errors += report.errors
            if global.output == .table {
                for applied in report.resources { Terminal.out(ResourceText.line(applied) + (dryRun ? " (dry run)\n" : "\n")) }
                for error in report.errors { Terminal.error("\(Text.printable(error))\n") }
            }
        }
        if global.output == .json { try global.show(total) { _ in "" } }
        guard total.errors.isEmpty else {
            throw Failure(
                .failed, code: "invalid_resource", "there \(total.errors.count == 1 ? "is 1 error" : "are \(total.errors.count) errors"); of files with errors nothing is written",
                remedy: "correct them and run `weft apply` again", source: "configuration")
        }
        if total.resources.isEmpty { global.note("there is no document in what was given") }
    }
}

struct Delete: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Delete a resource from the whole mesh.",
        discussion: "Every node remembers the deletion for seven days, so that one that was away does not bring it back. Needs what `weft apply` needs.")
    @Argument(help: "A kind, as DestinationRule or dr.")
    var kind: String
    @Argument(help: "The resource's name.")
    var name: String
    @Option(name: [.customShort("n"), .long], help: ArgumentHelp("Its namespace.", valueName: "name"))
    var namespace = ApplyRequest.defaultNamespace
    @Option(
        name: .customLong("resource-version"), help: ArgumentHelp("Delete it only if it has this version, from `weft get`.", valueName: "version"))
    var expected: String?
    @OptionGroup var global: GlobalOptions

    func run() async throws {
        let (applied, _): (AppliedResource, _) = try await global.client.call(
            .deleteResource, query: [("kind", kind), ("namespace", namespace), ("name", name), ("version", expected)])
        try global.show(applied) { ResourceText.line($0) + "\n" }
    }
}

struct RolloutCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "rollout", abstract: "Show how far resources have come.", subcommands: [Status.self])

    struct Status: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Wait until every node acts on this node's version of the resources.",
            discussion: """
                Asks every node that is not known to be gone, and shows which do not have a version, do not take it or do not understand it, and why. \
                Exit status 0 when all act on it, 75 when some did not within --timeout.
                """)
        @OptionGroup var which: ResourceArguments
        @Option(help: ArgumentHelp("How long to wait, as 30s or 2m; 0s looks once.", valueName: "time"))
        var timeout = TimeSpan(seconds: 30)
        @OptionGroup var global: GlobalOptions

        func run() async throws {
            let deadline = ContinuousClock.now + .seconds(timeout.seconds)
            var report = try await ask()
            while !report.isComplete, ContinuousClock.now < deadline {
                try await Task.sleep(for: .milliseconds(500))
                report = try await ask()
            }
            try global.show(report, table: Self.text)
            if !report.gone.isEmpty {
                global.note("gone, and not asked: \(report.gone.joined(separator: ", ")); they catch up when they are back")
            }
            guard report.isComplete else {
                throw Failure(
                    .timedOut, code: "rollout_incomplete", "not every node acts on these versions",
                    remedy: "the table names the nodes and reasons; `weft members` shows which can be reached", source: "peer")
            }
        }

        private func ask() async throws -> RolloutReport {
            let (report, _): (RolloutReport, _) = try await global.client.call(.getRollout, query: which.query)
            return report
        }

        private static func text(_ report: RolloutReport) -> String {
            if report.resources.isEmpty { return "no resources: `weft apply -f FILE` writes some\n" }
            var table = Table([.init("RESOURCE"), .init("VERSION"), .init("BY"), .init("NODES")])
            for resource in report.resources {
                table.add([
                    ResourceText.name(resource.kind, resource.namespace, resource.name) + (resource.deleted ? " (deleted)" : ""), resource.version, resource.author,
                    "\(resource.applied) of \(report.nodes.count)",
                ])
            }
            var text = table.text
            for node in report.nodes where !node.failure.isEmpty { text += "\n" + Text.printable("node \(node.node) did not answer: \(node.failure)") }
            for resource in report.resources {
                let name = ResourceText.name(resource.kind, resource.namespace, resource.name)
                for pending in resource.pending {
                    let instead = pending.version.map { "; in force there: \($0)" } ?? ""
                    let reason = pending.reason.isEmpty ? "" : ": \(pending.reason)"
                    text += "\n" + Text.printable("\(name) is \(words(pending.state)) node \(pending.node)\(reason)\(instead)")
                }
            }
            return text.hasSuffix("\n") ? text : text + "\n"
        }

        private static func words(_ state: RolloutPending.State) -> String {
            switch state {
            case .waiting: "not yet on"
            case .refused: "refused by"
            case .invalid: "not understood by"
            }
        }
    }
}

enum ResourceText {
    static func name(_ kind: String, _ namespace: String, _ name: String) -> String { namespace.isEmpty ? "\(kind) \(name)" : "\(kind) \(namespace)/\(name)" }
    static func line(_ applied: AppliedResource) -> String {
        Text.printable("\(name(applied.kind, applied.namespace, applied.name)) \(applied.outcome.rawValue)")
    }
}
