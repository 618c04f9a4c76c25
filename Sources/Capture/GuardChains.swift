import Netfilter
import Platform

/// Chains and rules of `inet weft-guard`. They refuse, and do nothing else: a leftover guard can't lead traffic anywhere.
struct GuardChains {
    private let settings: CaptureSettings
    private let words: RuleWords
    let table: NFTable
    let sets: CaptureSets
    private let blocked: NFSet
    private let strict: NFSet
    private let output: NFChain
    private let input: NFChain
    private let block: NFChain
    private let refuse: NFChain
    /// Empty. The kernel translates addresses only while some nat chain exists: without it, connections that were redirected would hang when the redirects go,
    /// instead of being reset by the agent's end or served until it has drained.
    let translation: NFChain

    private static let loopbackV4 = IPNetwork("127.0.0.0/8")!
    private static let loopbackV6 = IPNetwork("::1/128")!

    init(_ settings: CaptureSettings) {
        self.settings = settings
        words = RuleWords(settings: settings)
        table = NFTable(name: KernelNames.guardTable)
        blocked = table.set(KernelNames.blockedSet, key: .cgroup)
        strict = table.set(CaptureSets.strictPorts, key: .port)
        sets = CaptureSets(table, own: [blocked, strict])
        // After destination NAT (-100), so that redirected packets can be told from others; what was led to the inbound port has its socket by now.
        output = table.baseChain("output", .filter, hook: .output, priority: 0)
        input = table.baseChain("input", .filter, hook: .input, priority: 0)
        block = table.chain("block")
        refuse = table.chain("refuse")
        translation = table.baseChain("translation", .nat, hook: .output, priority: 300)
    }

    var all: [NFChain] { [refuse, block, output, input, translation] }

    func rules() -> [NFRule] { virtualRules() + outputRules() + inputRules() + blockRules() + refuseRules() }

    /// Those that stay while the agent drains: nobody serves new connections to virtual addresses, and nothing else is refused.
    var allWhileDraining: [NFChain] { [refuse, output, translation] }

    func rulesWhileDraining() -> [NFRule] { virtualRules() + refuseRules() }

    private func virtualRules() -> [NFRule] {
        [
            output.rule("connections that exist are left alone", RuleWords.isNotNew, .return),
            // A redirected packet has another destination by now.
            output.rule("virtual addresses without redirect", .destination(RuleWords.virtualV4), .goto(refuse)),
            output.rule("virtual addresses without redirect, IPv6", .destination(RuleWords.virtualV6), .goto(refuse)),
        ]
    }

    private func outputRules() -> [NFRule] {
        var rules = [
            output.rule("own packets", words.ownMark, .return),
            output.rule("own spoofed packets", words.spoofedMark, .return),
            // UDP is not captured while the agent runs, so it is not blocked when it does not.
            output.rule("openings of TCP connections only", RuleWords.notOpening, .return),
            output.rule("redirected", .tcp, .destinationPort(settings.outboundPort), RuleWords.redirected, .return),
            output.rule("redirected dns", .tcp, .destinationPort(settings.dnsPort), RuleWords.redirected, .return),
            output.rule("dns", .tcp, .destinationPort(53), .return),
            output.rule("excluded ports", .tcp, .destinationPort(in: sets.excludedPorts), .return),
            output.rule("excluded networks", .destination(in: sets.excludedV4), .return),
            output.rule("excluded networks, IPv6", .destination(in: sets.excludedV6), .return),
        ]
        if !settings.captureLoopback { rules.append(output.rule("this host", .destinationIsLocal(), .return)) }
        rules.append(output.rule("blocked cgroups", .goto(block)))
        return rules
    }

    private func inputRules() -> [NFRule] {
        var rules = [input.rule("connections that exist are left alone", RuleWords.isNotNew, .return)]
        rules.append(input.rule("the proxy's own ports", .tcp, .destinationPort(settings.outboundPort), RuleWords.notRedirected, .goto(refuse)))
        // What is led there keeps its own address.
        rules += [Self.loopbackV4, Self.loopbackV6].map {
            input.rule("the proxy's own ports", .tcp, .destination($0), .destinationPort(settings.inboundPort), .goto(refuse))
        }
        if settings.captureDNS {
            if let open = settings.openDNSAddress, let network = IPNetwork(open, prefixLength: open.isV4 ? 32 : 128) {
                rules += [NFClause.udp, .tcp].map {
                    input.rule("the mesh's names for the host's resolver", $0, .destination(network), .destinationPort(settings.dnsPort), .return)
                }
            }
            rules += [NFClause.udp, .tcp].map {
                input.rule("the proxy's own ports", $0, .destinationPort(settings.dnsPort), RuleWords.notRedirected, .goto(refuse))
            }
        }
        rules += [
            input.rule("own packets", words.ownMark, .return),
            input.rule("own spoofed packets", words.spoofedMark, .return),
        ]
        if !settings.captureLoopback {
            rules += [
                input.rule("loopback", .destination(Self.loopbackV4), .return),
                input.rule("loopback, IPv6", .destination(Self.loopbackV6), .return),
            ]
        }
        rules.append(input.rule("led to the agent", words.agentSocket, .return))
        rules.append(input.rule("plaintext to ports under STRICT", RuleWords.opening, .destinationPort(in: strict), .goto(refuse)))
        return rules
    }

    private func blockRules() -> [NFRule] {
        RuleWords.levels.map { block.rule("level \($0)", .cgroup(level: $0, in: blocked), .goto(refuse)) }
    }

    private func refuseRules() -> [NFRule] {
        [
            refuse.rule("TCP", .tcp, .reject(.tcpReset)),
            refuse.rule("others", .reject(.portUnreachable)),
        ]
    }
}
