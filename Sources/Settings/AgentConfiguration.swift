import MeshModel
import Platform

/// What `weft.yaml` says, with every default filled in. A plain value: two of them compare, and `changes(to:)` says what a reload can take over.
///
/// The default of every key is the initial value written here; `parse` and `rendered` are in extensions, one section a file.
package struct AgentConfiguration: Hashable, Sendable {
    package var node: NodeSection
    /// Where keys, certificates and the last snapshot are kept, mode 0700.
    package var state = "/var/lib/weft"
    /// Where the management socket is.
    package var runtime = "/run/weft"
    /// Directory of service declarations, `*.yaml`.
    package var services = "/etc/weft/services.d"
    /// Worker threads; 0 is one for every core.
    package var workers = 0
    package var workloads: [Workload] = []
    package var listeners: [ListenerDeclaration] = []
    package var capture = CaptureSection()
    package var ports = PortsSection()
    package var tunnel = TunnelSection()
    package var balancing = BalancingSection()
    package var gossip = GossipSection()
    package var dns = DNSSection()
    package var management = ManagementSection()
    package var metrics = MetricsSection()
    package var accessLog = AccessLogSection()
    package var limits = LimitsSection()
    package var timeouts = TimeoutsSection()
    package var certificates = CertificatesSection()
    package var log = LogSection()

    /// Everything at its default.
    package init(nodeName: String) { node = NodeSection(name: nodeName) }

    /// Where others reach this node's gossip; nil until the node's address is known.
    package var gossipAdvertise: SocketAddress? {
        gossip.advertise ?? node.address.map { SocketAddress($0, port: ports.gossip) } ?? node.addressV6.map { SocketAddress($0, port: ports.gossip) }
    }
}

/// Who this host is.
package struct NodeSection: Hashable, Sendable {
    /// Unique in the mesh; the host's name by default. One segment of a SPIFFE path.
    package var name: String
    /// Its IPv4 address for other nodes; nil: the source address of the default route.
    package var address: IPAddress?
    package var addressV6: IPAddress?
    package var locality = Locality()
}

package struct CaptureSection: Hashable, Sendable {
    /// What happens to a direction's captured traffic while no agent runs.
    package enum ExitMode: String, Hashable, Sendable, CaseIterable { case bypass, block }

    /// False: the kernel's packet filter is left alone. Only `listeners:` and other nodes' tunnels bring flows then.
    package var enabled = true
    package var onExitOutbound = ExitMode.bypass
    /// `block` refuses plaintext only where policy is STRICT, so nowhere until there are authorization policies.
    package var onExitInbound = ExitMode.block
    /// Ports that are never captured, in either direction.
    package var excludedPorts: [UInt16] = [22]
    /// Destinations that are never captured.
    package var excludedNetworks: [IPNetwork] = []
    /// Capture connections to loopback addresses too (DNS always is).
    package var loopback = false
    /// Redirect the captured processes' DNS.
    package var dns = true
    package var marks = MarksSection()
    /// For flows that carry a client's source address; not 100 (Istio's), not the kernel's own.
    package var routingTable: UInt32 = 1650
    package var rulePriority: UInt32 = 1650
}

/// Packet marks. They differ from those of Istio (0x539, 0x111), kube-proxy (0x4000, 0x8000), Tailscale (0xff0000) and Cilium (0x0f00).
package struct MarksSection: Hashable, Sendable {
    /// The bits that are Weft's; all others are left alone.
    package var mask: UInt32 = 0x3000
    /// On Weft's own packets, which are never captured.
    package var excluded: UInt32 = 0x1000
    /// On flows to local applications that carry the client's source address.
    package var spoofed: UInt32 = 0x2000
}

package struct PortsSection: Hashable, Sendable {
    package var outbound: UInt16 = 16001
    package var inbound: UInt16 = 16006
    package var tunnel: UInt16 = 15008
    package var dns: UInt16 = 16053
    package var metrics: UInt16 = 16020
    package var gossip: UInt16 = 7946
}

/// How flows are shared out among endpoints.
package struct BalancingSection: Hashable, Sendable {
    /// Use endpoints of this node while there are usable ones. Otherwise all endpoints take turns, wherever they are.
    package var preferLocal = false
}

package struct TunnelSection: Hashable, Sendable {
    /// The local address that the tunnel port listens on.
    package var address = IPAddress.anyV4
}

package struct GossipSection: Hashable, Sendable {
    /// memberlist's timer sets.
    package enum Timers: String, Hashable, Sendable, CaseIterable { case lan, local }

    /// The local address that gossip listens on.
    package var bind = IPAddress.anyV4
    /// Where others reach it; nil: the node's address with the gossip port.
    package var advertise: SocketAddress?
    /// Members to ask at start.
    package var seeds: [SocketAddress] = []
    package var timers = Timers.lan
    /// Packets without this label are dropped (memberlist's); empty: none.
    package var label = ""
}

package struct DNSSection: Hashable, Sendable {
    /// Where other names are asked; empty: the host's `/etc/resolv.conf`, followed as it changes.
    package var upstreams: [SocketAddress] = []
    /// Of Weft's own answers.
    package var ttl = Duration.seconds(5)
}

package struct ManagementSection: Hashable, Sendable {
    /// `weft.sock` in the runtime directory unless written.
    package var socket = "/run/weft/weft.sock"
    /// May read.
    package var group = "weft"
    /// May change things, as root may.
    package var adminGroup = "weft-admin"
}

package struct MetricsSection: Hashable, Sendable {
    package var address = IPAddress.loopbackV4
}

package struct AccessLogSection: Hashable, Sendable {
    package enum Destination: Hashable, Sendable {
        case stdout
        case file(String)
    }
    package enum Format: String, Hashable, Sendable, CaseIterable { case text, json }

    package var enabled = true
    package var destination = Destination.stdout
    package var format = Format.text
}

package struct LimitsSection: Hashable, Sendable {
    /// Flows at once on the node.
    package var flows = 100_000
    /// What every namespace may have.
    package var namespace = NamespaceLimitsSection()
    /// Namespaces that may have something else.
    package var namespaces: [NamedNamespaceLimits] = []
    /// Flows that wait for the first snapshot after start.
    package var pendingFlows = 4_096
    /// Tunnels of one pool (source identity, destination identity, node).
    package var tunnelsPerPeer = 8
    /// Streams in one tunnel; the next opens another.
    package var streamsPerTunnel = 256
    /// Most bytes that a peer may send on a new stream before they were taken. A window is charged to its namespace's memory, grows to 4 MiB while its flow moves
    /// as much in a round trip, and starts with less, down to 16 KiB, where little memory is left.
    package var streamWindow = 256 << 10
    /// Bytes of one tunnel that may be on their way.
    package var tunnelWindow = 16 << 20
    /// DNS queries that wait for a resolver.
    package var dnsQueries = 1_024
    package var dnsConnections = 128
}

/// What one namespace may have on the node.
package struct NamespaceLimitsSection: Hashable, Sendable {
    /// Flows at once: half of the node's unless written, so that whatever one namespace does, the others have the other half.
    package var flows = 50_000
    /// 0: no limit. What is usual differs by orders of magnitude, and a guess would refuse flows in the very hour that counts. A flood costs processor time, which
    /// workers share out fairly, and can't hold more flows or memory than the other two limits allow.
    package var newFlowsPerSecond = 0
    /// Bytes that the node holds for it or has promised to take: what waits for slow readers, what peers were told that they may send, pipes of bulk transfers.
    package var memory = 256 << 20
}

/// The limits of one namespace by name. What is not written is as for every namespace.
package struct NamedNamespaceLimits: Hashable, Sendable {
    package var name: String
    package var limits: NamespaceLimitsSection
}

package struct TimeoutsSection: Hashable, Sendable {
    package var connect = Duration.seconds(10)
    package var handshake = Duration.seconds(10)
    /// A flow without a byte in either direction.
    package var idle = Duration.seconds(3600)
    /// A flow of which one direction has ended, without a byte in the other.
    package var halfClosed = Duration.seconds(300)
    /// How long flows may go on when the agent stops.
    package var drain = Duration.seconds(30)
    /// How long flows wait for the first snapshot at start.
    package var hold = Duration.seconds(10)
    /// A tunnel without a stream.
    package var tunnelIdle = Duration.seconds(90)
}

package struct CertificatesSection: Hashable, Sendable {
    /// Of workload and node certificates; they are renewed at half of it.
    package var lifetime = Duration.seconds(24 * 3600)
}

package struct LogSection: Hashable, Sendable {
    package enum Level: String, Hashable, Sendable, CaseIterable { case trace, debug, info, notice, warning, error, critical }
    package enum Format: String, Hashable, Sendable, CaseIterable { case text, json }

    package var level = Level.info
    package var format = Format.text
}
