import MeshModel
import Platform

@testable import ManagementAPI
@testable import Naming
@testable import Proxy
@testable import Settings
@testable import YAML

extension FuzzTarget {
    /// A request to the management API. First byte: which body, or a path.
    static let apiRequest = FuzzTarget(
        name: "api-request",
        seeds: {
            let bodies: [(UInt8, String)] = [
                (0, #"{"kind":"unit","selector":"reviews.service","namespace":"default","dryRun":true}"#), (1, #"{"status":"failing","note":"no disk"}"#),
                (2, #"{"trustDomain":"shop.example"}"#), (3, #"{"node":"b","allow":["ns/default/sa/*"],"expiresSeconds":60}"#), (4, #"{"token":"weft1.e30"}"#), (5, #"{"force":true}"#),
                (6, #"{"name":"reviews","port":9080,"healthCheck":true,"labels":{"a":"b"},"weight":3}"#), (6, #"{"name":"reviews","port":80,"check":{"kind":"http","http":{"path":"/"}}}"#),
                (7, "GET /v1/services/reviews.default"), (7, "DELETE /v1/tokens/a%20b/"), (7, "POST /v1/servces"),
            ]
            return bodies.map { [$0.0] + Array($0.1.utf8) }
        },
        run: { bytes in
            var input = Input(bytes)
            let kind = input.byte() % 8
            let body = input.bytes
            switch kind {
            case 0: survives(CaptureRequest.self, body)
            case 1: survives(HeartbeatRequest.self, body)
            case 2: survives(InitRequest.self, body)
            case 3: survives(TokenRequest.self, body)
            case 4: survives(JoinRequest.self, body)
            case 5: survives(LeaveRequest.self, body)
            case 6: survives(ServiceRegistration.self, body)
            default:
                let words = String(decoding: body, as: UTF8.self).split(separator: " ", maxSplits: 1)
                guard words.count == 2, case .found(let route, let parameter) = RouteTable.match(method: String(words[0]), path: String(words[1])) else { return }
                guard let text = PercentEncoding.decode(parameter) else { return }
                let path = route.path(PercentEncoding.encode(text))
                guard case .found(route, let again) = RouteTable.match(method: route.method.rawValue, path: path) else { return require(text.isEmpty || text == "ready" || text == "changes", "\(path) is not found again") }
                require(PercentEncoding.decode(again) == text, "another parameter than came")
            }
        })

    private static func survives<R: APIRequest>(_ type: R.Type, _ bytes: [UInt8]) {
        guard let request = try? APIJSON.decodeRequest(type, from: bytes) else { return }
        guard let written = try? APIJSON.encode(request) else { fatalError("a \(type) that was read cannot be written") }
        require((try? APIJSON.decodeRequest(type, from: written)) == request, "\(request) reads as another")
    }

    /// A configuration, or declarations of services. First byte: which.
    static let settings = FuzzTarget(
        name: "settings",
        seeds: {
            let texts = [
                "", "node: {name: a, address: 192.0.2.1}\nworkers: 2\nlog: {level: debug}\n", "limits:\n  flows: 10\ntimeouts: {connect: 1m30s}\n",
                "workloads:\n- {unit: reviews.service, namespace: default}\ngossip: {bind: 0.0.0.0, label: x}\n", "a: &x [1, 2]\nb: *x\n", "dns:\n  upstreams: [192.0.2.53:53]\n",
            ]
            let declarations = ["service: reviews\nworkload: reviews\nport: 9080\ncheck: {http: {path: /ready, body: ok}}\n", "service: a\nworkload: b\nport: 1\n---\nservice: c\nworkload: d\nport: 2\n"]
            return texts.map { [0] + Array($0.utf8) } + declarations.map { [1] + Array($0.utf8) } + [[0] + Array(AgentConfiguration(nodeName: "a").rendered().utf8)]
        },
        run: { bytes in
            var input = Input(bytes)
            let isConfiguration = input.byte() & 1 == 0
            let text = String(decoding: input.bytes, as: UTF8.self)
            if !isConfiguration {
                _ = try? ServiceDeclaration.parse(text, path: "/etc/weft/services/x.yaml")
                return
            }
            guard let configuration = try? AgentConfiguration.parse(text, path: "weft.yaml", hostname: "host") else { return }
            let rendered = configuration.rendered()
            do {
                require(try AgentConfiguration.parse(rendered, path: "weft.yaml", hostname: "other") == configuration, "what is written reads as another:\n\(rendered)")
            } catch {
                fatalError("what is written cannot be read: \(error)\n\(rendered)")
            }
        })

    /// Addresses, names, identities, durations, the `forwarded` field, and resolv.conf: each is written as it can be read again.
    static let text = FuzzTarget(
        name: "text",
        seeds: {
            [
                "192.0.2.1", "fe80::1", "::ffff:192.0.2.1", "192.0.2.0/24", "[2001:db8::1]:80", "192.0.2.1:65535", "spiffe://shop.example/ns/default/sa/web", "reviews.default", "1m30s",
                "1.5h", "64KiB", "nameserver 192.0.2.53\nsearch a.example b.\noptions ndots:5\n", "a%20b",
                "for=\"[2001:db8::7]:1234\";proto=http, for=192.0.2.1", "by=x; For=192.0.2.7",
            ].map { Array($0.utf8) }
        },
        run: { bytes in
            let text = String(decoding: bytes, as: UTF8.self)
            same(IPAddress(text)) { IPAddress($0.description) }
            same(IPNetwork(text)) { IPNetwork($0.description) }
            same(SocketAddress(text)) { SocketAddress($0.description) }
            same(SPIFFEID(text)) { SPIFFEID($0.description) }
            same(ServiceName(text)) { ServiceName($0.description) }
            same(DurationText.parse(text)) { DurationText.parse(DurationText.format($0)) }
            same(PercentEncoding.decode(text)) { PercentEncoding.decode(PercentEncoding.encode($0)) }
            if let source = Forwarded.source(text) { require(Forwarded.source("for=\"\(source)\"") == source, "\(source) is forwarded as another") }
            let conf = ResolvConf(text)
            require(conf.nameservers.count <= ResolvConf.maximumNameservers && conf.search.count <= ResolvConf.maximumSearch, "more than the C library takes")
            require(conf.upstreams.count == conf.nameservers.count, "a resolver without an address")
        })

    private static func same<T: Equatable>(_ value: T?, _ again: (T) -> T?) {
        if let value { require(again(value) == value, "\(value) reads as \(String(describing: again(value)))") }
    }
}
