import MeshModel
import Platform
import Testing
import YAML

@testable import Settings

func errors(_ text: String, hostname: String = "host1") -> [String] {
    do throws(ConfigurationErrors) {
        _ = try AgentConfiguration.parse(text, path: "weft.yaml", hostname: hostname)
        return []
    } catch {
        return error.errors.map { String($0.description.dropFirst("weft.yaml:".count)) }
    }
}

/// Every key of the schema with a value that is not its default.
let everyKey = """
    node:
      name: web-1
      address: 192.0.2.7
      addressV6: 2001:db8::7
      locality: {region: eu, zone: eu-1}
    state: /srv/weft/
    runtime: /run/weft-a
    services: /srv/services.d
    workers: 3
    workloads:
      - {name: reviews, unit: reviews}
      - name: shop
        namespace: prod
        account: shop.v2
        slice: shop-*.slice
        allowDelegated: true
      - {name: raw, cgroup: "/user.slice/web@[0-9].service"}
    listeners:
      - {address: "127.0.0.1:9001", to: "ratings.prod:9080", workload: shop}
      - {address: "[::1]:9001", to: "192.0.2.9:80", workload: raw}
    capture:
      enabled: false
      onAgentExit: {outbound: block, inbound: bypass}
      exclude: {ports: [22, 2222], networks: [10.0.0.0/8, "fd00::/8"]}
      loopback: true
      dns: false
      marks: {mask: 0xf0000, excluded: 0x10000, spoofed: 0x20000}
      routingTable: 2001
      rulePriority: 2002
    ports: {outbound: 17001, inbound: 17006, tunnel: 17008, dns: 17053, metrics: 17020, gossip: 17946}
    tunnel: {address: 192.0.2.7}
    balancing: {preferLocal: true}
    gossip:
      bind: 192.0.2.7
      advertise: 198.51.100.7:7000
      seeds: [192.0.2.8, "192.0.2.9:7946", "[2001:db8::9]:7000"]
      timers: local
      label: blue
    dns: {upstreams: [192.0.2.53, "[2001:db8::53]:5353"], ttl: 2s}
    management: {socket: /run/weft-a/a.sock, group: staff, adminGroup: ops}
    metrics: {address: 192.0.2.7}
    accessLog: {enabled: false, path: /var/log/weft/access.log, format: json}
    limits:
      flows: 1000
      namespace: {flows: 300, newFlowsPerSecond: 40, memory: 64MiB}
      namespaces:
        - {name: shop, flows: 600, newFlowsPerSecond: 0, memory: 1GiB}
        - {name: batch, memory: 8MiB}
      pendingFlows: 10
      tunnelsPerPeer: 2
      streamsPerTunnel: 3
      streamWindow: 128KiB
      tunnelWindow: 2MiB
      dnsQueries: 99
      dnsConnections: 9
    timeouts: {connect: 1s, handshake: 2s, idle: 3m, halfClosed: 4s, drain: 5s, hold: 6s, tunnelIdle: 7s}
    certificates: {lifetime: 1h}
    log: {level: debug, format: json}
    """

@Suite("weft.yaml")
struct AgentConfigurationTests {
    @Test("An empty file is a configuration of defaults that share a host with Istio", arguments: ["", "# nothing\n", "{}", "---\n", "capture:\n"])
    func defaults(_ text: String) throws {
        let configuration = try AgentConfiguration.parse(text, path: "weft.yaml", hostname: "host1")
        #expect(configuration == AgentConfiguration(nodeName: "host1"))
        #expect(configuration.node.name == "host1" && configuration.node.address == nil)
        let ports = configuration.ports
        #expect([ports.outbound, ports.inbound, ports.tunnel, ports.dns, ports.metrics, ports.gossip] == [16001, 16006, 15008, 16053, 16020, 7946])
        let marks = configuration.capture.marks
        #expect(marks.excluded & ~marks.mask == 0 && marks.spoofed & ~marks.mask == 0)
        for others in [0x539, 0x111, 0x4000, 0x8000, 0xff_0000, 0x0f00] as [UInt32] { #expect(others & marks.mask == 0) }
        #expect(configuration.capture.routingTable != 100)
        #expect(configuration.management.socket == "/run/weft/weft.sock")
        #expect(configuration.capture.onExitOutbound == .bypass && configuration.capture.onExitInbound == .block)
        #expect(configuration.capture.excludedPorts == [22])
    }

    @Test("Every key is read")
    func everything() throws {
        let read = try AgentConfiguration.parse(everyKey, path: "weft.yaml", hostname: "host1")
        var expected = AgentConfiguration(nodeName: "web-1")
        expected.node.address = IPAddress("192.0.2.7")
        expected.node.addressV6 = IPAddress("2001:db8::7")
        expected.node.locality = Locality(region: "eu", zone: "eu-1")
        expected.state = "/srv/weft"
        expected.runtime = "/run/weft-a"
        expected.services = "/srv/services.d"
        expected.workers = 3
        expected.workloads = [
            Workload(name: "reviews", namespace: "default", account: "reviews", selector: .unit("reviews.service")),
            Workload(name: "shop", namespace: "prod", account: "shop.v2", selector: .slice("shop-*.slice"), allowDelegated: true),
            Workload(name: "raw", namespace: "default", account: "raw", selector: .cgroup("/user.slice/web@[0-9].service")),
        ]
        expected.listeners = [
            ListenerDeclaration(address: SocketAddress("127.0.0.1:9001")!, destination: .service(ServiceName("ratings.prod")!, port: 9080), workload: "shop"),
            ListenerDeclaration(address: SocketAddress("[::1]:9001")!, destination: .address(SocketAddress("192.0.2.9:80")!), workload: "raw"),
        ]
        expected.capture.enabled = false
        expected.capture.onExitOutbound = .block
        expected.capture.onExitInbound = .bypass
        expected.capture.excludedPorts = [22, 2222]
        expected.capture.excludedNetworks = [IPNetwork("10.0.0.0/8")!, IPNetwork("fd00::/8")!]
        expected.capture.loopback = true
        expected.capture.dns = false
        expected.capture.marks = MarksSection(mask: 0xf0000, excluded: 0x10000, spoofed: 0x20000)
        expected.capture.routingTable = 2001
        expected.capture.rulePriority = 2002
        expected.balancing = BalancingSection(preferLocal: true)
        expected.ports = PortsSection(outbound: 17001, inbound: 17006, tunnel: 17008, dns: 17053, metrics: 17020, gossip: 17946)
        expected.tunnel.address = IPAddress("192.0.2.7")!
        expected.gossip.bind = IPAddress("192.0.2.7")!
        expected.gossip.advertise = SocketAddress("198.51.100.7:7000")
        expected.gossip.seeds = ["192.0.2.8:17946", "192.0.2.9:7946", "[2001:db8::9]:7000"].map { SocketAddress($0)! }
        expected.gossip.timers = .local
        expected.gossip.label = "blue"
        expected.dns.upstreams = ["192.0.2.53:53", "[2001:db8::53]:5353"].map { SocketAddress($0)! }
        expected.dns.ttl = .seconds(2)
        expected.management = ManagementSection(socket: "/run/weft-a/a.sock", group: "staff", adminGroup: "ops")
        expected.metrics.address = IPAddress("192.0.2.7")!
        expected.accessLog = AccessLogSection(enabled: false, destination: .file("/var/log/weft/access.log"), format: .json)
        expected.limits = LimitsSection(
            flows: 1000, namespace: NamespaceLimitsSection(flows: 300, newFlowsPerSecond: 40, memory: 64 << 20),
            namespaces: [
                NamedNamespaceLimits(name: "shop", limits: NamespaceLimitsSection(flows: 600, newFlowsPerSecond: 0, memory: 1 << 30)),
                NamedNamespaceLimits(name: "batch", limits: NamespaceLimitsSection(flows: 300, newFlowsPerSecond: 40, memory: 8 << 20)),
            ], pendingFlows: 10, tunnelsPerPeer: 2, streamsPerTunnel: 3, streamWindow: 128 << 10, tunnelWindow: 2 << 20, dnsQueries: 99,
            dnsConnections: 9)
        expected.timeouts = TimeoutsSection(
            connect: .seconds(1), handshake: .seconds(2), idle: .seconds(180), halfClosed: .seconds(4), drain: .seconds(5), hold: .seconds(6),
            tunnelIdle: .seconds(7))
        expected.certificates.lifetime = .seconds(3600)
        expected.log = LogSection(level: .debug, format: .json)
        #expect(read == expected)
        #expect(read.gossipAdvertise == SocketAddress("198.51.100.7:7000"))
    }

    @Test("What is rendered reads back as the same, with every key at its default or at none of them", arguments: ["", everyKey])
    func roundTrip(_ text: String) throws {
        let read = try AgentConfiguration.parse(text, path: "weft.yaml", hostname: "host1")
        let again = try AgentConfiguration.parse(read.rendered(), path: "rendered", hostname: "another")
        #expect(again == read, "\(read.rendered())")
        #expect(again.rendered() == read.rendered())
    }

    @Test("The file of every key differs from the defaults in every key that is rendered")
    func coverage() throws {
        let all = try AgentConfiguration.parse(everyKey, path: "weft.yaml", hostname: "host1")
        let changes = AgentConfiguration(nodeName: "host1").changes(to: all)
        #expect((changes.restart + changes.reloadable).sorted() == all.output.flattened().map(\.key).sorted())
        #expect(
            changes.reloadable == [
                "accessLog.enabled", "accessLog.format", "accessLog.path", "capture.dns", "capture.exclude.networks", "capture.exclude.ports",
                "capture.loopback",
                "capture.onAgentExit.inbound", "capture.onAgentExit.outbound", "certificates.lifetime", "dns.ttl", "dns.upstreams", "gossip.seeds",
                "limits.dnsConnections", "limits.dnsQueries", "limits.namespace.flows", "limits.namespace.memory", "limits.namespace.newFlowsPerSecond",
                "limits.namespaces", "limits.pendingFlows", "limits.streamsPerTunnel", "limits.tunnelsPerPeer", "log.level",
                "services",
                "timeouts.connect", "timeouts.drain", "timeouts.halfClosed", "timeouts.handshake", "timeouts.hold", "timeouts.idle",
                "timeouts.tunnelIdle", "workloads",
            ])
        #expect(all.changes(to: all).isEmpty)
    }

    @Test("A namespace may have half of the node's flows unless something else is written, and what one does not say is as for all")
    func namespaceDefaults() throws {
        let limits = try AgentConfiguration.parse(
            "limits: {flows: 2001, pendingFlows: 0, namespace: {memory: 5MiB}, namespaces: [{name: a}, {name: b, flows: 7}]}", path: "weft.yaml", hostname: "host1").limits
        #expect(limits.namespace == NamespaceLimitsSection(flows: 1000, newFlowsPerSecond: 0, memory: 5 << 20))
        #expect(limits.namespaces.map(\.name) == ["a", "b"] && limits.namespaces.map(\.limits.flows) == [1000, 7])
        #expect(limits.namespaces.allSatisfy { $0.limits.memory == 5 << 20 && $0.limits.newFlowsPerSecond == 0 })
    }

    @Test("Every restart key names a key or a section")
    func restartKeys() throws {
        let keys = try AgentConfiguration.parse(everyKey, path: "weft.yaml").output.flattened().map(\.key)
        for restart in AgentConfiguration.restartKeys { #expect(keys.contains { $0 == restart || $0.hasPrefix(restart + ".") }, "\(restart)") }
    }

    @Test(
        "Wrong values are told with their line and column",
        arguments: [
            ("worklods: []", "1:1: unknown key `worklods`, did you mean `workloads`?"),
            ("capture:\n  exclud: {}", "2:3: unknown key `exclud` in `capture`, did you mean `exclude`?"),
            ("node: {name: a/b}", "1:14: `node.name` must be a name (letters, digits, `.`, `-` and `_`, at most 128), not \"a/b\""),
            ("node: {address: 2001:db8::1}", "1:17: `node.address` must be an IPv4 address of this host, not \"2001:db8::1\""),
            ("node: {address: 0.0.0.0}", "1:17: `node.address` must be an IPv4 address of this host, not \"0.0.0.0\""),
            ("node: {locality: {zone: z}}", "1:18: `node.locality` has a zone without its region"),
            (
                "listeners: [{address: 127.0.0.1:1, to: web:80, workload: w}]",
                "1:58: `listeners[0].workload` names no workload of this node; `workloads` is empty"
            ),
            (
                "workloads: [{name: w, unit: w}]\nlisteners: [{address: 10.0.0.1:1, to: web:80, workload: w}]",
                "2:23: `listeners[0].address` must be a loopback address and a port, as 127.0.0.1:9001 (who can connect there calls as the workload), not \"10.0.0.1:1\""
            ),
            (
                "workloads: [{name: w, unit: w}]\nlisteners: [{address: 127.0.0.1:1, to: web, workload: w}]",
                "2:40: `listeners[0].to` must be a service and its port, as reviews.default:9080, or an address and a port, not \"web\""
            ),
            ("state: var", "1:8: `state` must be an absolute path, not \"var\""),
            ("ports: {dns: 0}", "1:14: `ports.dns` must be a port from 1 to 65535, not \"0\""),
            ("ports: {dns: 15008}", "1:14: `ports.dns` is 15008, which `ports.tunnel` has already"),
            ("ports: {outbound: 5, inbound: 5}", "1:31: `ports.inbound` is 5, which `ports.outbound` has already"),
            ("capture: {dns: yes}", "1:16: `capture.dns` must be true or false, not \"yes\"; write true"),
            (
                "capture: {onAgentExit: {outbound: blok}}",
                "1:35: `capture.onAgentExit.outbound` must be one of bypass, block, not \"blok\"; did you mean block?"
            ),
            (
                "capture: {exclude: {networks: [10.1.2.3/8]}}",
                "1:32: `capture.exclude.networks[0]` must be a network, as 10.0.0.0/8 or fd00::/8, not \"10.1.2.3/8\"; did you mean 10.0.0.0/8?"
            ),
            (
                "capture: {exclude: {networks: [10.0.0.0/33]}}",
                "1:32: `capture.exclude.networks[0]` must be a network, as 10.0.0.0/8 or fd00::/8, not \"10.0.0.0/33\""
            ),
            (
                "capture: {routingTable: 100}",
                "1:25: `capture.routingTable` must be a routing table from 1 to 4294967295, but not 100 (Istio's) or 253–255 (the kernel's), not \"100\""
            ),
            ("capture: {marks: {excluded: 0x8000}}", "1:29: `capture.marks.excluded` (0x8000) has bits outside `capture.marks.mask` (0x3000)"),
            ("capture: {marks: {spoofed: 0x1000}}", "1:28: `capture.marks.spoofed` must differ from `capture.marks.excluded`"),
            (
                "capture: {marks: {mask: 0xfff, excluded: 0x539, spoofed: 0x2}}",
                "1:42: `capture.marks.excluded` is Istio's mark 0x539; take another, both can share a host then"
            ),
            (
                "gossip: {seeds: [192.0.2.1:x]}",
                "1:18: `gossip.seeds[0]` must be an IP address, with or without a port (7946 otherwise), as 192.0.2.7 or [2001:db8::7]:7946, not \"192.0.2.1:x\""
            ),
            (
                "gossip: {bind: 192.0.2.1, advertise: 2001:db8::1}",
                "1:9: `gossip` advertises 2001:db8::1, but `gossip.bind` (192.0.2.1) is of the other family"
            ),
            ("dns: {ttl: 1m}", "1:12: `dns.ttl` must be whole seconds from 0s to 5s, not \"1m\""),
            ("dns: {upstreams: [\"127.0.0.1:16053\"]}", "1:6: `dns` has Weft's own DNS port among its upstreams; names would be asked in a circle"),
            (
                "timeouts: {connect: 10}",
                "1:21: `timeouts.connect` must be a duration from 10ms to 5m, as 5s or 250ms, not \"10\"; give the unit: 10s or 10ms"
            ),
            ("limits: {streamWindow: 64K}", "1:24: `limits.streamWindow` must be a size from 64KiB to 64MiB, as 64KiB, not \"64K\"; write 64KiB"),
            ("limits: {tunnelWindow: 64KiB}", "1:24: `limits.tunnelWindow` makes a tunnel's window (64KiB) smaller than a stream's (256KiB)"),
            ("limits: {flows: 100}", "1:17: `limits.flows` makes more flows wait (4096) than there may be (100)"),
            ("limits: {namespace: {flow: 1}}", "1:22: unknown key `flow` in `limits.namespace`, did you mean `flows`?"),
            ("limits: {namespace: {memory: 1KiB}}", "1:30: `limits.namespace.memory` must be a size from 1MiB to 1024GiB, as 64KiB, not \"1KiB\""),
            ("limits: {namespace: {newFlowsPerSecond: 5/s}}", "1:41: `limits.namespace.newFlowsPerSecond` must be a number from 0 (no limit) to 1000000, not \"5/s\""),
            ("limits: {namespaces: [{flows: 1}]}", "1:23: `limits.namespaces[0].name` is missing; it must be a DNS label"),
            ("limits: {namespaces: [{name: a, memry: 1MiB}]}", "1:33: unknown key `memry` in `limits.namespaces[0]`, did you mean `memory`?"),
            ("limits: {namespaces: [{name: a}, {name: a}]}", "1:34: namespace `a` is there already, on line 1"),
            ("log: {level: verbose}", "1:14: `log.level` must be one of trace, debug, info, notice, warning, error, critical, not \"verbose\""),
            ("accessLog: {path: access.log}", "1:19: `accessLog.path` must be stdout or an absolute path, not \"access.log\""),
            ("a: 1\n---\nb: 2", "1:1: unknown key `a`"),
        ])
    func problems(_ text: String, _ expected: String) {
        let found = errors(text)
        #expect(found.contains { $0.hasPrefix(expected) }, "\(found)")
    }

    @Test(
        "Workloads",
        arguments: [
            ("{unit: a.service}", "1:14: `workloads[0].name` is missing; it must be a DNS label (1–63 lower case letters, digits and hyphens)"),
            (
                "{name: Rev_iews, unit: a}",
                "1:21: `workloads[0].name` must be a DNS label (1–63 lower case letters, digits and hyphens), not \"Rev_iews\"; did you mean rev-iews?"
            ),
            ("{name: a}", "1:14: `workloads[0]` needs one of `unit`, `slice` or `cgroup`"),
            ("{name: a, unit: x, slice: y.slice}", "1:40: `workloads[0]` has `unit` and `slice`; exactly one selects it"),
            (
                "{name: a, unit: x.slice}",
                "1:30: `workloads[0].unit` must be a unit, as reviews.service or worker@*.service, not \"x.slice\"; a slice belongs under `slice`"
            ),
            (
                "{name: a, unit: x.timer}",
                "1:30: `workloads[0].unit` must be a unit, as reviews.service or worker@*.service, not \"x.timer\"; a timer runs no processes; name its service"
            ),
            ("{name: a, slice: shop}", "1:31: `workloads[0].slice` must be a slice, as shop.slice, not \"shop\"; write shop.slice"),
            (
                "{name: a, slice: -.slice}",
                "1:31: `workloads[0].slice` must be a slice, as shop.slice, not \"-.slice\"; the root slice is the whole host; select what should be captured"
            ),
            (
                "{name: a, cgroup: /sys/fs/cgroup/x.slice}",
                "1:32: `workloads[0].cgroup` must be a path below the cgroup mount, as /shop.slice/web.service, not \"/sys/fs/cgroup/x.slice\"; leave the mount out: /x.slice"
            ),
            (
                "{name: a, cgroup: /a/../b}",
                "1:32: `workloads[0].cgroup` must be a path below the cgroup mount, as /shop.slice/web.service, not \"/a/../b\"; no empty, `.` or `..` segments"
            ),
            (
                "{name: a, cgroup: /}",
                "1:32: `workloads[0].cgroup` must be a path below the cgroup mount, as /shop.slice/web.service, not \"/\"; the root is the whole host; select what should be captured"
            ),
            (
                "{name: a, unit: \"x[a.service\"}",
                "1:30: `workloads[0].unit` must be a unit, as reviews.service or worker@*.service, not \"x[a.service\"; it has a `[` without its `]`"
            ),
            (
                "{name: a, cgroup: /a/**}",
                "1:32: `workloads[0].cgroup` must be a path below the cgroup mount, as /shop.slice/web.service, not \"/a/**\"; it has `**`; a `*` matches within one segment only, and a selected cgroup includes all below it"
            ),
            ("{name: a, unit: x, alowDelegated: true}", "1:33: unknown key `alowDelegated` in `workloads[0]`, did you mean `allowDelegated`?"),
            ("{name: a, unit: x}, {name: a, unit: y}", "1:34: workload `a` is there already, on line 1; names are unique on a node"),
            ("{name: a, unit: x}, {name: b, unit: x.service}", "1:34: workload `b` selects unit x.service, as `a` does; a process has one identity"),
        ])
    func workloads(_ items: String, _ expected: String) {
        #expect(errors("workloads: [ \(items)]") == [expected])
    }

    @Test("All errors come at once")
    func several() {
        #expect(errors("state: x\nports: {dns: y}\nlog: {levl: info}\n").map { $0.prefix(3) } == ["1:8", "2:1", "3:7"])
    }

    @Test("After a syntax error nothing else is complained about")
    func syntax() {
        #expect(errors("ports: [\n", hostname: "").count == 1)
    }

    @Test("A second document is refused, since it would be ignored")
    func documents() {
        #expect(errors("workers: 1\n---\nworkers: 2\n") == ["3:1: one document only; a second `---` starts another, which would be ignored"])
    }

    @Test("A host name that cannot be a node's name needs one written")
    func hostname() throws {
        #expect(
            errors("", hostname: "") == [
                "1:1: `node.name` is not set, and the host's name \"\" cannot stand for it; set it (letters, digits, `.`, `-` and `_`)"
            ])
        #expect(try AgentConfiguration.parse("node: {name: n}", path: "f", hostname: "").node.name == "n")
        #expect(!HostName.current.isEmpty)
    }

    @Test("A runtime directory too long for a socket is refused unless the socket is elsewhere")
    func longRuntime() {
        let path = "/" + String(repeating: "x", count: 110)
        #expect(errors("runtime: \(path)").count == 1)
        #expect(errors("runtime: \(path)\nmanagement: {socket: /run/s}").isEmpty)
    }
}
