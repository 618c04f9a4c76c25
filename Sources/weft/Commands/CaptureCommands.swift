import ArgumentParser
import ManagementAPI
import NIOCore

struct Workloads: AsyncParsableCommand {
    static let configuration = CommandConfiguration(abstract: "List the workloads of this node.")
    @OptionGroup var global: GlobalOptions

    func run() async throws {
        let (list, _): (WorkloadList, _) = try await global.client.call(.listWorkloads)
        try global.show(list) { list in
            if list.workloads.isEmpty { return Hints.noWorkloads }
            var table = Table([
                .init("WORKLOAD"), .init("SELECTOR"), .init("CGROUPS", isNumber: true), .init("CERTIFICATE"), .init("SERVICES"), .init("IDENTITY"),
            ])
            for workload in list.workloads {
                table.add([
                    workload.name, workload.selector, "\(workload.cgroups.count)", workload.certificate,
                    Text.orDash(workload.services.joined(separator: " ")), workload.identity ?? "\(workload.namespace)/\(workload.account)",
                ])
            }
            return table.text
        }
    }
}

struct CaptureCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "capture", abstract: "Choose the processes whose connections go through the mesh.",
        subcommands: [List.self, Add.self, Remove.self, Ready.self])

    struct List: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "List what is captured, and why not what is not.")
        @OptionGroup var global: GlobalOptions

        func run() async throws {
            let (list, _): (CaptureList, _) = try await global.client.call(.listCaptures)
            try global.show(list) { list in
                if list.captures.isEmpty { return Hints.noCaptures }
                var table = Table([.init("KIND"), .init("SELECTOR"), .init("STATE"), .init("AS"), .init("FROM"), .init("CGROUPS")])
                for capture in list.captures {
                    table.add([
                        capture.kind.rawValue, capture.selector,
                        capture.reason.isEmpty ? capture.state.rawValue : "\(capture.state.rawValue): \(capture.reason)",
                        "\(capture.namespace)/\(capture.account)", capture.origin.rawValue, Text.orDash(capture.cgroups.joined(separator: " ")),
                    ])
                }
                return table.text
            }
        }
    }

    struct Add: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Capture a systemd unit, a slice or a cgroup.",
            discussion: """
                Takes effect for new connections; those that exist are left alone. For a unit, a drop-in is installed that makes systemd wait until \
                the unit is captured before its first process runs. Needs root (the drop-in is a file of root's; group weft-admin is enough with --no-drop-in).
                """)

        @Argument(help: "A unit (reviews.service), a slice (shop.slice) or a cgroup's path (/shop.slice/web.service); globs allowed.")
        var selector: String
        @Option(help: "What the selector is, if its form does not tell.")
        var kind: CaptureKind?
        @Option(help: ArgumentHelp("The namespace of its identity.", valueName: "name"))
        var namespace = "default"
        @Option(help: ArgumentHelp("The account of its identity (default: from the selector, reviews.service is reviews).", valueName: "name"))
        var account: String?
        @Option(help: ArgumentHelp("The workload's name on this node (default: the account).", valueName: "name"))
        var workload: String?
        @Flag(help: "Match below cgroups that root does not own, too. Whoever owns such a cgroup can name anything in it.")
        var allowDelegated = false
        @Flag(inversion: .prefixedNo, help: "Install the unit's drop-in.")
        var dropIn = true
        @Flag(help: "Check and show what would be done; change nothing.")
        var dryRun = false
        @OptionGroup var systemd: SystemdOptions
        @OptionGroup var global: GlobalOptions

        func run() async throws {
            let target = CaptureTarget(selector, kind: kind)
            let request = CaptureRequest(
                kind: target.kind, selector: target.selector, namespace: namespace, account: account, workload: workload,
                allowDelegated: allowDelegated, dryRun: dryRun)
            let (report, _): (CaptureReport, _) = try await global.client.call(.addCapture, body: request)
            let capture = report.capture
            try global.show(report) { _ in
                "\(dryRun ? "would capture" : "captures") \(capture.kind.rawValue) \(Text.printable(capture.selector))"
                    + " as \(Text.printable("\(capture.namespace)/\(capture.account)")): \(capture.state.rawValue)"
                    + "\(capture.reason.isEmpty ? "" : ", \(Text.printable(capture.reason))")\n"
            }
            for note in report.notes { global.note(note) }
            guard dropIn, let file = report.dropIn else { return }
            let units = UnitFiles(directory: systemd.directory)
            if dryRun { return global.note("would write \(try units.path(file))") }
            do throws(Failure) {
                if try units.install(file) { global.note("wrote \(try units.path(file))") }
            } catch {
                var failure = error
                failure.message = "\(capture.selector) is captured, but its drop-in is not installed: \(error.message)"
                throw failure
            }
            try await Systemctl.reload(units)
        }
    }

    struct Remove: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "End a capture that was added, and take its drop-in away.",
            discussion: "Takes effect for new connections. Captures declared in weft.yaml end when they are taken out of it.")
        @Argument(help: "As it was given to `weft capture add`.")
        var selector: String
        @Option(help: "What the selector is, if its form does not tell.")
        var kind: CaptureKind?
        @OptionGroup var systemd: SystemdOptions
        @OptionGroup var global: GlobalOptions

        func run() async throws {
            let target = CaptureTarget(selector, kind: kind)
            let (report, _): (CaptureReport, _) = try await global.client.call(
                .removeCapture, query: [("kind", target.kind.rawValue), ("selector", target.selector)])
            try global.show(report) { "\($0.capture.kind.rawValue) \(Text.printable($0.capture.selector)) is captured no more\n" }
            for note in report.notes { global.note(note) }
            guard let file = report.dropIn else { return }
            let units = UnitFiles(directory: systemd.directory)
            if try units.remove(file) {
                global.note("removed \(try units.path(file))")
                try await Systemctl.reload(units)
            }
        }
    }

    struct Ready: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Wait until a unit is captured; for its ExecStartPre.",
            discussion: "Exit status 0 once the unit's cgroup is in the kernel's set, 75 when it is not in time.")
        @Argument(help: "The unit, as reviews.service.")
        var unit: String
        @Option(help: ArgumentHelp("How long to wait, as 10s.", valueName: "time"))
        var timeout = TimeSpan(seconds: Int64(CaptureReadyRequest.defaultTimeoutSeconds))
        @Flag(help: "Let the unit start without the mesh when no agent runs, or it captures nothing: succeed with a warning.")
        var allowWithoutAgent = false
        @OptionGroup var global: GlobalOptions

        func validate() throws {
            guard timeout.seconds <= CaptureReadyRequest.maximumTimeoutSeconds else {
                throw ValidationError("--timeout can be \(CaptureReadyRequest.maximumTimeoutSeconds) seconds at most.")
            }
        }

        func run() async throws {
            do {
                let (report, _): (CaptureReadyReport, _) = try await global.client.call(
                    .captureReady, query: [("unit", CaptureTarget(unit, kind: .unit).selector), ("timeoutSeconds", "\(timeout.seconds)")],
                    timeout: .seconds(timeout.seconds + 5))
                try global.show(report) { "\(Text.printable($0.unit)) is captured: \(Text.printable($0.cgroups.joined(separator: " ")))\n" }
            } catch let failure as Failure where failure.status == .unavailable && allowWithoutAgent {
                warn(failure.message)
            } catch let refusal as APIError where Self.capturesNobody.contains(refusal.code) && allowWithoutAgent {
                warn(refusal.message)
            }
        }

        /// What the agent says when it captures no unit at all: it is in no mesh, its capture is off, or it is about to stop.
        private static let capturesNobody: Set = ["not_member", "capture_off", "capture_stopped"]

        private func warn(_ reason: String) { Terminal.error("warning: \(reason): \(unit) starts without the mesh\n") }
    }
}

extension CaptureKind: ExpressibleByArgument {}

/// What a word on the command line selects.
struct CaptureTarget: Equatable {
    var kind: CaptureKind
    var selector: String

    /// A path is a cgroup, a name that ends in `.slice` a slice, every other a unit; without a suffix it is a service.
    init(_ word: String, kind: CaptureKind?) {
        let suffixes = [".service", ".slice", ".scope", ".socket", ".mount", ".timer", ".target", ".path", ".swap"]
        let known = suffixes.contains(where: word.hasSuffix)
        self.kind = kind ?? (word.contains("/") ? .cgroup : word.hasSuffix(".slice") ? .slice : .unit)
        switch self.kind {
        case .unit: selector = known ? word : word + ".service"
        case .slice: selector = known ? word : word + ".slice"
        case .cgroup: selector = word.hasPrefix("/") ? word : "/" + word
        }
    }
}
