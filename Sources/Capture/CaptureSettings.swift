import MeshModel
import Platform

/// What the operator can change about capture. Plain values, checked by `problems` before anything reaches the kernel.
package struct CaptureSettings: Equatable, Sendable {
    /// What happens to a direction while no agent runs.
    package enum OnAgentExit: String, Equatable, Sendable {
        /// New connections go where they were going, without the mesh.
        case bypass
        /// New connections are refused with a reset.
        case block
    }

    /// The node's own addresses, sources of calls to virtual addresses. Nil: the node has none of that family, and the loopback address serves.
    package var nodeAddressV4: IPAddress?
    package var nodeAddressV6: IPAddress?
    package var outboundPort: UInt16 = 16001
    package var inboundPort: UInt16 = 16006
    package var dnsPort: UInt16 = 16053
    /// The bits of the packet mark that belong to Weft; the two marks lie inside it and differ.
    package var markMask: UInt32 = 0x0300_0000
    /// On the agent's own packets: never captured.
    package var excludedMark: UInt32 = 0x0100_0000
    /// On flows that carry a client's source address: their answers are led back to the agent.
    package var spoofedMark: UInt32 = 0x0200_0000
    package var routingTable: UInt32 = 16001
    package var rulePriority: UInt32 = 16001
    /// Destination ports that are never captured.
    package var excludedPorts: Set<UInt16> = [22]
    package var excludedNetworks: Set<IPNetwork> = []
    /// Captures calls to this host's own addresses too, loopback among them.
    package var captureLoopback = false
    package var outboundOnAgentExit = OnAgentExit.bypass
    /// `block` closes ports under STRICT while no agent runs; `bypass` never does.
    package var inboundOnAgentExit = OnAgentExit.block
    package var captureDNS = true
    /// How long the kernel remembers a captured connection that says nothing, whatever the host's own timeouts are. Longer than the proxy takes to find
    /// out whether both ends still live.
    package var holdTime: Duration = .seconds(720)
    /// An address of this host at which anybody may ask `dnsPort` directly: where DNS answers only the mesh's own names, as for systemd-resolved.
    package var openDNSAddress: IPAddress?

    package init() {}

    /// What cannot work, one sentence each; empty when the settings are good.
    package var problems: [String] {
        var found: [String] = []
        if excludedMark == 0 || spoofedMark == 0 || excludedMark == spoofedMark {
            found.append("the excluded and the spoofed mark must differ and not be 0")
        }
        if excludedMark & ~markMask != 0 || spoofedMark & ~markMask != 0 {
            found.append("the marks must lie inside the mark mask")
        }
        let ports = [outboundPort, inboundPort, dnsPort]
        if ports.contains(0) || Set(ports).count != ports.count { found.append("the outbound, inbound and DNS ports must differ and not be 0") }
        if routingTable == 0 || (253...255).contains(routingTable) { found.append("routing tables 0 and 253 to 255 belong to the system") }
        if rulePriority == 0 || rulePriority >= 32766 { found.append("the rule's priority must be 1 to 32765, before the main table") }
        if let address = nodeAddressV4, !address.isV4 { found.append("\(address) is not an IPv4 address") }
        if let address = nodeAddressV6, address.isV4 { found.append("\(address) is not an IPv6 address") }
        return found
    }
}
