import Glibc
import ManagementAPI
import Testing

extension Lab {
    @Suite("Resources of the mesh")
    struct ResourceTests {
        private static func rule(_ label: String, namespace: String = "default") -> String {
            """
            apiVersion: networking.istio.io/v1
            kind: DestinationRule
            metadata: {name: reviews, namespace: \(namespace)}
            spec:
              host: reviews
              subsets:
              - {name: canary, labels: {track: \(label)}}

            """
        }

        private func mesh(_ network: LabNetwork) throws -> [LabHost] {
            let a = try network.host("a", workloads: ["web"])
            let hosts = [a] + (try ["b", "c"].map { try network.host($0, workloads: ["reviews"]) })
            for (host, track) in zip(hosts.dropFirst(), ["stable", "new"]) {
                try Files.write(
                    "\(host.directory)/services.d/reviews.yaml",
                    "service: reviews\nworkload: reviews\nport: 9080\nlabels: {track: \(track)}\ncheck: {interval: 500ms, timeout: 400ms}\n")
                mkdir("\(host.directory)/www", 0o755)
                try Files.write("\(host.directory)/www/track", track)
                _ = try host.start("reviews", network.python, "-IBSm", "http.server", "9080", "--directory", "\(host.directory)/www")
            }
            try LabMesh.form(hosts)
            try Clock.until("both endpoints are usable") { try a.usable("reviews") == 2 }
            try LabMesh.certified(hosts)
            return hosts
        }

        @Test("a rule that an administrator applies is in force on every node, and traffic follows it")
        func rollout() throws {
            try LabNetwork.with { network in
                let hosts = try mesh(network)
                let (a, b, c) = (hosts[0], hosts[1], hosts[2])
                func answers() throws -> Set<String> {
                    Set(try (0..<4).map { _ in try a.run("web", "curl", "-sS", "--noproxy", "*", "--max-time", "10", "http://canary.reviews:9080/track").out })
                }
                #expect(try a.run("web", "getent", "ahosts", "canary.reviews").status != 0)
                let trial = try a.weft("apply", "-f", "-", "--dry-run", input: Self.rule("new"))
                #expect(trial.out == "DestinationRule default/reviews created (dry run)\n", "\(trial.errors)")
                #expect(try a.weft("get").out.contains("no resources"))
                let first = try a.weft("apply", "-f", "-", input: Self.rule("new"))
                #expect(first.out == "DestinationRule default/reviews created\n", "\(first.errors)")
                let status = try a.weft("rollout", "status", "dr", "reviews", "--timeout", "10s")
                #expect(status.succeeded && status.out.contains("3 of 3"), "\(status.out)\(status.errors)")
                #expect(try answers() == ["new"])
                #expect(try a.weft("apply", "-f", "-", input: Self.rule("new")).out == "DestinationRule default/reviews unchanged\n")
                _ = try a.weft("apply", "-f", "-", input: Self.rule("stable"))
                try Clock.until("traffic follows the change") { try answers() == ["stable"] }

                // Everything is back after a crash of all, before they hear of each other.
                for host in hosts { try host.killAgent() }
                try b.startAgent()
                try Clock.until("b has read its disk") { try b.weft("get", "dr", "reviews").out.contains("track: stable") }
                try a.startAgent()
                // What was deleted while a node was away is gone there too.
                try Clock.until("a has read its disk") { try a.weft("get", "dr", "reviews").succeeded }
                let gone = try a.weft("delete", "dr", "reviews")
                #expect(gone.out == "DestinationRule default/reviews deleted\n", "\(gone.errors)")
                try c.startAgent()
                try LabMesh.settled(hosts, seconds: 30)
                let after = try a.weft("rollout", "status", "--timeout", "20s")
                #expect(after.succeeded && after.out.contains("DestinationRule default/reviews (deleted)") && after.out.contains("3 of 3"), "\(after.out)\(after.errors)")
                for host in hosts { #expect(try host.weft("get").out.contains("no resources")) }
                #expect(try a.run("web", "getent", "ahosts", "canary.reviews").status != 0)
            }
        }

        @Test("a node writes what its certificate allows, and no change that it has not seen is lost unnoticed")
        func rights() throws {
            try LabNetwork.with { network in
                let hosts = try mesh(network)
                let (a, b) = (hosts[0], hosts[1])
                let refused = try b.weft("apply", "-f", "-", input: Self.rule("new"))
                #expect(refused.status == 1 && refused.errors.contains("node b has no right to write resources of namespace default"), "\(refused.errors)")
                #expect(refused.errors.contains("`weft node grant b namespace-admin:default`"), "\(refused.errors)")
                #expect(try b.weft("node", "list").errors.contains("run the command on node a"))
                let granted = try a.weft("node", "grant", "b", "namespace-admin:default")
                #expect(granted.out == "node b has namespace-admin:default\n", "\(granted.errors)")
                #expect(try b.weft("certs", "--renew").succeeded)
                try Clock.until("the new certificate has the right") { try b.weft("apply", "-f", "-", input: Self.rule("new")).succeeded }
                #expect(try b.weft("apply", "-f", "-", input: Self.rule("new", namespace: "bank")).errors.contains("no right to write resources of namespace bank"))
                #expect(try b.weft("rollout", "status", "--timeout", "10s").succeeded)

                let seen = try a.weft("get", "dr", "reviews").out
                #expect(seen.contains("resourceVersion: ") && seen.contains("-b"), "\(seen)")
                _ = try b.weft("apply", "-f", "-", input: Self.rule("stable"))
                #expect(try b.weft("rollout", "status", "--timeout", "10s").succeeded)
                let late = try a.weft("apply", "-f", "-", input: seen)
                #expect(late.status == 1 && late.errors.contains("it was changed meanwhile") && late.errors.contains("`weft get`"), "\(late.errors)")

                let wrong = try a.weft("apply", "-f", "-", input: Self.rule("new").replacing("subsets", with: "subset"))
                #expect(wrong.status == 1 && wrong.errors.contains("standard input:6:3: unknown key `subset` in `spec`, did you mean `subsets`?"), "\(wrong.errors)")
                #expect(try (a.metric("weft_resources") ?? 0) == 1)

                // A node that is gone is named, and holds nothing up.
                try hosts[2].killAgent()
                try Clock.until("c is known to be gone", seconds: 30) { try a.members()["c"]?.state == .dead }
                let status = try a.weft("rollout", "status", "--timeout", "10s")
                #expect(status.succeeded && status.out.contains("2 of 2") && status.errors.contains("gone, and not asked: c"), "\(status.out)\(status.errors)")

                // Who leaves takes nothing along.
                #expect(Files.names(in: "\(b.directory)/state/resources").contains { $0.hasSuffix(".json") })
                #expect(try b.weft("leave").succeeded)
                #expect(!Files.exists("\(b.directory)/state/resources"))
            }
        }
    }
}

extension String {
    fileprivate func replacing(_ old: String, with new: String) -> String {
        split(separator: old, maxSplits: 1, omittingEmptySubsequences: false).joined(separator: new)
    }
}
