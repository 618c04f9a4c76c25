import ManagementAPI

/// One of everything, with fixed times.
package enum Samples {
    package static let status = Status(
        version: "9.8.7", node: "a", trustDomain: "shop.example", state: .ready, authority: true, startedAt: "2026-01-01T00:00:00.000Z",
        uptimeSeconds: 11_520, workers: 4,
        capture: .init(active: true, workloads: 3, cgroups: 5, onExitOutbound: "bypass", onExitInbound: "block"),
        members: .init(alive: 3, suspect: 1, dead: 0), services: .init(total: 4, endpoints: 8, usable: 7),
        flows: .init(open: 12, total: 3401, failed: 2),
        certificates: .init(total: 4, nextExpiry: "2026-01-02T00:00:00.000Z", nextExpirySeconds: 82_800),
        conntrack: .init(count: 220_000, maximum: 262_144), warnings: ["the conntrack table is 83 % full"])

    package static let uninitialised = Status(
        version: "9.8.7", node: "a", trustDomain: nil, state: .uninitialised, reasons: ["this node is in no mesh"], authority: false,
        startedAt: "2026-01-01T00:00:00.000Z", uptimeSeconds: 5, workers: 1,
        capture: .init(active: false, workloads: 0, cgroups: 0, onExitOutbound: "bypass", onExitInbound: "block"),
        members: .init(alive: 0, suspect: 0, dead: 0), services: .init(total: 0, endpoints: 0, usable: 0),
        flows: .init(open: 0, total: 0, failed: 0), certificates: .init(total: 0, nextExpiry: nil, nextExpirySeconds: nil))

    package static let members = [
        Member(
            name: "a", kind: .node, state: .alive, isSelf: true, address: "192.0.2.1:7946", tunnel: "192.0.2.1:15008", version: "9.8.7", region: "eu",
            zone: "eu-1", endpoints: 2, sinceSeconds: 11_520),
        Member(
            name: "b", kind: .node, state: .suspect, address: "192.0.2.2:7946", tunnel: "192.0.2.2:15008", version: "9.8.7", endpoints: 1,
            sinceSeconds: 3),
        Member(name: "consul\u{1b}[31m", kind: .foreign, state: .alive, address: "[2001:db8::3]:7946", tunnel: nil, sinceSeconds: 90_061),
    ]

    package static let change = MemberChange(
        number: 1, time: "2026-01-01T00:00:00.000Z", name: "b", address: "192.0.2.2:7946", kind: .died, state: .dead, by: "a", cause: .notRefuted,
        suspectedBy: ["a", "c"], why: "suspected by a, c and not refuted")

    package static let gossip: GossipReport = {
        var counters = GossipReport.Counters()
        (counters.probes, counters.probesFailed, counters.probesByStreamOnly, counters.suspicions, counters.deaths) = (120, 3, 1, 2, 1)
        (counters.datagramsReceived, counters.bytesReceived, counters.datagramsSent, counters.bytesSent) = (300, 12_600, 310, 14_000)
        return GossipReport(
            node: "a", address: "192.0.2.1:7946", incarnation: 3, pool: "serf", label: "shop", keys: ["0123456789abcdef", "fedcba9876543210"],
            awareness: 1, awarenessMaximum: 7, members: .init(alive: 2, suspect: 1, dead: 0, left: 1), queued: 1, counters: counters,
            refused: [.init(reason: "wrong_label", count: 4, meaning: "its label is not ours")],
            contested: [.init(name: "b", address: "192.0.2.2:7946", claimant: "192.0.2.9:7946")])
    }()

    package static let keys = GossipKeyList(
        revision: 4, nodes: 3,
        keys: [
            .init(fingerprint: "0123456789abcdef", installed: 3, primary: 3),
            .init(fingerprint: "fedcba9876543210", installed: 2, primary: 0, missing: ["c"]),
        ], failures: [])
    package static let keyReport = GossipKeyReport(fingerprint: "0123456789abcdef", changed: true, revision: 5, nodes: 3, done: 3, failures: [])
    package static let keyFailure = GossipKeyFailure(
        node: "c\u{1b}", code: "no_stream", message: "there is no stream to node c", remedy: "`weft members` shows whether it is alive")

    package static let diff = CatalogDiff(
        node: "a", peer: "b", equal: 1,
        differences: [
            .init(
                origin: "b", verdict: .thereNewer, here: .init(generation: 7, version: 3, records: 2, digest: String(repeating: "ab", count: 32)),
                there: .init(generation: 7, version: 4, records: 1, digest: String(repeating: "cd", count: 32))),
            .init(
                origin: "c", verdict: .onlyHere, here: .init(generation: 1, version: 1, records: 1, digest: String(repeating: "ef", count: 32)), there: nil),
        ])

    package static let resource = ResourceEntry(
        kind: "DestinationRule", namespace: "shop", name: "reviews", version: "1764224096123-0-a", author: "a", writtenAt: "2026-01-01T00:00:00.000Z",
        ageSeconds: 90, document: "apiVersion: networking.istio.io/v1\nkind: DestinationRule\n")

    package static let rollout = RolloutReport(
        resources: [
            RolloutResource(
                kind: "DestinationRule", namespace: "shop", name: "reviews", version: "1764224096123-0-a", author: "a", deleted: false, applied: 3, pending: [])
        ], nodes: [RolloutNode(node: "a"), RolloutNode(node: "b"), RolloutNode(node: "c")], gone: ["d"])

    package static let nodes = NodeList(nodes: [
        NodeEntry(name: "a", rights: ["admin"], allow: ["ns/*/sa/*"], joinedAt: "2026-01-01T00:00:00.000Z"),
        NodeEntry(name: "b", rights: [], allow: ["ns/shop/sa/*"], joinedAt: "2026-01-01T00:00:00.000Z"),
    ])

    package static let reviews = ServiceDetail(
        name: "reviews", namespace: "default", addresses: ["240.240.17.4", "fd77:6566:7400::1104"], ports: [9080],
        endpoints: [
            ServiceEndpoint(
                node: "a", address: "192.0.2.1:9080", port: 9080, identity: "spiffe://shop.example/ns/default/sa/reviews", version: "v1",
                labels: ["tier": "web"], health: "unhealthy", usable: false, reason: "unhealthy", region: "eu", zone: "eu-1",
                check: "tcp", failure: "connecting to 192.0.2.1:9080 failed: Connection refused"),
            ServiceEndpoint(
                node: "b", address: "192.0.2.2:9080", port: 9080, identity: "spiffe://shop.example/ns/default/sa/reviews", version: "v2", weight: 10,
                health: "healthy", usable: false, reason: "node dead"),
            ServiceEndpoint(
                node: "c", address: "192.0.2.3:9080", port: 9080, identity: "spiffe://shop.example/ns/default/sa/reviews", health: "healthy",
                usable: true, reason: "stale", stale: true),
        ], subsets: [ServiceSubset(version: "v1", addresses: ["240.240.3.1", "fd77:6566:7400::301"])])

    package static let workload = WorkloadEntry(
        name: "reviews", namespace: "default", account: "reviews", identity: "spiffe://shop.example/ns/default/sa/reviews",
        selector: "unit reviews.service", cgroups: ["/system.slice/reviews.service"], services: ["reviews.default"], certificate: "valid")

    package static let capture = CaptureEntry(
        kind: .unit, selector: "reviews.service", workload: "reviews", namespace: "default", account: "reviews", origin: .configuration,
        state: .captured,
        cgroups: ["/system.slice/reviews.service"])

    package static let connections = [
        Connection(
            direction: "outbound", end: nil, source: "192.0.2.1:41000", sourceIdentity: "spiffe://shop.example/ns/default/sa/productpage",
            workload: "productpage", destination: "240.240.17.4:9080", endpoint: "192.0.2.2:9080",
            destinationIdentity: "spiffe://shop.example/ns/default/sa/reviews", service: "reviews.default", node: "b", security: "mutual_tls",
            bytesSent: 312, bytesReceived: 5_242_880, durationMilliseconds: 1250, attempts: 1),
        Connection(
            direction: "outbound", end: "connect_refused", hint: "the application did not accept the connection; is it listening?",
            source: "192.0.2.1:41002", sourceIdentity: "spiffe://shop.example/ns/default/sa/productpage", workload: "productpage",
            destination: "240.240.17.5:9080", endpoint: "", destinationIdentity: "", service: "ratings.default", node: "", security: "none",
            bytesSent: 0,
            bytesReceived: 0, durationMilliseconds: 3, attempts: 2),
    ]

    package static let certificates = [
        CertificateEntry(
            kind: .root, identity: "spiffe://shop.example", state: .valid, notAfter: "2036-01-01T00:00:00.000Z", expiresInSeconds: 315_360_000,
            renewsInSeconds: nil, fingerprint: String(repeating: "ab", count: 32)),
        CertificateEntry(
            kind: .workload, identity: "spiffe://shop.example/ns/default/sa/reviews", state: .pending, problem: "the authority does not answer",
            notAfter: nil, expiresInSeconds: nil, renewsInSeconds: nil, fingerprint: ""),
    ]
}
