import CNetfilter
import Glibc
import Platform
import Testing

@testable import Netfilter

/// The host of the design in small: virtual ranges routed to loopback, TCP to port 80 and DNS redirected.
private func onCapturingHost(_ body: (NFTables) throws -> Void) throws {
    try inNetworkNamespace {
        try shell("ip address add 192.0.2.7/32 dev lo; ip -6 address add 2001:db8::7/128 dev lo nodad")
        try shell("ip route add 240.240.0.0/16 dev lo src 192.0.2.7; ip -6 route add fd77:6566:7400::/48 dev lo src 2001:db8::7")
        let tables = try NFTables()
        let table = NFTable(name: "capture")
        let output = table.baseChain("output", .nat, hook: .output, priority: -100)
        let rules = [
            output.rule("dns", .udp, .destinationPort(53), .redirect(to: 16053)),
            output.rule("tcp", .tcp, .destinationPort(80), .redirect(to: 16001)),
        ]
        try commit(tables) { $0.install(NFRuleset(table: table, chains: [output], rules: rules)) }
        try body(tables)
    }
}

@Suite("A redirected connection", .enabled(if: Lab.isPossible, Lab.reason))
struct LookupTests {
    @Test(arguments: [
        // destination, listener, client of family AF_INET6
        ("240.240.0.5:80", "0.0.0.0:16001", false),
        ("[fd77:6566:7400::5]:80", "[::]:16001", false),
        ("240.240.0.5:80", "[::]:16001", false),
        ("240.240.0.5:80", "127.0.0.1:16001", true),
        ("127.0.0.1:80", "0.0.0.0:16001", false),
        ("[::1]:80", "[::]:16001", false),
    ])
    func `tells where it wanted to go and whose it is`(_ destination: String, _ listening: String, _ v6: Bool) throws {
        try onCapturingHost { _ in
            let wanted = SocketAddress(destination)!
            let listener = try TestSocket(.tcp, bind: SocketAddress(listening)!, listen: true)
            let client = try TestSocket(.tcp, v6: v6 || !wanted.ip.isV4)
            try client.connect(to: wanted, v6: v6)
            let server = try listener.accept()
            let entry = try #require(try Conntrack().entry(.tcp, peer: server.peer, local: server.local))
            #expect(entry.original == FlowTuple(source: client.local, destination: wanted))
            #expect(entry.isRedirected)
            let owner = try #require(try SocketDiagnostics().owner(.tcp, flow: entry.original))
            #expect(owner.inode == client.inode)
            #expect(owner.uid == getuid())
            #expect(owner.cgroup != 0)
            #expect(try Conntrack().entry(.tcp, original: entry.original) == entry)
        }
    }

    @Test(arguments: [
        ("240.240.0.53:53", "127.0.0.1:16053", true), ("240.240.0.53:53", "127.0.0.1:16053", false),
        ("[fd77:6566:7400::53]:53", "[::1]:16053", true), ("[fd77:6566:7400::53]:53", "[::1]:16053", false),
    ])
    func `is known over UDP too, connected or not`(_ destination: String, _ listening: String, _ connected: Bool) throws {
        try onCapturingHost { _ in
            let wanted = SocketAddress(destination)!
            let listener = try TestSocket(.udp, bind: SocketAddress(listening)!)
            let client = try TestSocket(.udp, v6: !wanted.ip.isV4)
            if connected { try client.connect(to: wanted) }
            try client.send(to: wanted)
            let peer = try listener.receive()
            let entry = try #require(try Conntrack().entry(.udp, peer: peer, local: listener.local))
            #expect(entry.original.destination == wanted)
            #expect(entry.original.source.port == client.local.port)
            let owner = try #require(try SocketDiagnostics().owner(.udp, flow: entry.original))
            #expect(owner.inode == client.inode)
        }
    }

    @Test func `keeps its identity when NAT changes its source port`() throws {
        try onCapturingHost { _ in
            let listener = try TestSocket(.tcp, bind: SocketAddress("0.0.0.0:16001")!, listen: true)
            let conntrack = try Conntrack()
            let diagnostics = try SocketDiagnostics()
            var clients: [CInt] = []
            var servers: [CInt] = []
            defer { (clients + servers).forEach { close($0) } }
            var renamed = 0
            // All from the same port: after the redirect only NAT can keep them apart.
            for number in 1...200 {
                let wanted = SocketAddress(IPAddress(v4: 0xf0f0_0000 + UInt32(number)), port: 80)
                let client = try TestSocket(.tcp, bind: SocketAddress("192.0.2.7:40000")!)
                try client.connect(to: wanted)
                let server = try listener.accept()
                let entry = try #require(try conntrack.entry(.tcp, peer: server.peer, local: server.local))
                #expect(entry.original == FlowTuple(source: SocketAddress("192.0.2.7:40000")!, destination: wanted))
                #expect(try diagnostics.owner(.tcp, flow: entry.original)?.inode == client.inode)
                if server.peer.port != 40000 { renamed += 1 }
                clients.append(dup(client.fd.raw))
                servers.append(dup(server.fd.raw))
            }
            #expect(renamed == 199)
        }
    }

    @Test func `is told from one that came directly`() throws {
        try onCapturingHost { _ in
            let listener = try TestSocket(.tcp, bind: SocketAddress("0.0.0.0:16001")!, listen: true)
            let client = try TestSocket(.tcp)
            try client.connect(to: SocketAddress("127.0.0.1:16001")!)
            let server = try listener.accept()
            let entry = try Conntrack().entry(.tcp, peer: server.peer, local: server.local)
            #expect(entry?.isRedirected == false)
            #expect(entry?.original.destination == server.local)
        }
    }

    @Test func `of nobody is not found, nor taken for a listener's`() throws {
        try onCapturingHost { _ in
            let listener = try TestSocket(.tcp, bind: SocketAddress("0.0.0.0:4000")!, listen: true)
            let flow = FlowTuple(source: SocketAddress("127.0.0.1:4000")!, destination: SocketAddress("127.0.0.1:5000")!)
            #expect(try SocketDiagnostics().owner(.tcp, flow: flow) == nil)
            #expect(try SocketDiagnostics().owner(.udp, flow: flow) == nil)
            #expect(try Conntrack().entry(.tcp, peer: flow.source, local: flow.destination) == nil)
            #expect(try Conntrack().entry(.tcp, original: flow) == nil)
            let mixed = FlowTuple(source: flow.source, destination: SocketAddress("[::1]:5000")!)
            #expect(try Conntrack().entry(.tcp, original: mixed) == nil)
            #expect(try SocketDiagnostics().owner(.tcp, flow: mixed) == nil)
            _ = listener.local
        }
    }

    @Test(arguments: ["240.240.0.5:80", "[fd77:6566:7400::5]:80"])
    func `has the cgroup of the process that made it`(_ destination: String) throws {
        try onCapturingHost { _ in
            let wanted = SocketAddress(destination)!
            let one = try TestCgroup("one-\(wanted.ip.isV4 ? 4 : 6)")
            let other = try TestCgroup("other-\(wanted.ip.isV4 ? 4 : 6)")
            let listener = try TestSocket(.tcp, bind: SocketAddress(wanted.ip.isV4 ? "0.0.0.0:16001" : "[::]:16001")!, listen: true)
            for (id, command) in [
                (one.id, one.running("bash -c 'exec 3<>/dev/tcp/\(wanted.ip)/80; read -t 5 <&3'")),
                (other.id, other.running("bash -c 'exec 3<>/dev/tcp/\(wanted.ip)/80; read -t 5 <&3'")),
            ] {
                let child = popen(command, "r")
                do {
                    let server = try listener.accept()
                    let entry = try #require(try Conntrack().entry(.tcp, peer: server.peer, local: server.local))
                    #expect(try SocketDiagnostics().owner(.tcp, flow: entry.original)?.cgroup == id)
                }
                pclose(child)
            }
        }
    }

    @Test func `is captured by its cgroup alone`() throws {
        try inNetworkNamespace {
            let captured = try TestCgroup("captured")
            let tables = try NFTables()
            let table = NFTable(name: "capture", flags: .owner)
            let cgroups = table.set("cgroups", key: .cgroup)
            let output = table.baseChain("output", .nat, hook: .output, priority: -100)
            try commit(tables) {
                $0.install(
                    NFRuleset(
                        table: table, sets: [cgroups], chains: [output],
                        rules: [output.rule("level 1", .tcp, .cgroup(level: 1, in: cgroups), .redirect(to: 16001))],
                        elements: ["cgroups": [NFElement(cgroup: captured.id)]]))
            }
            let proxy = try TestSocket(.tcp, bind: SocketAddress("127.0.0.1:16001")!, listen: true)
            let real = try TestSocket(.tcp, bind: SocketAddress("127.0.0.1:9000")!, listen: true)
            let child = popen(captured.running("bash -c 'exec 3<>/dev/tcp/127.0.0.1/9000; read -t 5 <&3'"), "r")
            do {
                let server = try proxy.accept()
                #expect(try Conntrack().entry(.tcp, peer: server.peer, local: server.local)?.original.destination == real.local)
            }
            pclose(child)
            let direct = try TestSocket(.tcp)
            try direct.connect(to: real.local)
            #expect(try real.accept().peer == direct.local)
        }
    }

    @Test func `is looked up in microseconds`() throws {
        try onCapturingHost { _ in
            let listener = try TestSocket(.tcp, bind: SocketAddress("0.0.0.0:16001")!, listen: true)
            let client = try TestSocket(.tcp)
            try client.connect(to: SocketAddress("240.240.0.5:80")!)
            let server = try listener.accept()
            let conntrack = try Conntrack()
            let diagnostics = try SocketDiagnostics()
            var best = Duration.seconds(1)
            for _ in 0..<500 {
                let start = MonotonicTime.now()
                let entry = try #require(try conntrack.entry(.tcp, peer: server.peer, local: server.local))
                _ = try diagnostics.owner(.tcp, flow: entry.original)
                best = min(best, MonotonicTime.now() - start)
            }
            #expect(best < .microseconds(200))
        }
    }

    @Test func `counts in the table's usage`() throws {
        try onCapturingHost { _ in
            let conntrack = try Conntrack()
            let before = try conntrack.usage()
            let listener = try TestSocket(.tcp, bind: SocketAddress("0.0.0.0:16001")!, listen: true)
            let client = try TestSocket(.tcp)
            try client.connect(to: SocketAddress("240.240.0.5:80")!)
            _ = try listener.accept()
            let after = try conntrack.usage()
            #expect(after.count == before.count + 1)
            #expect(after.maximum > 0)
        }
    }
}

@Suite("A netlink socket", .enabled(if: Lab.isPossible, Lab.reason))
struct NetlinkSocketTests {
    @Test func `skips answers to questions that nobody waits for any more`() throws {
        try inNetworkNamespace {
            let socket = try NetlinkSocket(protocol: NETLINK_ROUTE)
            var request = NetlinkRequest()
            func ask(_ address: String, _ sequence: UInt32) {
                request.begin(type: UInt16(RTM_GETROUTE), flags: 0, sequence: sequence)
                request.put(
                    fixed: rtmsg(
                        rtm_family: UInt8(AF_INET), rtm_dst_len: 32, rtm_src_len: 0, rtm_tos: 0, rtm_table: 0, rtm_protocol: 0, rtm_scope: 0,
                        rtm_type: 0, rtm_flags: 0))
                request.put(Int(RTA_DST.rawValue), IPAddress(address)!.bytes)
            }
            for number in 1...3 {
                ask("127.0.0.\(number)", socket.nextSequence())
                try socket.send(request.bytes)
            }
            let sequence = socket.nextSequence()
            ask("127.0.0.99", sequence)
            var destination: IPAddress?
            let refused = try socket.single(request, sequence: sequence) { message in
                destination = message.attributes(after: MemoryLayout<rtmsg>.size).first { $0.type == UInt16(RTA_DST.rawValue) }?.address
            }
            #expect(refused == nil)
            #expect(destination == IPAddress("127.0.0.99"))
        }
    }

    @Test func `never uses 0 as a number, even when numbers run out`() throws {
        let socket = try NetlinkSocket(protocol: NETLINK_ROUTE)
        #expect(socket.nextSequence() == 1)
        #expect(socket.reserveSequences(Int(UInt32.max) - 10) == 2)
        #expect(socket.reserveSequences(100) == 1)
        #expect(socket.nextSequence() == 101)
    }
}
