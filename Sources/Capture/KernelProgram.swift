import MeshModel
import Netfilter
import Platform

/// The two tables as values: settings and state in, rulesets out. Pure.
///
/// The number of rules depends on the settings alone. What grows is set elements, so a change of state never touches a rule.
package struct KernelProgram: Sendable {
    let settings: CaptureSettings
    /// The kernel can be told how long it remembers captured connections.
    let holdsConnections: Bool

    package init(_ settings: CaptureSettings, holdsConnections: Bool = true) {
        self.settings = settings
        self.holdsConnections = holdsConnections
    }

    // MARK: Whole tables

    /// `inet weft`: every redirect.
    package func redirects(_ state: KernelState) -> NFRuleset {
        let chains = RedirectChains(settings, holds: holdsConnections)
        return NFRuleset(
            table: chains.table, sets: chains.sets.all, timeouts: chains.timeouts, chains: chains.all, rules: chains.rules(),
            elements: chains.sets.exclusions(settings).merging(redirectElements(state)) { first, _ in first })
    }

    /// `inet weft-guard`: refusals.
    package func refusals(_ state: KernelState) -> NFRuleset {
        let chains = GuardChains(settings)
        return NFRuleset(
            table: chains.table, sets: chains.sets.all, chains: chains.all, rules: chains.rules(),
            elements: chains.sets.exclusions(settings).merging(guardElements(state)) { first, _ in first })
    }

    /// Both tables new, whatever was there before.
    package func install(_ state: KernelState) -> NFTransaction {
        var transaction = NFTransaction()
        transaction.install(refusals(state))
        transaction.install(redirects(state))
        return transaction
    }

    /// Both tables go, but for what keeps connections alive that pass through the agent: the empty chain by which redirected ones are translated (see
    /// `GuardChains.translation`), and the way back of those that carry a client's address. New ones to virtual addresses are still refused.
    package func retire() -> NFTransaction {
        let guarding = GuardChains(settings)
        var transaction = NFTransaction()
        transaction.destroy(NFTableID(name: KernelNames.table))
        let answers = AnswerChain(RuleWords(settings: settings), in: guarding.table)
        transaction.install(
            NFRuleset(
                table: guarding.table, chains: guarding.allWhileDraining + [answers.chain], rules: guarding.rulesWhileDraining() + answers.rules()))
        return transaction
    }

    /// Only what differs. Elements that somebody else added or took in the guard meanwhile (systemd's `NFTSet=`) are no error.
    package func update(from old: KernelState, to new: KernelState) -> NFTransaction {
        var transaction = NFTransaction()
        let redirect = RedirectChains(settings, holds: holdsConnections)
        change(&transaction, redirect.sets.all, redirectElements(old), redirectElements(new))
        let guarding = GuardChains(settings)
        change(&transaction, guarding.sets.all, guardElements(old), guardElements(new))
        return transaction
    }

    private func change(_ transaction: inout NFTransaction, _ sets: [NFSet], _ old: [String: [NFElement]], _ new: [String: [NFElement]]) {
        for set in sets {
            guard let wanted = new[set.name] else { continue }
            let before = Set(old[set.name] ?? [])
            let after = Set(wanted)
            transaction.destroy(before.subtracting(after).sorted(by: Self.order), from: set)
            transaction.add(after.subtracting(before).sorted(by: Self.order), to: set)
        }
    }
    private static func order(_ a: NFElement, _ b: NFElement) -> Bool { a.key.lexicographicallyPrecedes(b.key) }

    // MARK: Elements

    private func redirectElements(_ state: KernelState) -> [String: [NFElement]] {
        [
            KernelNames.cgroupSet: state.cgroups.sorted().map { NFElement(cgroup: $0) },
            CaptureSets.endpointsV4: state.endpoints.filter(\.ip.isV4).sorted().map { NFElement($0) },
            CaptureSets.endpointsV6: state.endpoints.filter { !$0.ip.isV4 }.sorted().map { NFElement($0) },
        ]
    }

    private func guardElements(_ state: KernelState) -> [String: [NFElement]] {
        [
            KernelNames.blockedSet: settings.outboundOnAgentExit == .block ? state.cgroups.sorted().map { NFElement(cgroup: $0) } : [],
            CaptureSets.strictPorts: settings.inboundOnAgentExit == .block ? state.strictPorts.sorted().map { NFElement(port: $0) } : [],
        ]
    }
}

/// The sets of both tables.
struct CaptureSets {
    static let endpointsV4 = "endpoints-v4"
    static let endpointsV6 = "endpoints-v6"
    static let strictPorts = "strict-ports"

    let excludedPorts: NFSet
    let excludedV4: NFSet
    let excludedV6: NFSet
    /// Which sets only one table has.
    let own: [NFSet]

    init(_ table: NFTable, own: [NFSet]) {
        excludedPorts = table.set("excluded-ports", key: .port)
        excludedV4 = table.set("excluded-v4", key: .ipv4, flags: .interval)
        excludedV6 = table.set("excluded-v6", key: .ipv6, flags: .interval)
        self.own = own
    }

    var all: [NFSet] { own + [excludedPorts, excludedV4, excludedV6] }

    func exclusions(_ settings: CaptureSettings) -> [String: [NFElement]] {
        [
            excludedPorts.name: settings.excludedPorts.sorted().map { NFElement(port: $0) },
            excludedV4.name: NFElement.networks(settings.excludedNetworks, family: .v4),
            excludedV6.name: NFElement.networks(settings.excludedNetworks.union([Self.linkLocal]), family: .v6),
        ]
    }

    /// Never captured: the redirected connection has lost the interface (RFC 4007 zone), so the agent could not go on to where it was going.
    private static let linkLocal = IPNetwork(IPAddress(high: 0xfe80_0000_0000_0000, low: 0), prefixLength: 10)!
}
