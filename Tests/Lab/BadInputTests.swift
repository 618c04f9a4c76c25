import Glibc
import ManagementAPI
import Testing

extension Lab {
    @Suite("Bad input")
    struct BadInputTests {
        @Test("an unknown key ends weftd with status 78, and the message has file, line and the nearest key")
        func unknownKey() throws {
            try LabNetwork.with { network in
                let host = try network.host("a", extra: "acessLog:\n  enabled: false\n")
                let line = Files.read(host.configurationPath).split(separator: "\n").firstIndex { $0.hasPrefix("acessLog") }! + 1
                let result = try host.launchAgent().wait()
                #expect(result.status == 78)
                #expect(result.errors.contains("\(host.configurationPath):\(line)") && result.errors.contains("did you mean `accessLog`"), "\(result.errors)")
            }
        }

        @Test("a port in use is named, with what to do", arguments: [(16001, "outbound"), (15008, "tunnel"), (7946, "gossip"), (16020, "metrics")])
        func portInUse(port: Int, key: String) throws {
            try LabNetwork.with { network in
                let host = try network.host("a")
                _ = try host.serve(nil, "echo.py", "\(port)")
                let text: String
                if key == "metrics" {
                    text = try host.launchAgent().wait().errors
                } else {
                    try host.startAgent()
                    let result = try host.weft("init", LabHost.trustDomain)
                    #expect(!result.succeeded)
                    text = result.errors
                }
                #expect(text.contains("\(port)") && text.contains("in use"), "\(text)")
                #expect(!(try host.shell("nft list ruleset")).contains("table inet weft {"), "nothing is captured that cannot be served")
            }
        }

        @Test("without CAP_NET_ADMIN it says so, and captures nothing")
        func missingCapability() throws {
            try LabNetwork.with { network in
                let host = try network.host("a", workloads: ["web"])
                try host.startAgent(prefix: ["setpriv", "--bounding-set", "-net_admin", "--inh-caps", "-net_admin"])
                let result = try host.weft("init", LabHost.trustDomain)
                #expect(!result.succeeded && result.errors.contains("CAP_NET_ADMIN"), "\(result.errors)")
                #expect(try host.shell("nft list tables").isEmpty)
            }
        }

        @Test("used, expired, garbled and foreign tokens are refused, each with its reason")
        func tokens() throws {
            try LabNetwork.with { network in
                let hosts = try ["a", "b", "c"].map { try network.host($0) }
                let (a, b, c) = (hosts[0], hosts[1], hosts[2])
                for host in hosts { try host.startAgent() }
                _ = try a.ask(InitReport.self, "init", LabHost.trustDomain)
                func refusal(_ host: LabHost, _ token: String) throws -> String {
                    let result = try host.weft("join", "--token-file", "-", input: token)
                    #expect(result.status == 1, "\(result.out)\(result.errors)")
                    #expect(try host.ask(Status.self, "status").state == .uninitialised)
                    return result.errors
                }
                let used = try LabMesh.token(a, for: "b")
                #expect(try b.weft("join", "--token-file", "-", input: used).succeeded)
                // As from a stolen copy: the name on it is another host's.
                try c.stopAgent()
                try Files.write(c.configurationPath, Files.read(c.configurationPath).replacing("name: c", with: "name: b"))
                try c.startAgent()
                #expect(try refusal(c, used).contains("used"))
                let short = try a.weft("token", "create", "--node", "b", "--replace", "--expires", "1s").out
                sleep(2)
                #expect(try refusal(c, short).contains("expired"))
                #expect(try refusal(c, "weft-token-of-mine").contains("token"))
                #expect(try refusal(c, String(used.dropLast(8)) + "\n").contains("token"))
                let other = try LabMesh.token(a, for: "d")
                #expect(try refusal(c, other).contains("d"), "it is for another name")
            }
        }

        @Test("a certificate of another trust domain, and none at all, get no tunnel, and are counted")
        func wrongTrustDomain() throws {
            try LabNetwork.with { network in
                let (a, b) = try LabMesh.pair(network)
                // With the mesh's own authority, as a second mesh that shares the root would have.
                let files = try a.shell("find \(a.directory)/state -type f")
                let key = try #require(files.split(separator: "\n").first { $0.hasSuffix("root.key") || $0.contains("root") && $0.contains("key") }, "\(files)")
                let root = try #require(files.split(separator: "\n").first { $0.contains("root") && !$0.contains("key") }, "\(files)")
                try b.shell(
                    """
                    cd \(network.root); openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout x.key -out x.csr -subj / 2>/dev/null
                    printf 'basicConstraints=critical,CA:FALSE\\nsubjectAltName=critical,URI:spiffe://other.test/ns/default/sa/web\\nextendedKeyUsage=serverAuth,clientAuth\\nkeyUsage=critical,digitalSignature\\n' > x.ext
                    openssl x509 -req -in x.csr -CA \(root) -CAkey \(key) -CAcreateserial -CAserial x.srl -days 1 -extfile x.ext -out x.crt 2>/dev/null
                    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout y.key -out y.crt -subj /CN=y -days 1 -addext subjectAltName=URI:\(LabHost.identity("web")) 2>/dev/null
                    """)
                func attempt(_ certificate: String) throws -> Double {
                    let before = try b.metric("weft_tunnel_handshake_failures_total") ?? 0
                    let arguments = certificate.isEmpty ? "" : "-cert \(network.root)/\(certificate).crt -key \(network.root)/\(certificate).key"
                    _ = try a.run(
                        nil, "sh", "-c", "sleep 1 | timeout 5 openssl s_client -connect \(b.address):15008 -alpn h2 -servername reviews.default.\(LabHost.trustDomain) \(arguments)")
                    try Clock.until("the refusal is counted") { try b.metric("weft_tunnel_handshake_failures_total") ?? 0 > before }
                    return try b.metric("weft_tunnel_handshake_failures_total", ["reason": "trust_domain"]) ?? 0
                }
                #expect(try attempt("y") == 0, "another authority's")
                #expect(try attempt("") == 0, "none")
                #expect(try attempt("x") == 1)
                try Clock.until("it is told") { b.agentLog.contains("spiffe://other.test/ns/default/sa/web") }
            }
        }

        @Test("the proxy's own ports take no direct connection, from the host or from others")
        func directConnections() throws {
            try LabNetwork.with { network in
                let (a, b) = try LabMesh.pair(network)
                func attempt(_ host: LabHost, _ address: String, _ port: Int) throws -> String {
                    try host.python(nil, "attempt.py", "tcp,\(address),\(port)").split(separator: " ").first.map(String.init) ?? ""
                }
                for (host, address) in [(b, "127.0.0.1"), (b, "::1"), (b, b.address), (a, b.address), (a, b.addressV6)] {
                    for port in [16001, 16006, 16053] {
                        let result = try attempt(host, address, port)
                        #expect(result == "ECONNREFUSED", "\(host.name) to [\(address)]:\(port): \(result)")
                    }
                }
                #expect(try a.run("web", "curl", "-sS", "--max-time", "5", "http://reviews:9080/").succeeded)
            }
        }

        @Test("malformed gossip is counted and changes nothing")
        func malformedGossip() throws {
            try LabNetwork.with { network in
                let (a, b) = try LabMesh.pair(network)
                let script = """
                    import os, socket
                    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
                    for size in [0, 1, 12, 100, 1400] * 20: s.sendto(os.urandom(size), ('\(a.address)', 7946))
                    for data in [b'', b'GET / HTTP/1.0\\r\\n\\r\\n', os.urandom(1 << 16)]:
                        c = socket.create_connection(('\(a.address)', 7946), timeout=5)
                        try: c.sendall(data); c.shutdown(1); c.recv(100)
                        except OSError: pass
                    """
                let result = try b.run(nil, network.python, "-IBSc", script)
                #expect(result.succeeded, "\(result.errors)")
                try Clock.until("they are counted") { try a.metric("weft_gossip_refused_total") ?? 0 >= 80 }
                #expect(try a.members().values.allSatisfy { $0.state == .alive && $0.kind == .node })
                #expect(try a.members().count == 2)
            }
        }

        @Test("floods of forged gossip and of streams cost no member, no memory, and are counted")
        func forgedGossip() throws {
            try LabNetwork.with { network in
                let (a, b) = try LabMesh.pair(network)
                func residentKiB() throws -> Int {
                    let line = Files.read("/proc/\(try #require(a.agent).pid)/status").split(separator: "\n").first { $0.hasPrefix("RssAnon:") }
                    return try #require(line.flatMap { Int($0.filter(\.isNumber)) })
                }
                let before = try residentKiB()
                #expect(before > 5_000, "\(before) KiB is no agent")
                // Claims about members that do not exist and about one that does, without the key; and more streams than are served at once, which send a little, or too much.
                let script = """
                    import os, socket, struct
                    def alive(name, address):
                        key = lambda text: bytes([0xa0 | len(text)]) + text
                        return b'\\x04\\x86' + key(b'Addr') + key(address) + key(b'Incarnation') + b'\\x09' + key(b'Meta') + b'\\xc0' + key(b'Node') + key(name) + \\
                            key(b'Port') + b'\\xcd\\x1f\\x0a' + key(b'Vsn') + key(bytes([1, 5, 2, 2, 5, 4]))
                    target = ('\(a.address)', 7946)
                    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
                    for number in range(10000): s.sendto(alive(b'invented-%d' % number, bytes([10, 9, number >> 8, number & 255])), target)
                    for number in range(2000): s.sendto(alive(b'b', bytes([10, 9, 9, 9])), target)
                    streams = [socket.create_connection(target, timeout=5) for _ in range(200)]
                    for stream in streams:
                        try: stream.sendall(b'\\x0a\\x00\\x3f\\xff\\xff' + os.urandom(100000))
                        except OSError: pass
                    print(len(streams))
                    """
                let result = try b.run(nil, network.python, "-IBSc", script)
                #expect(result.succeeded, "\(result.errors)")
                try Clock.until("the packets are counted") { try a.metric("weft_gossip_refused_total", ["reason": "plaintext"]) ?? 0 >= 1000 }
                try Clock.until("the streams are counted") { try a.metric("weft_gossip_streams_refused_total") ?? 0 >= 100 }
                #expect(try a.members().count == 2 && a.members().values.allSatisfy { $0.state == .alive && $0.kind == .node })
                #expect(try b.members().values.allSatisfy { $0.state == .alive })
                let after = try residentKiB()
                #expect(after < before + 64 * 1024, "\(before) KiB before, \(after) KiB after")
                #expect(try a.run("web", "curl", "-sS", "--max-time", "5", "http://reviews:9080/").succeeded)
            }
        }
    }
}
