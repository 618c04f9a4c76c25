import Netfilter
import Platform

/// Chains and rules of `inet weft`.
struct RedirectChains {
    private let settings: CaptureSettings
    private let words: RuleWords
    let table: NFTable
    let sets: CaptureSets
    private let cgroups: NFSet
    private let endpointsV4: NFSet
    private let endpointsV6: NFSet
    private let answers: AnswerChain
    private let output: NFChain
    private let dns: NFChain
    private let capture: NFChain
    private let lead: NFChain
    private let hold: NFChain
    private let prerouting: NFChain
    let timeouts: [NFConntrackTimeouts]

    /// - Parameter holds: see `KernelProgram.holdsConnections`.
    init(_ settings: CaptureSettings, holds: Bool) {
        self.settings = settings
        words = RuleWords(settings: settings)
        // The kernel removes an owned table when the agent's socket closes: a dead agent redirects nothing.
        table = NFTable(name: KernelNames.table, flags: .owner)
        cgroups = table.set(KernelNames.cgroupSet, key: .cgroup)
        endpointsV4 = table.set(CaptureSets.endpointsV4, key: .ipv4AndPort)
        endpointsV6 = table.set(CaptureSets.endpointsV6, key: .ipv6AndPort)
        sets = CaptureSets(table, own: [cgroups, endpointsV4, endpointsV6])
        answers = AnswerChain(words, in: table)
        output = table.baseChain("output", .nat, hook: .output, priority: -100)
        dns = table.chain("dns")
        capture = table.chain("capture")
        lead = table.chain("lead")
        hold = table.chain("hold")
        // After destination NAT (-100), so that an endpoint is known by the address that it has in the end, and before the host's own filter (0).
        prerouting = table.baseChain("prerouting", .filter, hook: .prerouting, priority: -99)
        timeouts = holds ? [Self.patient(table, "hold4", .ipv4, settings.holdTime), Self.patient(table, "hold6", .ipv6, settings.holdTime)] : []
    }

    /// These connections do not leave the host, so that nothing late needs the long TIME_WAIT: ports of the proxy's one address are free again soon.
    private static func patient(_ table: NFTable, _ name: String, _ family: NFFamily, _ time: Duration) -> NFConntrackTimeouts {
        let seconds = UInt32(clamping: time.components.seconds)
        return NFConntrackTimeouts(
            table: table.id, name: name, family: family, [.established: seconds, .finWait: seconds, .closeWait: seconds, .timeWait: 5])
    }

    var all: [NFChain] { (timeouts.isEmpty ? [] : [hold]) + [dns, lead, capture, answers.chain, output, prerouting] }

    func rules() -> [NFRule] {
        answers.rules(hold: timeouts.isEmpty ? nil : hold) + outputRules() + dnsRules() + captureRules() + leadRules() + holdRules() + preroutingRules()
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
            capture.rule("level \(level)", .cgroup(level: level, in: cgroups), .goto(lead))
        }
    }

    private func leadRules() -> [NFRule] {
        (timeouts.isEmpty ? [] : [lead.rule("remember quiet flows", .jump(hold))])
            + [lead.rule("captured", .tcp, .redirect(to: settings.outboundPort))]
    }

    private func holdRules() -> [NFRule] { timeouts.map { hold.rule($0.name, .timeouts($0)) } }

    /// For every packet and not only for openings, or connections that begin with a SYN cookie are lost. Those that exist are left alone all the same:
    /// their own socket is found first. What only passes through this host, to an endpoint behind it, is not for the agent: led to a socket it would be dropped
    /// where it is forwarded.
    private func preroutingRules() -> [NFRule] {
        func listener(_ address: IPAddress) -> NFClause { .tproxy(to: SocketAddress(address, port: settings.inboundPort)) }
        return [
            prerouting.rule("this host's own packets", .inputInterface("lo"), .return),
            // With VRFs what comes back to this host does not come over lo.
            prerouting.rule("own packets", words.ownMark, .return),
            prerouting.rule("own spoofed packets", words.spoofedMark, .return),
            prerouting.rule("excluded ports", .tcp, .destinationPort(in: sets.excludedPorts), .return),
            prerouting.rule("local endpoints", .tcp, .destinationAndPort(in: endpointsV4), .destinationIsLocal(), listener(.loopbackV4), .accept),
            prerouting.rule("local endpoints, IPv6", .tcp, .destinationAndPort(in: endpointsV6), .destinationIsLocal(), listener(.loopbackV6), .accept),
        ]
    }
}
