import MeshModel
import Platform
import YAML

extension HealthCheck {
    private static let kinds = ["tcp", "http", "grpc", "exec", "ttl"]

    /// Nil when the check is turned off with `tcp: false`.
    ///
    /// - Parameter execObstacle: why `exec` is not allowed here; nil when it is.
    static func decode(_ section: MappingDecoder, execObstacle: String?) -> HealthCheck? {
        let enabled = section.value("tcp", .bool, default: true)
        let http = HTTPCheck.decode(section, "http")
        let grpc = grpcService(section, "grpc")
        let exec = section.optionalSection("exec") { ExecCheck.decode($0) } ?? nil
        let ttl = section.optional("ttl", .duration(.seconds(1)...(.seconds(86_400))))

        let written = kinds.filter(section.has)
        if written.count > 1 { section.report(written[1], "contradicts `\(section.path(written[0]))`: an endpoint has one kind of check") }
        if section.has("exec"), let execObstacle {
            section.report("exec", "is not allowed here: \(execObstacle); programs are named only by files under \(ExecCheck.directory) that root alone can change")
        }
        let kind: Kind =
            if let http { .http(http) } else if let grpc { .grpc(service: grpc) } else if let exec { .exec(exec) } else if let ttl { .ttl(ttl) } else { .tcp }
        var result = HealthCheck(kind)
        result.decodeTiming(section, written.first ?? "tcp")
        return enabled || kind != .tcp ? result : nil
    }

    private mutating func decodeTiming(_ section: MappingDecoder, _ kind: String) {
        port = section.optional("port", .port)
        interval = section.value("interval", .duration(.milliseconds(100)...(.seconds(3600))), default: interval)
        jitter = section.value("jitter", .share, default: jitter)
        timeout = section.value("timeout", .duration(.milliseconds(10)...(.seconds(60))), default: timeout)
        healthy = section.value("healthy", .integer(1...100), default: healthy)
        unhealthy = section.value("unhealthy", .integer(1...100), default: unhealthy)
        initial = section.value("initial", .health, default: initial)
        let meaningless =
            switch kind {
            case "exec": ["port"]
            case "ttl": ["port", "interval", "jitter", "timeout", "healthy", "unhealthy"]
            default: [String]()
            }
        for key in meaningless where section.has(key) {
            section.report(key, "means nothing with `\(section.path(kind))`\(kind == "ttl" ? ", where the application speaks first and counts at once" : ""): leave it out")
        }
        if timeout > interval, meaningless.count <= 1 {
            section.report(
                section.has("timeout") ? "timeout" : "interval",
                "makes the timeout (\(DurationText.format(timeout))) longer than the interval (\(DurationText.format(interval)))")
        }
    }

    /// `true`, or a mapping with the service's name.
    private static func grpcService(_ section: MappingDecoder, _ key: String) -> String? {
        guard let node = section.node(key) else { return nil }
        guard case .scalar = node.content else {
            return section.optionalSection(key) { $0.value("service", .labelText, default: "") }
        }
        guard let isOn = section.optional(key, .bool) else { return nil }
        if !isOn { section.report(key, "is off: leave it out, or write `tcp: false` for no check at all") }
        return isOn ? "" : nil
    }

    /// What `decode` reads back to an equal value; nil is no check.
    static func rendered(_ check: HealthCheck?) -> Output {
        guard let check else { return .section(("tcp", .bool(false))) }
        let kind: Output =
            switch check.kind {
            case .tcp: .bool(true)
            case .http(let http): http.rendered()
            case .grpc(let service): .section(("service", .text(service)))
            case .exec(let exec): .section(("command", .list(exec.command.map(Output.text))), ("user", .text(exec.user)))
            case .ttl(let ttl): .duration(ttl)
            }
        let initial = ("initial", Output?.some(.text(check.initial.rawValue)))
        if case .ttl = check.kind { return .section((check.kind.word, kind), initial) }
        return .section(
            (check.kind.word, kind), ("port", check.port.map { .number($0) }), ("interval", .duration(check.interval)),
            ("jitter", .plain("\(check.jitter)")), ("timeout", .duration(check.timeout)), ("healthy", .number(check.healthy)),
            ("unhealthy", .number(check.unhealthy)), initial)
    }
}

extension ExecCheck {
    fileprivate static func decode(_ section: MappingDecoder) -> ExecCheck? {
        let command = section.list("command", .argument)
        let user = section.required("user", .group.checked("a user's name or number") { _ in true })
        guard let program = command.first, program.hasPrefix("/") else {
            section.report("command", "must be a list that begins with the absolute path of a program")
            return nil
        }
        guard command.count <= maximumWords else {
            section.report("command", "has \(command.count) words; at most \(maximumWords) are passed on: put them into a script")
            return nil
        }
        return user.map { ExecCheck(command: command, user: $0) }
    }
}

extension ScalarType where Value == Double {
    fileprivate static var share: ScalarType {
        ScalarType("a share of the interval from 0 to 0.5") { text in Double(text).flatMap { (0...0.5).contains($0) ? $0 : nil } }
    }
}

extension ScalarType where Value == Health {
    fileprivate static var health: ScalarType {
        let words = [Health.unknown, .healthy, .unhealthy].map(\.rawValue)
        return ScalarType("one of \(words.joined(separator: ", "))") { (scalar) throws(Mismatch) in
            guard let value = Health(rawValue: scalar.text) else {
                throw Mismatch(hint: Suggestion.nearest(to: scalar.text, among: words).map { "did you mean \($0)?" })
            }
            return value
        }
    }
}

extension ScalarType where Value == String {
    fileprivate static var argument: ScalarType {
        ScalarType("a word of at most 1024 bytes without control characters") { text in
            text.utf8.count <= 1024 && !text.utf8.contains { $0 < 32 || $0 == 127 } ? text : nil
        }
    }
}
