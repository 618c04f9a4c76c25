import ManagementAPI
import Testing

extension Lab {
    @Suite("Explicit listeners")
    struct ListenerTests {
        @Test("who is not captured calls through a listener, under the identity of its workload, once the service is there", arguments: [true, false])
        func calls(capture: Bool) throws {
            try LabNetwork.with { network in
                let listeners = "listeners:\n  - {address: \"127.0.0.1:9001\", to: \"reviews:9080\", workload: web}\n"
                let a = try network.host("a", workloads: ["web"], extra: listeners, capture: capture ? "" : "enabled: false")
                let b = try network.host("b", workloads: ["reviews"])
                _ = try b.serve("reviews", "echo.py", "9080")
                try LabMesh.form([a, b])
                func call() throws -> Program.Output { try a.run(nil, "curl", "-sS", "--max-time", "10", "http://127.0.0.1:9001/") }
                // No such service yet: a reset, and not silence.
                #expect(try !call().succeeded)
                try b.declare("reviews")
                _ = try b.weft("reload")
                try Clock.until("reviews is usable from a") { try a.usable("reviews") == 1 }
                try LabMesh.certified([a, b])
                let answer = try call()
                #expect(answer.out.hasPrefix("plaintext-answer from echo"), "\(answer.errors)")
                let flow = try a.connections().first { $0.direction == "outbound" && $0.end == "completed" }
                #expect(flow?.sourceIdentity == LabHost.identity("web") && flow?.security == "mutual_tls" && flow?.service == "reviews.default")
                let arrived = try b.connections().first { $0.direction == "tunnel" }
                #expect(arrived?.sourceIdentity == LabHost.identity("web"))
                // Without capture the kernel has nothing of ours, and who asks for capture is told so.
                #expect(try a.shell("nft list tables").contains("weft") == capture)
                #expect(try a.ask(Status.self, "status").state == .ready)
                let adding = try a.weft("capture", "add", "other.service", "--dry-run")
                #expect(capture || (!adding.succeeded && adding.errors.contains("capture.enabled: false")), "\(adding.errors)")
                // A reload changes nothing about it, and so not what is said.
                try a.configure(workloads: ["web"], extra: listeners, capture: "enabled: \(!capture)")
                #expect(try a.ask(ReloadReport.self, "reload").needsRestart == ["capture.enabled"])
                let reason = try a.ask(CaptureList.self, "capture", "list").captures.first?.reason
                #expect(reason == (capture ? "" : "capture is off on this node"))
            }
        }

        @Test("a captured process reaches an application of a node that captures nothing; the application sees that node's own address")
        func answers() throws {
            try LabNetwork.with { network in
                let a = try network.host("a", workloads: ["web"])
                let b = try network.host("b", workloads: ["reviews"], capture: "enabled: false")
                try b.declare("reviews")
                _ = try b.serve("reviews", "echo.py", "9080")
                try LabMesh.form([a, b])
                try Clock.until("reviews is usable from a") { try a.usable("reviews") == 1 }
                try LabMesh.certified([a, b])
                // An IPv4 caller: its address is the tunnel's too, so it would be believed and shown.
                let answer = try a.run("web", "curl", "-4sS", "--max-time", "5", "http://reviews:9080/")
                #expect(answer.out == "plaintext-answer from echo to \(b.address)\n", "\(answer.errors)")
            }
        }
    }
}
