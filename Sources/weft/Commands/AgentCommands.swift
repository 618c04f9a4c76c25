import ArgumentParser
import ManagementAPI

struct StatusCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "status", abstract: "Show how the agent is.", discussion: "With --check, exit status 1 unless it is ready.")
    @Flag(help: "Fail unless the agent is ready.")
    var check = false
    @OptionGroup var global: GlobalOptions

    func run() async throws {
        let (status, _): (Status, _) = try await global.client.call(.getStatus)
        try global.show(status, table: StatusText.table)
        if check, status.state != .ready {
            throw Failure(
                .failed, code: "not_ready", "the agent is \(status.state.rawValue)", remedy: status.reasons.first ?? "", source: "internal")
        }
    }
}

enum StatusText {
    static func table(_ status: Status) -> String {
        var lines: [String] = []
        func line(_ name: String, _ text: String) { lines.append(name.padded(to: 14) + Text.printable(text)) }
        let mesh = status.trustDomain.map { "mesh \($0)" } ?? "in no mesh"
        lines.append(Text.printable("weftd \(status.version) on node \(status.node), \(mesh)\(status.authority ? ", with the authority" : "")"))
        lines.append("state".padded(to: 14) + coloured(status.state))
        for reason in status.reasons { line("", "- \(reason)") }
        line("uptime", "\(Text.span(seconds: status.uptimeSeconds)), \(Text.count(status.workers, "worker"))")
        let capture = status.capture
        line(
            "capture",
            "\(capture.active ? "active" : "off"), \(Text.count(capture.workloads, "workload")) in \(Text.count(capture.cgroups, "cgroup"));"
                + " without agent: outbound \(capture.onExitOutbound), inbound \(capture.onExitInbound)")
        let members = status.members
        line(
            "members",
            "\(members.alive) alive" + (members.suspect > 0 ? ", \(members.suspect) suspect" : "")
                + (members.dead > 0 ? ", \(members.dead) dead" : ""))
        line("services", "\(status.services.total), with \(status.services.usable) of \(Text.count(status.services.endpoints, "endpoint")) usable")
        line("flows", "\(status.flows.open) open, \(status.flows.total) since start, \(status.flows.failed) failed")
        let expiry = status.certificates.nextExpirySeconds.map {
            $0 < 0 ? ", the first ended \(Text.fromNow(seconds: $0))" : ", the first ends \(Text.fromNow(seconds: $0))"
        }
        line("certificates", "\(status.certificates.total)\(expiry ?? "")")
        if let table = status.conntrack {
            line("conntrack", "\(table.count) of \(table.maximum)" + (table.maximum > 0 ? " (\(table.count * 100 / table.maximum) %)" : ""))
        }
        for warning in status.warnings { line("warning", warning) }
        if status.state == .uninitialised { line("next", "run `weft init TRUST-DOMAIN` to make a mesh, or `weft join` to join one") }
        return lines.joined(separator: "\n") + "\n"
    }

    private static func coloured(_ state: Status.State) -> String {
        guard Terminal.hasColour else { return state.rawValue }
        let colour =
            switch state {
            case .ready: "32"
            case .degraded: "31"
            case .joining, .uninitialised: "33"
            }
        return "\u{1b}[\(colour)m\(state.rawValue)\u{1b}[0m"
    }
}

extension String {
    func padded(to width: Int) -> String { self + String(repeating: " ", count: max(1, width - count)) }
}

struct Connections: AsyncParsableCommand {
    static let configuration = CommandConfiguration(abstract: "List open flows and the last closed ones, newest first.")
    @Option(help: ArgumentHelp("How many at most, 1 to \(ConnectionsRequest.maximumLimit).", valueName: "number"))
    var limit = ConnectionsRequest.defaultLimit
    @OptionGroup var global: GlobalOptions

    func validate() throws {
        guard 1...ConnectionsRequest.maximumLimit ~= limit else { throw ValidationError("--limit must be 1 to \(ConnectionsRequest.maximumLimit).") }
    }

    func run() async throws {
        let (list, _): (ConnectionList, _) = try await global.client.call(.listConnections, query: [("limit", "\(limit)")])
        try global.show(list) { list in
            if list.connections.isEmpty { return Hints.noConnections }
            var table = Table([
                .init("DIRECTION"), .init("STATE"), .init("WORKLOAD"), .init("SOURCE"), .init("TO"), .init("ENDPOINT"), .init("NODE"),
                .init("SECURITY"),
                .init("SENT", isNumber: true), .init("RECEIVED", isNumber: true), .init("TIME", isNumber: true),
            ])
            for flow in list.connections {
                table.add([
                    flow.direction, flow.end ?? "open", Text.orDash(flow.workload), flow.source,
                    flow.service.isEmpty ? flow.destination : flow.service,
                    Text.orDash(flow.endpoint), Text.orDash(flow.node), flow.security, Text.bytes(flow.bytesSent), Text.bytes(flow.bytesReceived),
                    Text.span(milliseconds: flow.durationMilliseconds),
                ])
            }
            var text = table.text
            var told: Set<String> = []
            for flow in list.connections {
                guard let end = flow.end, !flow.hint.isEmpty, told.insert(end).inserted else { continue }
                text += "\(told.count == 1 ? "\n" : "")\(Text.printable("\(end): \(flow.hint)"))\n"
            }
            return text
        }
        if list.open > list.connections.count { global.note("\(list.open) flows are open; --limit shows more") }
    }
}

struct Certs: AsyncParsableCommand {
    static let configuration = CommandConfiguration(abstract: "List the certificates of this node and its workloads.")
    @Flag(help: "Ask the authority for all of them again, as after `weft node grant`. Needs root or group weft-admin.")
    var renew = false
    @OptionGroup var global: GlobalOptions

    func run() async throws {
        if renew {
            let (report, _): (RenewalReport, _) = try await global.client.call(.renewCertificates)
            return try global.show(report) { "asked for \(Text.count($0.asked, "certificate")); `weft certs` shows them\n" }
        }
        let (list, _): (CertificateList, _) = try await global.client.call(.listCertificates)
        try global.show(list) { list in
            if list.certificates.isEmpty { return Hints.noCertificates }
            var table = Table([.init("KIND"), .init("STATE"), .init("ENDS"), .init("RENEWAL"), .init("IDENTITY"), .init("FINGERPRINT")])
            for certificate in list.certificates {
                table.add([
                    certificate.kind.rawValue,
                    certificate.problem.isEmpty ? certificate.state.rawValue : "\(certificate.state.rawValue): \(certificate.problem)",
                    certificate.expiresInSeconds.map(Text.fromNow) ?? "-", certificate.renewsInSeconds.map(Text.fromNow) ?? "-",
                    certificate.identity, Text.orDash(String(certificate.fingerprint.prefix(16))),
                ])
            }
            return table.text
        }
    }
}

struct Reload: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Make the agent read its configuration again.",
        discussion: "When the file is wrong, the running configuration stays, each error is shown with file and line, and the exit status is 1.")
    @OptionGroup var global: GlobalOptions

    func run() async throws {
        let (report, _): (ReloadReport, _) = try await global.client.call(.reload)
        try global.show(report) { report in
            guard report.errors.isEmpty else { return "" }
            var text = report.changed.isEmpty && report.needsRestart.isEmpty ? "nothing changed\n" : ""
            for key in report.changed { text += "in force: \(Text.printable(key))\n" }
            for key in report.needsRestart { text += "after a restart: \(Text.printable(key))\n" }
            return text
        }
        guard report.errors.isEmpty else {
            if global.output == .table { for error in report.errors { Terminal.error("\(Text.printable(error))\n") } }
            throw Failure(
                .failed, code: "configuration", "the configuration has \(Text.count(report.errors.count, "error")); the running one stays",
                remedy: "correct the file and run `weft reload` again", source: "configuration")
        }
    }
}

struct Metrics: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Print the agent's metrics in Prometheus's text format.", discussion: "The same is at http://127.0.0.1:16020/metrics.")
    @OptionGroup var global: GlobalOptions

    func run() async throws {
        Terminal.out(String(decoding: try await global.client.bytes(.getMetrics), as: UTF8.self))
    }
}

struct VersionCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(commandName: "version", abstract: "Print the versions of this program and of the agent.")
    @OptionGroup var global: GlobalOptions

    private struct Versions: Codable {
        var client: String
        var agent: String?
        var api: String?
    }

    func run() async throws {
        do {
            let (report, _): (VersionReport, _) = try await global.client.call(.getVersion)
            try global.show(Versions(client: WeftVersion.current, agent: report.version, api: report.api)) {
                "weft   \($0.client)\nweftd  \(Text.printable(report.version)) (API \(Text.printable(report.api)))\n"
            }
        } catch {
            try global.show(Versions(client: WeftVersion.current)) { "weft   \($0.client)\n" }
            throw error
        }
    }
}
