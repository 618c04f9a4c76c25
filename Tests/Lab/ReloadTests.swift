import Glibc
import ManagementAPI
import Testing

extension Lab {
    @Suite("Reload")
    struct ReloadTests {
        @Test("SIGHUP and weft reload add a workload and a service without a restart, and running flows go on", arguments: [true, false])
        func adds(bySignal: Bool) throws {
            try LabNetwork.with { network in
                let (a, b) = try LabMesh.pair(network)
                let running = try Stream(a, "web", to: "reviews", 9080)
                try running.succeeds()
                mkdir("\(network.cgroups)/b/details", 0o755)
                try b.configure(workloads: ["reviews", "details"])
                try b.declare("details")
                _ = try b.serve("details", "echo.py", "9081", "details")
                try b.declare("details", targetPort: 9081)
                unlink("\(b.directory)/services.d/details-9080.yaml")
                if bySignal {
                    b.agent?.signal(SIGHUP)
                } else {
                    let report = try b.ask(ReloadReport.self, "reload")
                    #expect(report.errors.isEmpty && report.needsRestart.isEmpty && report.changed.contains("services"), "\(report)")
                }
                try Clock.until("details is usable from a") { try a.usable("details") == 1 }
                try LabMesh.certified([b])
                #expect(try a.run("web", "curl", "-sS", "--max-time", "5", "http://details:9080/").out.contains("from details"))
                #expect(try b.ask(WorkloadList.self, "workloads").workloads.map(\.name).sorted() == ["details", "reviews"])
                #expect(try running.calls().allSatisfy { !$0.failed })
                running.end()
            }
        }

        @Test("weft reload changes what a namespace may have, on the callers' node and on the endpoints'", arguments: ["a", "b"])
        func namespaceLimits(limited: String) throws {
            try LabNetwork.with { network in
                let (a, b) = try LabMesh.pair(network)
                let (host, workload) = limited == "a" ? (a, "web") : (b, "reviews")
                func reload(_ extra: String) throws {
                    try host.configure(workloads: [workload], extra: extra)
                    let report = try host.ask(ReloadReport.self, "reload")
                    #expect(report.errors.isEmpty && report.needsRestart.isEmpty && report.changed == ["limits.namespaces"], "\(report)")
                }
                func call() throws -> Bool { try a.run("web", "curl", "-sS", "--max-time", "5", "http://reviews:9080/").succeeded }
                let held = try a.start("web", "bash", "-c", "exec 3<>/dev/tcp/reviews/9080 && echo ready && sleep 600")
                try held.says("ready")
                #expect(try call())
                #expect(try host.metric("weft_namespace_flows", ["namespace": "default"]) == 1)
                try reload("limits:\n  namespaces:\n    - name: default\n      flows: 1\n")
                #expect(try !call())
                // curl tries the service's other address too.
                let refused = try host.metric("weft_namespace_refused_total", ["namespace": "default", "reason": "flows"])
                #expect(refused.map { (1...2).contains($0) } == true, "\(refused ?? 0)")
                #expect(host.accessLog.contains("namespace_flow_limit"), "\(host.accessLog.suffix(500))")
                try reload("")
                #expect(try call())
                held.end()
                try Clock.until("the namespace has nothing") {
                    try host.metric("weft_namespace_flows", ["namespace": "default"]) == 0 && host.metric("weft_namespace_memory_bytes", ["namespace": "default"]) == 0
                }
            }
        }

        @Test("a broken configuration is told with file, line and the nearest key, and the running one stays", arguments: [true, false])
        func refuses(bySignal: Bool) throws {
            try LabNetwork.with { network in
                let (a, _) = try LabMesh.pair(network)
                let good = Files.read(a.configurationPath)
                try Files.write(a.configurationPath, good + "gosip:\n  timers: lan\n")
                let line = good.split(separator: "\n", omittingEmptySubsequences: false).count
                if bySignal {
                    a.agent?.signal(SIGHUP)
                    try Clock.until("the error is logged") { a.agentLog.contains("the running configuration stays") }
                    #expect(a.agentLog.contains("weft.yaml:\(line)") && a.agentLog.contains("did you mean `gossip`"), "\(a.agentLog.suffix(500))")
                } else {
                    let result = try a.weft("reload")
                    #expect(result.status == 1)
                    #expect(result.errors.contains("weft.yaml:\(line)") && result.errors.contains("did you mean `gossip`"), "\(result.errors)")
                }
                #expect(try a.ask(Status.self, "status").state == .ready)
                #expect(try a.run("web", "curl", "-sS", "--max-time", "5", "http://reviews:9080/").succeeded)
            }
        }
    }
}
