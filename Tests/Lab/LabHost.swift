import FoundationEssentials
import Glibc
import ManagementAPI

/// One host: a network namespace, cgroups, a resolver file, and one `weftd`.
final class LabHost: @unchecked Sendable {
    let network: LabNetwork
    let name: String
    let address: String
    let addressV6: String
    let directory: String
    private(set) var agent: Program?
    private var agentStarts = 0

    static let trustDomain = "lab.test"

    /// - Parameters:
    ///   - workloads: names; each is a cgroup, and an account of the same name in namespace `default`.
    ///   - extra: more lines of weft.yaml.
    ///   - capture: the lines below its `capture:`.
    init(_ network: LabNetwork, _ name: String, number: Int, workloads: [String], extra: String, capture: String) throws {
        self.network = network
        self.name = name
        address = "10.96.0.\(number)"
        addressV6 = "fd96::\(number)"
        directory = "\(network.root)/\(name)"
        for path in [directory, "\(directory)/services.d", "\(directory)/run", "\(network.cgroups)/\(name)"] { mkdir(path, 0o755) }
        for workload in workloads + ["other"] { mkdir("\(network.cgroups)/\(name)/\(workload)", 0o755) }
        try configure(workloads: workloads, extra: extra, capture: capture)
        let namespace = "\(network.prefix)-\(name)"
        try network.run("ip", "netns", "add", namespace)
        try network.bridge("ip link add port-\(name) type veth peer name eth0 netns \(namespace); ip link set port-\(name) master bridge up")
        try network.run(
            "nsenter", "--net=/run/netns/\(namespace)", "sh", "-ec",
            "ip link set lo up; ip addr add \(address)/24 dev eth0; ip -6 addr add \(addressV6)/64 dev eth0 nodad; ip link set eth0 up;"
                + "ip route add default via \(LabNetwork.nameserver); ip -6 route add default via fd96::53")
    }

    // MARK: Configuration

    var configurationPath: String { "\(directory)/weft.yaml" }
    var socket: String { "\(directory)/run/weft.sock" }
    var accessLog: String { Files.read("\(directory)/access.log") }

    func configure(workloads: [String], extra: String = "", capture: String = "") throws {
        var text = """
            node:
              name: \(name)
              address: \(address)
              addressV6: \(addressV6)
            state: \(directory)/state
            runtime: \(directory)/run
            services: \(directory)/services.d
            workers: 2
            accessLog:
              path: \(directory)/access.log
              format: json
            gossip:
              timers: local

            """
        if !extra.contains("timeouts:\n") { text += "timeouts:\n  drain: 2s\n" }
        if !capture.isEmpty { text += "capture:\n" + capture.split(separator: "\n").map { "  \($0)\n" }.joined() }
        if !workloads.isEmpty { text += "workloads:\n" }
        for workload in workloads { text += "  - name: \(workload)\n    cgroup: /\(network.prefix)/\(name)/\(workload)\n" }
        try Files.write(configurationPath, text + extra)
    }

    /// An instance of a service, as an operator writes it into `services.d`.
    func declare(_ service: String, workload: String? = nil, port: Int = 9080, targetPort: Int? = nil, address: String? = nil, check: String = "{interval: 500ms, timeout: 400ms}") throws {
        var text = "service: \(service)\nworkload: \(workload ?? service)\nport: \(port)\ncheck: \(check)\n"
        if let targetPort { text += "targetPort: \(targetPort)\n" }
        if let address { text += "address: \(address)\n" }
        try Files.write("\(directory)/services.d/\(service)-\(targetPort ?? port).yaml", text)
    }

    // MARK: Programs

    private func on(_ workload: String?, _ arguments: [String]) -> [String] { ["\(network.root)/on", name, workload ?? "-"] + arguments }

    /// Starts a program in the background, in a workload's cgroup or in none that is captured.
    func start(_ workload: String? = nil, _ arguments: String..., input: String? = nil) throws -> Program { try start(workload, arguments, input: input) }
    func start(_ workload: String? = nil, _ arguments: [String], input: String? = nil) throws -> Program { try network.start(on(workload, arguments), input: input) }

    /// Runs a program to its end, whatever its status.
    func run(_ workload: String? = nil, _ arguments: String..., input: String? = nil, seconds: Double = 30) throws -> Program.Output {
        try network.start(on(workload, arguments), input: input).wait(seconds: seconds)
    }

    /// A program of `Tests/Lab/Programs`, in the background; it has said "ready".
    func serve(_ workload: String? = nil, _ script: String, _ arguments: String..., seconds: Double = 10) throws -> Program {
        let program = try network.start(on(workload, [network.python, "-IBS", network.program(script)] + arguments))
        try program.says("ready", seconds: seconds)
        return program
    }

    /// A program of `Tests/Lab/Programs` to its end; its standard output.
    @discardableResult
    func python(_ workload: String? = nil, _ script: String, _ arguments: String..., seconds: Double = 30) throws -> String {
        let result = try network.start(on(workload, [network.python, "-IBS", network.program(script)] + arguments)).wait(seconds: seconds)
        guard result.succeeded else { throw LabFailure("\(script) \(arguments.joined(separator: " ")): status \(result.status): \(result.out.suffix(1000))\(result.errors.suffix(2000))") }
        return result.out
    }

    @discardableResult
    func shell(_ script: String) throws -> String {
        let result = try run(nil, "sh", "-ec", script)
        guard result.succeeded else { throw LabFailure("\(script): \(result.out)\(result.errors)") }
        return result.out
    }

    // MARK: The agent

    var agentLog: String { agent.map { $0.out + $0.errors } ?? "" }

    func startAgent(prefix: [String] = []) throws {
        try launchAgent(prefix: prefix)
        try Clock.until("weftd on \(name) answers", seconds: 20) {
            if let status = agent?.status { throw LabFailure("weftd on \(name) ended with status \(status): \(agentLog)") }
            return try Files.exists(socket) && weft("status").succeeded
        }
    }

    /// Starts it without waiting for anything.
    @discardableResult
    func launchAgent(prefix: [String] = []) throws -> Program {
        agentStarts += 1
        let started = try network.start(
            on("weftd", prefix + [try LabEnvironment.program("weftd"), "--config", configurationPath]), log: "\(directory)/weftd-\(agentStarts)")
        agent = started
        return started
    }

    /// SIGTERM, and its exit status.
    @discardableResult
    func stopAgent(seconds: Double = 20) throws -> CInt {
        guard let agent else { throw LabFailure("no weftd runs on \(name)") }
        agent.signal(SIGTERM)
        return try agent.wait(seconds: seconds).status
    }

    /// SIGKILL; returns when (`Clock.now`).
    @discardableResult
    func killAgent() throws -> Double {
        guard let agent else { throw LabFailure("no weftd runs on \(name)") }
        agent.signal(SIGKILL)
        let time = Clock.now
        try agent.wait()
        return time
    }

    // MARK: The command line

    /// `weft` with this host's socket.
    func weft(_ arguments: String..., input: String? = nil) throws -> Program.Output { try weft(arguments, input: input) }

    func weft(_ arguments: [String], input: String?) throws -> Program.Output {
        try network.start([try LabEnvironment.program("weft")] + arguments + ["--socket", socket], input: input).wait(seconds: 40)
    }

    /// The answer of `weft … --output json`.
    func ask<Answer: Decodable>(_ type: Answer.Type, _ arguments: String..., input: String? = nil) throws -> Answer {
        let result = try weft(arguments + ["--output", "json"], input: input)
        guard result.succeeded else { throw LabFailure("weft \(arguments.joined(separator: " ")) on \(name): status \(result.status): \(result.errors)") }
        return try JSONDecoder().decode(Answer.self, from: Data(result.out.utf8))
    }

    func members() throws -> [String: Member] {
        Dictionary(uniqueKeysWithValues: try ask(MemberList.self, "members").members.map { ($0.name, $0) })
    }
    func connections(limit: Int = 1000) throws -> [Connection] { try ask(ConnectionList.self, "connections", "--limit", "\(limit)").connections }
    func usable(_ service: String) throws -> Int {
        try ask(ServiceList.self, "services").services.first { $0.name == service }?.usable ?? 0
    }

    /// The sum of a metric's samples that have all of these labels; nil when there is none.
    func metric(_ name: String, _ labels: [String: String] = [:]) throws -> Double? {
        var sum: Double?
        for line in try weft("metrics").out.split(separator: "\n") where line.hasPrefix(name) {
            let rest = line.dropFirst(name.count)
            guard rest.hasPrefix("{") || rest.hasPrefix(" "), let space = line.lastIndex(of: " "), let value = Double(line[line.index(after: space)...]) else { continue }
            if labels.allSatisfy({ rest.contains("\($0.key)=\"\($0.value)\"") }) { sum = (sum ?? 0) + value }
        }
        return sum
    }

    /// Lines of the access log, decoded.
    func flows() throws -> [AccessLine] {
        try accessLog.split(separator: "\n").map { try JSONDecoder().decode(AccessLine.self, from: Data($0.utf8)) }
    }

    struct AccessLine: Decodable {
        enum CodingKeys: String, CodingKey {
            case direction, reason, security
            case source = "src.addr"
            case sourceIdentity = "src.identity"
            case destination = "dst.addr"
            case endpoint = "dst.endpoint"
            case destinationIdentity = "dst.identity"
            case sent = "bytes_sent"
            case received = "bytes_received"
        }
        let direction: String
        let reason: String
        let security: String
        let source: String
        let sourceIdentity: String
        let destination: String
        let endpoint: String
        let destinationIdentity: String
        let sent: UInt64
        let received: UInt64
    }

    static func identity(_ account: String) -> String { "spiffe://\(trustDomain)/ns/default/sa/\(account)" }
}
