import Capture
import Glibc
import Identity
import Membership
import MeshModel
import Naming
import Netfilter
import Platform
import Proxy
import Settings
import SWIM
import Traffic

/// The node's own addresses, from the configuration or from the kernel's default routes.
struct NodeAddresses {
    var v4: IPAddress?
    var v6: IPAddress?
    /// What other nodes reach it by.
    var primary: IPAddress

    init(_ node: NodeSection) throws(MeshError) {
        v4 = node.address
        v6 = node.addressV6
        do throws(NetfilterError) {
            let routing = try Routing()
            if v4 == nil { v4 = try routing.defaultSource(.v4) }
            if v6 == nil { v6 = try routing.defaultSource(.v6) }
        } catch {
            throw MeshError(.kernel, code: "routes", "the routes of this host cannot be read: \(error)")
        }
        guard let primary = node.address ?? node.addressV6 ?? v4 ?? v6 else {
            throw MeshError(
                .configuration, code: "no_address", "this host has no default route, so its address for other nodes is not known",
                remedy: "set `node.address` in the configuration")
        }
        self.primary = primary
    }
}

/// From the words of `weft.yaml` to the parameters of each part.
extension AgentConfiguration {
    private static var hasIPv6: Bool { access("/proc/net/if_inet6", F_OK) == 0 }

    /// Those of this network namespace.
    private static var ephemeralPorts: ClosedRange<UInt16>? {
        (try? AtomicFile.read("/proc/sys/net/ipv4/ip_local_port_range", secret: false, maximumBytes: 64)).flatMap { $0 }
            .flatMap { ClientPorts.range(String(decoding: $0, as: UTF8.self)) }
    }

    /// The open-files limit less what gossip, plane, management and the flows' second sockets need.
    private static var descriptorCeiling: CInt {
        var limit = rlimit()
        guard getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0, limit.rlim_cur < rlim_t(CInt.max) else { return .max }
        let open = CInt(limit.rlim_cur)
        return open > 2048 ? open - 512 : open * 3 / 4
    }

    func proxySettings() -> ProxySettings {
        var result = ProxySettings()
        result.workers = workers > 0 ? workers : max(1, sysconf(Int32(_SC_NPROCESSORS_ONLN)))
        result.outbound = [SocketAddress(.loopbackV4, port: ports.outbound)]
        result.inbound = [SocketAddress(.loopbackV4, port: ports.inbound)]
        result.tunnel = [SocketAddress(tunnel.address, port: ports.tunnel)]
        if Self.hasIPv6 {
            result.outbound.append(SocketAddress(.loopbackV6, port: ports.outbound))
            result.inbound.append(SocketAddress(.loopbackV6, port: ports.inbound))
            if tunnel.address == .anyV4 { result.tunnel.append(SocketAddress(.anyV6, port: ports.tunnel)) }
        }
        if let range = Self.ephemeralPorts { result.ephemeralPorts = range }
        result.explicit = listeners.map(\.address)
        result.excludedMark = capture.marks.excluded
        result.spoofedMark = capture.marks.spoofed
        // What applications send to a client's address finds back by a mark and a route that only capture sets up.
        result.keepClientAddress = capture.enabled
        result.timeouts.connect = timeouts.connect
        result.timeouts.handshake = timeouts.handshake
        result.timeouts.idle = timeouts.idle
        result.timeouts.halfClosed = timeouts.halfClosed
        result.timeouts.tunnelIdle = timeouts.tunnelIdle
        result.limits.flows = limits.flows
        result.limits.nodeFlows = limits.flows
        result.preferLocal = balancing.preferLocal
        result.limits.descriptors = Self.descriptorCeiling
        result.backlog = max(16, limits.pendingFlows)
        result.timeouts.hold = timeouts.hold
        result.limits.tunnelsPerPeer = limits.tunnelsPerPeer
        result.limits.streamsPerTunnel = limits.streamsPerTunnel
        result.limits.streamWindow = limits.streamWindow
        result.limits.tunnelWindow = limits.tunnelWindow
        return result
    }

    /// What each namespace may have, and which namespaces something else.
    var namespaceLimits: (every: NamespaceLimits, exceptions: [String: NamespaceLimits]) {
        func limits(_ section: NamespaceLimitsSection) -> NamespaceLimits {
            NamespaceLimits(flows: section.flows, newFlowsPerSecond: section.newFlowsPerSecond, memory: section.memory)
        }
        return (limits(self.limits.namespace), Dictionary(self.limits.namespaces.map { ($0.name, limits($0.limits)) }) { _, last in last })
    }

    func captureSettings(_ addresses: NodeAddresses) -> CaptureSettings {
        var result = CaptureSettings()
        result.nodeAddressV4 = addresses.v4
        result.nodeAddressV6 = addresses.v6
        result.outboundPort = ports.outbound
        result.inboundPort = ports.inbound
        result.dnsPort = ports.dns
        result.markMask = capture.marks.mask
        result.excludedMark = capture.marks.excluded
        result.spoofedMark = capture.marks.spoofed
        result.routingTable = capture.routingTable
        result.rulePriority = capture.rulePriority
        result.excludedPorts = Set(capture.excludedPorts)
        result.excludedNetworks = Set(capture.excludedNetworks)
        result.captureLoopback = capture.loopback
        result.outboundOnAgentExit = capture.onExitOutbound == .block ? .block : .bypass
        result.inboundOnAgentExit = capture.onExitInbound == .block ? .block : .bypass
        result.captureDNS = capture.dns
        // Both ends of a flow are asked for a sign of life well before.
        result.holdTime = ProxySettings.silence * 2
        result.openDNSAddress = DNSServer.Listener.resolvedAddress
        return result
    }

    func gossipConfiguration(_ addresses: NodeAddresses, keyring: GossipKeyring, version: String) throws(MeshError) -> GossipConfiguration {
        var result = GossipConfiguration(name: node.name, bind: SocketAddress(gossip.bind, port: ports.gossip))
        result.advertise = gossip.advertise ?? SocketAddress(addresses.primary, port: ports.gossip)
        result.mark = capture.marks.excluded
        result.timers = gossip.timers == .local ? .local : .lan
        result.label = gossip.label
        result.keyring = try Keyring(keys: keyring.keys)
        result.tags = ["weft": version]
        return result
    }

    func dnsOptions() -> DNSServer.Options {
        var result = DNSServer.Options(listeners: DNSServer.Listener.standard(port: ports.dns))
        result.upstreams = dns.upstreams
        result.ttl = dns.ttl
        result.mark = capture.marks.excluded
        result.maximumQueries = limits.dnsQueries
        result.maximumConnections = limits.dnsConnections
        return result
    }

    func nodeInfo(_ addresses: NodeAddresses, version: String) -> NodeInfo {
        NodeInfo(name: node.name, tunnel: SocketAddress(addresses.primary, port: ports.tunnel), locality: node.locality, version: version)
    }
}
