import Capture
import Catalog
import Identity
import ManagementAPI
import Membership
import MeshModel
import Naming
import Netfilter
import Platform
import Proxy
import Reactor
import Resources
import SWIM
import Telemetry
import Traffic

/// Prometheus metrics: all names begin with `weft_`, units are base units, counters end in `_total`.
extension AgentAPI {
    @Control
    func metrics() async -> String {
        var text = PrometheusText()
        text.family("weft_build_info", .gauge, help: "The agent's version.", [([("version", WeftVersion.current)], 1)])
        text.single("weft_start_time_seconds", .gauge, help: "When the agent started, in seconds since 1970.", Double(agent.started.seconds))
        text.single("weft_ready", .gauge, help: "1 when the node is a member and its capture is in force (or switched off).", agent.mesh?.isComplete == true ? 1 : 0)
        text.family(
            "weft_certificate_expiry_timestamp_seconds", .gauge, help: "When a certificate ends, in seconds since 1970.",
            agent.identity.certificates.compactMap { status in status.notAfter.map { ([("identity", status.identity.description)], Double($0.seconds)) } })
        if let usage = try? Conntrack().usage() {
            text.single("weft_conntrack_entries", .gauge, help: "Connections in the kernel's table, of the whole host.", Double(usage.count))
            text.single("weft_conntrack_entries_limit", .gauge, help: "What the kernel's table can hold.", Double(usage.maximum))
        }
        guard let mesh = agent.mesh else { return text.text }
        proxyMetrics(await mesh.proxy.statistics(), mesh, &text)
        namespaceMetrics(mesh.proxy.tenants.figures(), &text)
        membershipMetrics(mesh, &text)
        namingMetrics(mesh, &text)
        resourceMetrics(mesh, &text)
        return text.text
    }

    @Control
    private func resourceMetrics(_ mesh: Mesh, _ text: inout PrometheusText) {
        let (stored, counters) = (mesh.resources.stored, mesh.resources.counters)
        text.single("weft_resources", .gauge, help: "Resources, deleted ones that are remembered included.", Double(stored.resources))
        text.single("weft_resources_bytes", .gauge, help: "Bytes of all resources.", Double(stored.bytes))
        text.single("weft_resources_invalid", .gauge, help: "Resources whose newest version is not understood, and not in force.", Double(stored.invalid))
        text.single("weft_resources_settled", .gauge, help: "1 when the node knows what was deleted lately.", mesh.resources.isSettled ? 1 : 0)
        text.single("weft_resource_writes_taken_total", .counter, help: "Writings of resources taken from other nodes.", Double(counters.taken))
        text.single("weft_resource_writes_concurrent_total", .counter, help: "Writings over what their author had not seen.", Double(counters.concurrent))
        text.single(
            "weft_resources_dropped_total", .counter, help: "Resources given up because a node that was not away did not know them.", Double(counters.dropped))
        text.single("weft_resource_events_untold_total", .counter, help: "Events about resources that came too fast for the journal.", Double(counters.untold))
        text.family("weft_resource_writes_refused_total", .counter, help: "Writings of resources that were refused, by reason.", Self.byReason(counters.refused))
    }

    @Control
    private func proxyMetrics(_ workers: [WorkerStatistics], _ mesh: Mesh, _ text: inout PrometheusText) {
        var flows: [FlowLabels: FlowCounters] = [:]
        var ends = [UInt64](repeating: 0, count: FlowEnd.allCases.count)
        var handshakes: [String: UInt64] = [:]
        var floods: [String: UInt64] = [:]
        for worker in workers {
            for (labels, counters) in worker.flows {
                flows[labels, default: FlowCounters()].opened += counters.opened
                flows[labels, default: FlowCounters()].closed += counters.closed
                flows[labels, default: FlowCounters()].bytesSent += counters.bytesSent
                flows[labels, default: FlowCounters()].bytesReceived += counters.bytesReceived
            }
            for (index, count) in worker.ends.enumerated() { ends[index] += count }
            handshakes.merge(worker.handshakeFailures, uniquingKeysWith: +)
            floods.merge(worker.floods, uniquingKeysWith: +)
        }
        let labelled = flows.map { labels, counters in
            (
                [
                    ("direction", labels.direction.word), ("security", labels.security.word), ("source", mesh.names[labels.sourceIdentity]),
                    ("destination", mesh.names[labels.destinationIdentity]), ("service", mesh.names[labels.service]),
                ], counters
            )
        }.sorted { "\($0.0)" < "\($1.0)" }
        text.family("weft_flows_opened_total", .counter, help: "Flows that were opened.", labelled.map { ($0.0, Double($0.1.opened)) })
        text.family("weft_flows_closed_total", .counter, help: "Flows that have ended.", labelled.map { ($0.0, Double($0.1.closed)) })
        text.family("weft_flow_sent_bytes_total", .counter, help: "Bytes from callers to endpoints.", labelled.map { ($0.0, Double($0.1.bytesSent)) })
        text.family("weft_flow_received_bytes_total", .counter, help: "Bytes from endpoints to callers.", labelled.map { ($0.0, Double($0.1.bytesReceived)) })
        text.family("weft_flow_ends_total", .counter, help: "Ended flows by reason.", FlowEnd.allCases.map { ([("reason", $0.code)], Double(ends[Int($0.rawValue)])) })
        text.family("weft_flows", .gauge, help: "Open flows.", workers.map { ([("worker", "\($0.worker)")], Double($0.liveFlows)) })
        text.family("weft_tunnels", .gauge, help: "Open tunnels.", workers.map { ([("worker", "\($0.worker)")], Double($0.liveTunnels)) })
        text.single("weft_tunnels_opened_total", .counter, help: "Tunnels that were opened, in both directions.", Double(workers.reduce(0) { $0 + $1.tunnelsOpened }))
        text.family("weft_tunnel_handshake_failures_total", .counter, help: "TLS handshakes that failed, by reason.", Self.byReason(handshakes))
        text.family("weft_tunnel_refused_peers_total", .counter, help: "Tunnels closed because the peer broke TLS or HTTP/2 or went over a bound, by reason.", Self.byReason(floods))
        text.single("weft_buffered_bytes", .gauge, help: "Bytes held for slow readers.", Double(workers.reduce(0) { $0 + $1.bufferedBytes }))
        text.single("weft_accept_pauses_total", .counter, help: "Times that accepting paused because descriptors ran out.", Double(workers.reduce(0) { $0 + $1.acceptsPaused }))
        text.single(
            "weft_accept_handovers_total", .counter, help: "Accepted connections that were given to a worker with less to do.",
            Double(workers.reduce(0) { $0 + $1.handovers }))
        text.single(
            "weft_records_dropped_total", .counter, help: "Access log records that were dropped.",
            Double(workers.reduce(0) { $0 + $1.reportsDropped } + (mesh.accessLog?.dropped ?? 0)))
        text.family("weft_problems_total", .counter, help: "Problems that the data path told, by kind.", mesh.problems.sorted { $0.key < $1.key }.map { ([("code", $0.key)], Double($0.value.count)) })
        let capture = mesh.capture.counters
        text.single("weft_capture_transactions_total", .counter, help: "Changes of the kernel's tables.", Double(capture.transactions))
        text.single("weft_capture_repairs_total", .counter, help: "Times that others' changes of Weft's rules were put back.", Double(capture.repairs))
        text.single("weft_capture_failures_total", .counter, help: "Changes that the kernel refused.", Double(capture.failures))
    }

    private func namespaceMetrics(_ namespaces: [Tenants.Figures], _ text: inout PrometheusText) {
        let namespaces = namespaces.sorted { $0.namespace < $1.namespace }
        text.family("weft_namespace_flows", .gauge, help: "Open flows that count against a namespace's limits.", namespaces.map { ([("namespace", $0.namespace)], Double($0.flows)) })
        text.family(
            "weft_namespace_memory_bytes", .gauge, help: "Bytes that a namespace is charged with: those that wait for its slow readers, and windows of its streams.",
            namespaces.map { ([("namespace", $0.namespace)], Double($0.memory)) })
        text.family(
            "weft_namespace_refused_total", .counter, help: "Flows that were refused or cut at a limit of their namespace, by the limit.",
            namespaces.flatMap { one in
                NamespaceRefusal.allCases.map { ([("namespace", one.namespace), ("reason", $0.word)], Double(one.refused[$0] ?? 0)) }
            })
    }

    @Control
    private func keyMetrics(_ mesh: Mesh, _ text: inout PrometheusText) {
        let counters = mesh.keys.counters
        text.single("weft_gossip_keys", .gauge, help: "Gossip keys in use.", Double(mesh.gossip.keyring.keys.count))
        text.single(
            "weft_gossip_keys_revision", .gauge, help: "Orders about gossip keys that this node knows of; the same on all nodes.",
            Double(mesh.credentials.gossip.revision))
        text.single("weft_gossip_keys_taken_total", .counter, help: "Gossip keys taken over from other nodes.", Double(counters.taken))
        text.single("weft_gossip_keys_refused_total", .counter, help: "Gossip keys of other nodes that were refused.", Double(counters.refused))
        text.family(
            "weft_gossip_key_orders_total", .counter, help: "Orders about gossip keys that were given here, by result.",
            [("done", counters.ordersDone), ("partly", counters.ordersPartly), ("refused", counters.ordersRefused)].map { ([("result", $0.0)], Double($0.1)) })
    }

    @Control
    private func membershipMetrics(_ mesh: Mesh, _ text: inout PrometheusText) {
        let members = Dictionary(grouping: mesh.gossip.members(), by: \.state)
        text.family(
            "weft_members", .gauge, help: "Members of the gossip pool by state.",
            [Liveness.alive, .suspect, .dead, .left].map { ([("state", $0.rawValue)], Double(members[$0]?.count ?? 0)) })
        let gossip = mesh.gossip.counters
        text.family(
            "weft_gossip_refused_total", .counter, help: "Gossip messages that were refused, by reason.",
            gossip.core.refused.map { ([("reason", $0.reason.rawValue)], Double($0.count)) })
        text.single(
            "weft_gossip_lost_total", .counter, help: "Gossip datagrams that the kernel threw away because the agent had not read them in time.",
            Double(gossip.datagramsLost))
        text.single(
            "weft_gossip_streams_refused_total", .counter, help: "Gossip streams that were turned away because too many were open, or descriptors ran out.",
            Double(gossip.streamsRefused))
        text.single("weft_gossip_streams_timed_out_total", .counter, help: "Gossip streams that were not finished in time.", Double(gossip.streamsTimedOut))
        text.single("weft_gossip_contests_total", .counter, help: "Times that two nodes of one name were told of.", Double(gossip.core.contests))
        text.single("weft_gossip_send_failures_total", .counter, help: "Gossip datagrams that could not be sent.", Double(gossip.sendFailures))
        keyMetrics(mesh, &text)
        text.single("weft_services", .gauge, help: "Services in the catalog.", Double(mesh.catalog.view.services.count))
        let endpoints = mesh.catalog.view.services.flatMap(\.endpoints)
        text.family(
            "weft_endpoints", .gauge, help: "Endpoints in the catalog.",
            [([("usable", "true")], Double(endpoints.filter(\.usable).count)), ([("usable", "false")], Double(endpoints.filter { !$0.usable }.count))])
        let checks = mesh.catalog.healthCounters
        text.family(
            "weft_health_checks_total", .counter, help: "Health checks of this node's endpoints by kind and result.",
            checks.kinds.sorted { $0.key < $1.key }.flatMap { kind, tally in
                [([("kind", kind), ("result", "passed")], Double(tally.passed)), ([("kind", kind), ("result", "failed")], Double(tally.failed))]
            })
        text.single(
            "weft_health_checks_postponed_total", .counter, help: "Health checks that were put off because too many were under way.",
            Double(checks.postponed))
        text.family(
            "weft_catalog_refused_total", .counter, help: "Catalog records that were refused, by reason.",
            Self.byReason(mesh.catalog.counters.refused))
        text.single(
            "weft_catalog_comparisons_ignored_total", .counter, help: "Messages of peers that compare catalogs and were ignored because they were too many.",
            Double(mesh.catalog.counters.questionsIgnored))
    }

    @Control
    private func namingMetrics(_ mesh: Mesh, _ text: inout PrometheusText) {
        let dns = mesh.dns.counters
        text.family(
            "weft_dns_queries_total", .counter, help: "DNS queries by transport.", [([("transport", "udp")], Double(dns.udpQueries)), ([("transport", "tcp")], Double(dns.tcpQueries))])
        text.family(
            "weft_dns_answers_total", .counter, help: "What became of DNS queries.",
            [
                ([("result", "answered")], Double(dns.answered)), ([("result", "no_data")], Double(dns.noData)), ([("result", "name_error")], Double(dns.nameErrors)),
                ([("result", "forwarded")], Double(dns.forwarded)), ([("result", "forward_failed")], Double(dns.forwardFailed)),
                ([("result", "forward_full")], Double(dns.forwardFull)), ([("result", "malformed")], Double(dns.malformed)), ([("result", "refused")], Double(dns.refused)),
            ])
        text.single(
            "weft_dns_resolver_retries_total", .counter, help: "Forwarded queries that went to another resolver, or again to the only one.",
            Double(dns.forwardRetries))
        text.single("weft_dns_resolver_timeouts_total", .counter, help: "Forwarded queries that a resolver did not answer in time.", Double(dns.forwardTimeouts))
        text.single("weft_dns_resolver_garbage_total", .counter, help: "Answers of resolvers that were none to what was asked, and were dropped.", Double(dns.garbage))
        text.single("weft_dns_connections_refused_total", .counter, help: "DNS connections that were closed at once because too many were open.", Double(dns.tcpRefused))
        text.single("weft_dns_unknown_callers_total", .counter, help: "Queries whose caller could not be found; they get fully qualified names only.", Double(dns.unknownCallers))
    }

    private static func byReason(_ counts: [String: UInt64]) -> [(labels: [(String, String)], value: Double)] {
        counts.sorted { $0.key < $1.key }.map { ([("reason", $0.key)], Double($0.value)) }
    }
}
