import ManagementAPI

/// Hosts that belong to one mesh. The first holds the authority.
enum LabMesh {
    /// Starts the agents, makes the mesh and joins all; returns when each sees every other one.
    /// - Parameter prefix: what the agents are run by.
    static func form(_ hosts: [LabHost], prefix: [String] = []) throws {
        for host in hosts { try host.startAgent(prefix: prefix) }
        _ = try hosts[0].ask(InitReport.self, "init", LabHost.trustDomain)
        for host in hosts.dropFirst() { _ = try host.ask(JoinReport.self, "join", "--token-file", "-", input: try token(hosts[0], for: host.name)) }
        try settled(hosts)
    }

    static func token(_ authority: LabHost, for node: String, allow: String = "*/*") throws -> String {
        let result = try authority.weft("token", "create", "--node", node, "--allow", allow)
        guard result.succeeded else { throw LabFailure("no token: \(result.errors)") }
        return result.out
    }

    static func settled(_ hosts: [LabHost], seconds: Double = 15) throws {
        try Clock.until("every host sees \(hosts.count) proven nodes", seconds: seconds) {
            try hosts.allSatisfy { host in try host.members().values.filter { $0.kind == .node && $0.state == .alive }.count == hosts.count }
        }
    }

    /// Host a with the workload `web`, and host b with `reviews` on port 9080 declared and served.
    static func pair(
        _ network: LabNetwork, extra: String = "", capture: String = "", workloads: [String] = ["web"], server: String = "echo.py", prefix: [String] = []
    ) throws -> (a: LabHost, b: LabHost) {
        let a = try network.host("a", workloads: workloads, extra: extra, capture: capture)
        let b = try network.host("b", workloads: ["reviews"], extra: extra)
        try b.declare("reviews")
        _ = try b.serve("reviews", server, "9080")
        try form([a, b], prefix: prefix)
        try Clock.until("reviews is usable from a") { try a.usable("reviews") == 1 }
        try certified([a, b])
        return (a, b)
    }

    static func certified(_ hosts: [LabHost]) throws {
        try Clock.until("every workload has its certificate") {
            try hosts.allSatisfy { try $0.ask(WorkloadList.self, "workloads").workloads.allSatisfy { $0.certificate == "valid" } }
        }
    }
}
