import MeshModel
import Platform
import YAML

extension AgentConfiguration {
    /// The effective configuration as YAML, every key written out. `parse` reads it back to an equal value.
    package func rendered() -> String { output.rendered() }

    var output: Output {
        .section(
            ("node", node.output), ("state", .text(state)), ("runtime", .text(runtime)), ("services", .text(services)), ("workers", .number(workers)),
            ("workloads", .list(workloads.map(\.output))), ("listeners", .list(listeners.map(\.output))), ("capture", capture.output), ("ports", ports.output),
            ("tunnel", .section(("address", .text("\(tunnel.address)")))), ("balancing", .section(("preferLocal", .bool(balancing.preferLocal)))), ("gossip", gossip.output), ("dns", dns.output),
            (
                "management",
                .section(("socket", .text(management.socket)), ("group", .text(management.group)), ("adminGroup", .text(management.adminGroup)))
            ),
            ("metrics", .section(("address", .text("\(metrics.address)")))), ("accessLog", accessLog.output), ("limits", limits.output),
            ("timeouts", timeouts.output), ("certificates", .section(("lifetime", .duration(certificates.lifetime)))),
            ("log", .section(("level", .text(log.level.rawValue)), ("format", .text(log.format.rawValue)))))
    }
}

extension NodeSection {
    fileprivate var output: Output {
        .section(
            ("name", .text(name)), ("address", address.map { .text("\($0)") }), ("addressV6", addressV6.map { .text("\($0)") }),
            ("locality", .section(("region", .text(locality.region)), ("zone", .text(locality.zone)))))
    }
}

extension Workload {
    fileprivate var output: Output {
        let (key, text) =
            switch selector {
            case .unit(let name): ("unit", name)
            case .slice(let name): ("slice", name)
            case .cgroup(let path): ("cgroup", path)
            }
        return .section(
            ("name", .text(name)), ("namespace", .text(namespace)), ("account", .text(account)), (key, .text(text)),
            ("allowDelegated", .bool(allowDelegated)))
    }
}

extension ListenerDeclaration {
    fileprivate var output: Output {
        .section(("address", .text(address.description)), ("to", .text(destination.description)), ("workload", .text(workload)))
    }
}

extension CaptureSection {
    fileprivate var output: Output {
        .section(
            ("enabled", .bool(enabled)), ("onAgentExit", .section(("outbound", .text(onExitOutbound.rawValue)), ("inbound", .text(onExitInbound.rawValue)))),
            (
                "exclude",
                .section(("ports", .list(excludedPorts.map { .number($0) })), ("networks", .list(excludedNetworks.map { .text($0.description) })))
            ),
            ("loopback", .bool(loopback)), ("dns", .bool(dns)),
            (
                "marks",
                .section(
                    ("mask", .plain(Hex.text(marks.mask))), ("excluded", .plain(Hex.text(marks.excluded))),
                    ("spoofed", .plain(Hex.text(marks.spoofed))))
            ),
            ("routingTable", .number(routingTable)), ("rulePriority", .number(rulePriority)))
    }
}

extension PortsSection {
    fileprivate var output: Output {
        .section(
            ("outbound", .number(outbound)), ("inbound", .number(inbound)), ("tunnel", .number(tunnel)), ("dns", .number(dns)),
            ("metrics", .number(metrics)),
            ("gossip", .number(gossip)))
    }
}

extension GossipSection {
    fileprivate var output: Output {
        .section(
            ("bind", .text("\(bind)")), ("advertise", advertise.map { .text($0.description) }), ("seeds", .list(seeds.map { .text($0.description) })),
            ("timers", .text(timers.rawValue)), ("label", .text(label)))
    }
}

extension DNSSection {
    fileprivate var output: Output { .section(("upstreams", .list(upstreams.map { .text($0.description) })), ("ttl", .duration(ttl))) }
}

extension AccessLogSection {
    fileprivate var output: Output {
        let path =
            switch destination {
            case .stdout: "stdout"
            case .file(let path): path
            }
        return .section(("enabled", .bool(enabled)), ("path", .text(path)), ("format", .text(format.rawValue)))
    }
}

extension LimitsSection {
    fileprivate var output: Output {
        .section(
            ("flows", .number(flows)), ("namespace", .section(namespace.output)), ("namespaces", .list(namespaces.map(\.output))), ("pendingFlows", .number(pendingFlows)), ("tunnelsPerPeer", .number(tunnelsPerPeer)),
            ("streamsPerTunnel", .number(streamsPerTunnel)), ("streamWindow", .plain(SizeText.format(streamWindow))),
            ("tunnelWindow", .plain(SizeText.format(tunnelWindow))), ("dnsQueries", .number(dnsQueries)), ("dnsConnections", .number(dnsConnections)))
    }
}

extension NamespaceLimitsSection {
    fileprivate var output: [(String, Output?)] {
        [("flows", .number(flows)), ("newFlowsPerSecond", .number(newFlowsPerSecond)), ("memory", .plain(SizeText.format(memory)))]
    }
}

extension NamedNamespaceLimits {
    fileprivate var output: Output { .section([("name", .text(name))] + limits.output) }
}

extension TimeoutsSection {
    fileprivate var output: Output {
        .section(
            ("connect", .duration(connect)), ("handshake", .duration(handshake)), ("idle", .duration(idle)), ("halfClosed", .duration(halfClosed)),
            ("drain", .duration(drain)), ("hold", .duration(hold)), ("tunnelIdle", .duration(tunnelIdle)))
    }
}

extension Output {
    /// Pairs without a value are left out.
    static func section(_ pairs: (String, Output?)...) -> Output { section(pairs) }
    static func section(_ pairs: [(String, Output?)]) -> Output {
        .mapping(pairs.compactMap { key, value in value.map { Pair(key, $0) } })
    }
    static func number(_ number: some FixedWidthInteger) -> Output { .plain(String(number)) }
    static func bool(_ value: Bool) -> Output { .plain(value ? "true" : "false") }
    static func duration(_ duration: Duration) -> Output { .plain(DurationText.format(duration)) }
}
