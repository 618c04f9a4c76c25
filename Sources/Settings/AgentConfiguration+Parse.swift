import MeshModel
import Platform
import YAML

extension AgentConfiguration {
    /// Reads `weft.yaml`. Throws everything that is wrong at once; an empty file is a configuration of defaults.
    ///
    /// - Parameters:
    ///   - path: for messages.
    ///   - hostname: the default of `node.name`.
    package static func parse(_ text: String, path: String, hostname: String = HostName.current) throws(ConfigurationErrors) -> AgentConfiguration {
        let diagnostics = Diagnostics(path: path)
        let documents = YAMLParser.documents(in: text, diagnostics)
        if documents.count > 1 {
            diagnostics.report(documents[1].mark, "one document only; a second `---` starts another, which would be ignored")
        }
        let root = documents.first ?? Node(.mapping([]), mark: .start)
        // After a syntax error nothing was read, and complaints about missing keys would only hide it.
        guard !documents.isEmpty || diagnostics.isEmpty else { throw ConfigurationErrors(diagnostics) }
        let configuration = MappingDecoder.decode(root, diagnostics) { decode($0, hostname: hostname) }
        guard diagnostics.isEmpty else { throw ConfigurationErrors(diagnostics) }
        return configuration
    }

    /// Reads the file at `path`.
    package static func load(path: String, hostname: String = HostName.current) throws(ConfigurationErrors) -> AgentConfiguration {
        try parse(try TextFile.read(path), path: path, hostname: hostname)
    }

    private static func decode(_ root: MappingDecoder, hostname: String) -> AgentConfiguration {
        let base = AgentConfiguration(nodeName: hostname)
        var result = base
        result.node = root.section("node") { NodeSection.decode($0, hostname: hostname) }
        result.state = root.value("state", .absolutePath, default: base.state)
        result.runtime = root.value("runtime", .absolutePath, default: base.runtime)
        result.services = root.value("services", .absolutePath, default: base.services)
        result.workers = root.value("workers", .integer("a number from 0 (one for every core) to 256", 0...256), default: base.workers)
        result.workloads = root.workloads("workloads")
        result.listeners = root.listeners("listeners", workloads: result.workloads)
        result.capture = root.section("capture", CaptureSection.decode)
        result.ports = root.section("ports", PortsSection.decode)
        result.tunnel = root.section("tunnel") { TunnelSection(address: $0.value("address", .address, default: base.tunnel.address)) }
        result.balancing = root.section("balancing") { BalancingSection(preferLocal: $0.value("preferLocal", .bool, default: base.balancing.preferLocal)) }
        result.gossip = root.section("gossip") { GossipSection.decode($0, port: result.ports.gossip) }
        result.dns = root.section("dns", DNSSection.decode)
        result.management = root.section("management") { ManagementSection.decode($0, runtime: result.runtime) }
        result.metrics = root.section("metrics") { MetricsSection(address: $0.value("address", .address, default: base.metrics.address)) }
        result.accessLog = root.section("accessLog", AccessLogSection.decode)
        result.limits = root.section("limits", LimitsSection.decode)
        result.timeouts = root.section("timeouts", TimeoutsSection.decode)
        result.certificates = root.section("certificates") { section in
            CertificatesSection(
                lifetime: section.value("lifetime", .duration(.seconds(60)...(.seconds(30 * 86_400))), default: base.certificates.lifetime))
        }
        result.log = root.section("log") { section in
            LogSection(
                level: section.value("level", .choice(), default: base.log.level),
                format: section.value("format", .choice(), default: base.log.format))
        }
        checkAcross(result, root)
        return result
    }

    /// What only several sections together can show.
    private static func checkAcross(_ result: AgentConfiguration, _ root: MappingDecoder) {
        if result.management.socket.utf8.count > 107 {
            root.report(
                "runtime",
                "makes the management socket's path \(result.management.socket.utf8.count) bytes long, of at most 107; set `management.socket`"
            )
        }
        let own = SocketAddress(.loopbackV4, port: result.ports.dns)
        let ownV6 = SocketAddress(.loopbackV6, port: result.ports.dns)
        if result.dns.upstreams.contains(where: { $0 == own || $0 == ownV6 }) {
            root.report("dns", "has Weft's own DNS port among its upstreams; names would be asked in a circle")
        }
        if let advertise = result.gossip.advertise, !result.gossip.bind.isUnspecified, result.gossip.bind.family != advertise.ip.family {
            root.report("gossip", "advertises \(advertise.ip), but `gossip.bind` (\(result.gossip.bind)) is of the other family")
        }
    }
}

extension NodeSection {
    fileprivate static func decode(_ section: MappingDecoder, hostname: String) -> NodeSection {
        var result = NodeSection(name: section.value("name", .segment, default: hostname))
        if !section.has("name"), !SPIFFEIDSegment.isValid(hostname) {
            section.report("name", "is not set, and the host's name \"\(hostname)\" cannot stand for it; set it (letters, digits, `.`, `-` and `_`)")
        }
        result.address = section.optional("address", .unicastV4)
        result.addressV6 = section.optional("addressV6", .unicastV6)
        result.locality = section.section("locality") {
            Locality(region: $0.value("region", .labelText, default: ""), zone: $0.value("zone", .labelText, default: ""))
        }
        if result.locality.region.isEmpty, !result.locality.zone.isEmpty {
            section.report("locality", "has a zone without its region")
        }
        return result
    }
}

extension CaptureSection {
    fileprivate static func decode(_ section: MappingDecoder) -> CaptureSection {
        var result = CaptureSection()
        result.enabled = section.value("enabled", .bool, default: result.enabled)
        section.section("onAgentExit") {
            result.onExitOutbound = $0.value("outbound", .choice(), default: result.onExitOutbound)
            result.onExitInbound = $0.value("inbound", .choice(), default: result.onExitInbound)
        }
        section.section("exclude") {
            result.excludedPorts = $0.list("ports", .port, default: result.excludedPorts)
            result.excludedNetworks = $0.list("networks", .network)
        }
        result.loopback = section.value("loopback", .bool, default: result.loopback)
        result.dns = section.value("dns", .bool, default: result.dns)
        result.marks = section.section("marks", MarksSection.decode)
        let table = "a routing table from 1 to 4294967295, but not 100 (Istio's) or 253–255 (the kernel's)"
        result.routingTable = section.value(
            "routingTable", ScalarType<UInt32>.integer(table, 1...UInt32.max).checked(table) { $0 != 100 && !(253...255).contains($0) },
            default: result.routingTable)
        result.rulePriority = section.value(
            "rulePriority", .integer("a priority from 1 to 32765 (before the main table)", 1...32765), default: result.rulePriority)
        return result
    }
}

extension MarksSection {
    fileprivate static func decode(_ section: MappingDecoder) -> MarksSection {
        var result = MarksSection()
        result.mask = section.value("mask", .mark, default: result.mask)
        result.excluded = section.value("excluded", .mark, default: result.excluded)
        result.spoofed = section.value("spoofed", .mark, default: result.spoofed)
        for (key, mark) in [("excluded", result.excluded), ("spoofed", result.spoofed)] where mark & ~result.mask != 0 {
            section.report(key, "(\(Hex.text(mark))) has bits outside `\(section.path("mask"))` (\(Hex.text(result.mask)))")
        }
        if result.excluded == result.spoofed { section.report("spoofed", "must differ from `\(section.path("excluded"))`") }
        for (key, mark) in [("excluded", result.excluded), ("spoofed", result.spoofed)] where mark == 0x539 || mark == 0x111 {
            section.report(key, "is Istio's mark \(Hex.text(mark)); take another, both can share a host then")
        }
        return result
    }
}

extension PortsSection {
    fileprivate static func decode(_ section: MappingDecoder) -> PortsSection {
        var result = PortsSection()
        result.outbound = section.value("outbound", .port, default: result.outbound)
        result.inbound = section.value("inbound", .port, default: result.inbound)
        result.tunnel = section.value("tunnel", .port, default: result.tunnel)
        result.dns = section.value("dns", .port, default: result.dns)
        result.metrics = section.value("metrics", .port, default: result.metrics)
        result.gossip = section.value("gossip", .port, default: result.gossip)
        var seen: [UInt16: String] = [:]
        let all = [
            ("outbound", result.outbound), ("inbound", result.inbound), ("tunnel", result.tunnel), ("dns", result.dns), ("metrics", result.metrics),
            ("gossip", result.gossip),
        ]
        // The written keys first: a default that collides is told at the key that somebody wrote.
        for (key, port) in all.filter({ !section.has($0.0) }) + all.filter({ section.has($0.0) }) {
            if let other = seen[port] { section.report(key, "is \(port), which `\(section.path(other))` has already") } else { seen[port] = key }
        }
        return result
    }
}

extension GossipSection {
    fileprivate static func decode(_ section: MappingDecoder, port: UInt16) -> GossipSection {
        var result = GossipSection()
        result.bind = section.value("bind", .address, default: result.bind)
        result.advertise = section.optional(
            "advertise",
            ScalarType<SocketAddress>.socketAddress(defaultPort: port).checked(
                "an address of this host that others can reach, with or without a port"
            ) {
                !$0.ip.isUnspecified && !$0.ip.isMulticast
            })
        result.seeds = section.list("seeds", .socketAddress(defaultPort: port))
        result.timers = section.value("timers", .choice(), default: result.timers)
        // memberlist's label is at most 255 bytes (label.go, LabelMaxSize).
        result.label = section.value("label", ScalarType<String>.anyText.checked("a text of at most 255 bytes") { $0.utf8.count <= 255 }, default: "")
        return result
    }
}

extension DNSSection {
    fileprivate static func decode(_ section: MappingDecoder) -> DNSSection {
        var result = DNSSection()
        result.upstreams = section.list("upstreams", .socketAddress(defaultPort: 53))
        let type = ScalarType<Duration>.duration(.zero...(.seconds(5))).checked("whole seconds from 0s to 5s") { $0.components.attoseconds == 0 }
        result.ttl = section.value("ttl", type, default: result.ttl)
        return result
    }
}

extension ManagementSection {
    fileprivate static func decode(_ section: MappingDecoder, runtime: String) -> ManagementSection {
        var result = ManagementSection()
        result.socket = section.value("socket", .socketPath, default: "\(runtime)/weft.sock")
        result.group = section.value("group", .group, default: result.group)
        result.adminGroup = section.value("adminGroup", .group, default: result.adminGroup)
        return result
    }
}

extension AccessLogSection {
    fileprivate static func decode(_ section: MappingDecoder) -> AccessLogSection {
        var result = AccessLogSection()
        result.enabled = section.value("enabled", .bool, default: result.enabled)
        let destination = ScalarType<Destination>("stdout or an absolute path") { text in
            text == "stdout" ? .stdout : text.hasPrefix("/") && !text.hasSuffix("/") ? .file(text) : nil
        }
        result.destination = section.value("path", destination, default: result.destination)
        result.format = section.value("format", .choice(), default: result.format)
        return result
    }
}

extension LimitsSection {
    fileprivate static func decode(_ section: MappingDecoder) -> LimitsSection {
        var result = LimitsSection()
        result.flows = section.value("flows", .integer(16...10_000_000), default: result.flows)
        var every = result.namespace
        every.flows = max(1, result.flows / 2)
        result.namespace = section.section("namespace") { NamespaceLimitsSection.decode($0, defaults: every) }
        result.namespaces = section.namespaceLimits("namespaces", defaults: result.namespace)
        result.pendingFlows = section.value("pendingFlows", .integer(0...1_000_000), default: result.pendingFlows)
        result.tunnelsPerPeer = section.value("tunnelsPerPeer", .integer(1...1024), default: result.tunnelsPerPeer)
        result.streamsPerTunnel = section.value("streamsPerTunnel", .integer(1...65_536), default: result.streamsPerTunnel)
        // Less than HTTP/2's initial window (RFC 9113 section 6.9.2) cannot be advertised before data arrives; 2^31-1 is the protocol's end.
        result.streamWindow = section.value("streamWindow", .size((64 << 10)...(64 << 20)), default: result.streamWindow)
        result.tunnelWindow = section.value("tunnelWindow", .size((64 << 10)...(1 << 30)), default: result.tunnelWindow)
        result.dnsQueries = section.value("dnsQueries", .integer(16...65_536), default: result.dnsQueries)
        result.dnsConnections = section.value("dnsConnections", .integer(1...16_384), default: result.dnsConnections)
        if result.tunnelWindow < result.streamWindow {
            section.report(
                section.has("tunnelWindow") ? "tunnelWindow" : "streamWindow",
                "makes a tunnel's window (\(SizeText.format(result.tunnelWindow))) smaller than a stream's (\(SizeText.format(result.streamWindow)))")
        }
        if result.pendingFlows > result.flows {
            section.report(
                section.has("pendingFlows") ? "pendingFlows" : "flows",
                "makes more flows wait (\(result.pendingFlows)) than there may be (\(result.flows))")
        }
        return result
    }
}

extension TimeoutsSection {
    fileprivate static func decode(_ section: MappingDecoder) -> TimeoutsSection {
        var result = TimeoutsSection()
        let short = ScalarType<Duration>.duration(.milliseconds(10)...(.seconds(300)))
        let long = ScalarType<Duration>.duration(.milliseconds(100)...(.seconds(7 * 86_400)))
        result.connect = section.value("connect", short, default: result.connect)
        result.handshake = section.value("handshake", short, default: result.handshake)
        result.idle = section.value("idle", long, default: result.idle)
        result.halfClosed = section.value("halfClosed", long, default: result.halfClosed)
        result.drain = section.value("drain", .duration(.zero...(.seconds(3600))), default: result.drain)
        result.hold = section.value("hold", .duration(.zero...(.seconds(300))), default: result.hold)
        result.tunnelIdle = section.value("tunnelIdle", long, default: result.tunnelIdle)
        return result
    }
}
