import Netfilter

/// Chains and rules of `inet weft`.
struct RedirectChains {
    private let settings: CaptureSettings
    private let words: RuleWords
    let table: NFTable
    let sets: CaptureSets
    private let cgroups: NFSet
    private let endpointsV4: NFSet
    private let endpointsV6: NFSet
    private let mark: NFChain
    private let output: NFChain
    private let dns: NFChain
    private let capture: NFChain
    private let prerouting: NFChain

    init(_ settings: CaptureSettings) {
        self.settings = settings
        words = RuleWords(settings: settings)
        // The kernel removes an owned table when the agent's socket closes: a dead agent redirects nothing.
        table = NFTable(name: KernelNames.table, flags: .owner)
        cgroups = table.set(KernelNames.cgroupSet, key: .cgroup)
        endpointsV4 = table.set(CaptureSets.endpointsV4, key: .ipv4AndPort)
        endpointsV6 = table.set(CaptureSets.endpointsV6, key: .ipv6AndPort)
        sets = CaptureSets(table, own: [cgroups, endpointsV4, endpointsV6])
        mark = table.baseChain("mark", .route, hook: .output, priority: -150)
        output = table.baseChain("output", .nat, hook: .output, priority: -100)
        dns = table.chain("dns")
        capture = table.chain("capture")
        prerouting = table.baseChain("prerouting", .nat, hook: .prerouting, priority: -100)
    }

    var all: [NFChain] { [dns, capture, mark, output, prerouting] }

    func rules() -> [NFRule] { markRules() + outputRules() + dnsRules() + captureRules() + preroutingRules() }

    /// A flow with a client's source address: its answers would leave for the client, so they get the agent's mark and are routed again, to here.
    private func markRules() -> [NFRule] {
        let remember = NFClause.setConntrackMark(settings.spoofedMark, mask: settings.markMask)
        let restore = NFClause.setMark(settings.spoofedMark, mask: settings.markMask)
        return [
            mark.rule("remember spoofed flows", words.spoofedMark, remember, .return),
            mark.rule(
                "lead their answers back", .conntrackMark(settings.spoofedMark, mask: settings.markMask), .conntrackDirection(.reply), restore),
        ]
    }

    private func outputRules() -> [NFRule] {
        var rules = [
            output.rule("own packets", words.ownMark, .return),
            output.rule("own spoofed packets", words.spoofedMark, .return),
        ]
        if settings.captureDNS {
            rules += [
                output.rule("dns", .udp, .destinationPort(53), .jump(dns)),
                output.rule("dns over tcp", RuleWords.opening, .destinationPort(53), .jump(dns)),
            ]
        }
        rules += [
            output.rule("connections that exist are left alone", RuleWords.notOpening, .return),
            // Nothing but the proxy answers there, so no exclusion may let these through.
            output.rule("virtual addresses", .destination(RuleWords.virtualV4), .goto(capture)),
            output.rule("virtual addresses, IPv6", .destination(RuleWords.virtualV6), .goto(capture)),
            output.rule("excluded ports", .tcp, .destinationPort(in: sets.excludedPorts), .return),
            output.rule("excluded networks", .destination(in: sets.excludedV4), .return),
            output.rule("excluded networks, IPv6", .destination(in: sets.excludedV6), .return),
        ]
        if settings.captureLoopback {
            rules += [settings.outboundPort, settings.inboundPort, settings.dnsPort].map {
                output.rule("no loop", .tcp, .destinationPort($0), .destinationIsLocal(), .return)
            }
        } else {
            rules.append(output.rule("this host", .destinationIsLocal(), .return))
        }
        rules.append(output.rule("captured cgroups", .goto(capture)))
        return rules
    }

    private func dnsRules() -> [NFRule] {
        guard settings.captureDNS else { return [] }
        return RuleWords.levels.flatMap { level in
            [NFClause.udp, .tcp].map { transport in
                dns.rule("level \(level)", .cgroup(level: level, in: cgroups), transport, .redirect(to: settings.dnsPort))
            }
        }
    }

    private func captureRules() -> [NFRule] {
        RuleWords.levels.map { level in
            capture.rule("level \(level)", .cgroup(level: level, in: cgroups), .tcp, .redirect(to: settings.outboundPort))
        }
    }

    private func preroutingRules() -> [NFRule] {
        [
            prerouting.rule("own packets", words.ownMark, .return),
            prerouting.rule("own spoofed packets", words.spoofedMark, .return),
            prerouting.rule("connections that exist are left alone", RuleWords.notOpening, .return),
            prerouting.rule("local endpoints", .tcp, .destinationAndPort(in: endpointsV4), .redirect(to: settings.inboundPort)),
            prerouting.rule("local endpoints, IPv6", .tcp, .destinationAndPort(in: endpointsV6), .redirect(to: settings.inboundPort)),
        ]
    }
}
