import MeshModel
import Testing
import YAML

@testable import Settings

@Suite("Checks of a service")
struct HealthCheckTests {
    private static let path = "/etc/weft/services.d/a.yaml"

    private func parse(_ check: String, _ path: String = path) throws -> HealthCheck? {
        try ServiceDeclaration.parse("service: a\nport: 1\nworkload: w\ncheck: \(check)\n", path: path)[0].check
    }
    private func errors(_ check: String, _ path: String = path) -> [String] {
        do {
            _ = try parse(check, path)
            return []
        } catch let error as ConfigurationErrors {
            return error.errors.map(\.description)
        } catch { return ["\(error)"] }
    }

    private static func made(_ kind: HealthCheck.Kind, _ change: (inout HealthCheck) -> Void = { _ in }) -> HealthCheck {
        var result = HealthCheck(kind)
        change(&result)
        return result
    }
    private static func asked(_ path: String, _ change: (inout HTTPCheck) -> Void = { _ in }) -> HealthCheck.Kind {
        var result = HTTPCheck(path: path)
        change(&result)
        return .http(result)
    }

    static let good: [(String, HealthCheck?)] = [
        ("{}", HealthCheck()), ("{tcp: false}", nil), ("{tcp: false, interval: 2s}", nil), ("{tcp: true}", made(.tcp)),
        ("{http: /healthz}", made(asked("/healthz"))), ("{http: {}}", made(asked("/"))), ("{http: {path: /}}", made(asked("/"))),
        (
            "{http: {path: '/a?b=c', host: shop.example:80, status: [204, 300-399], headers: {X-Ready: 'yes', ETag: ''}, body: all well}, port: 81}",
            made(
                asked("/a?b=c") {
                    $0.host = "shop.example:80"
                    $0.statuses = [204...204, 300...399]
                    $0.headers = ["x-ready": "yes", "etag": ""]
                    $0.body = "all well"
                }
            ) { $0.port = 81 }
        ),
        ("{grpc: true}", made(.grpc(service: ""))), ("{grpc: {service: shop.Reviews}}", made(.grpc(service: "shop.Reviews"))),
        ("{ttl: 30s}", made(.ttl(.seconds(30)))), ("{ttl: 1m, initial: healthy}", made(.ttl(.seconds(60))) { $0.initial = .healthy }),
        (
            "{exec: {command: [/usr/bin/test, -e, /run/ready], user: nobody}}",
            made(.exec(ExecCheck(command: ["/usr/bin/test", "-e", "/run/ready"], user: "nobody")))
        ),
        (
            "{tcp: true, interval: 1s, jitter: 0.25, timeout: 1s, healthy: 2, unhealthy: 5, initial: unhealthy}",
            made(.tcp) {
                $0.interval = .seconds(1)
                $0.jitter = 0.25
                $0.healthy = 2
                $0.unhealthy = 5
                $0.initial = .unhealthy
            }
        ),
    ]

    @Test("Every kind is read, and what is rendered reads back", arguments: good)
    func kinds(_ text: String, _ expected: HealthCheck?) throws {
        #expect(try parse(text) == expected)
        var declaration = ServiceDeclaration(service: ServiceName("a.default")!, port: 1, workload: "w")
        declaration.check = expected
        #expect(try ServiceDeclaration.parse(declaration.rendered(), path: Self.path) == [declaration])
    }

    @Test(
        "What is wrong is told with its place",
        arguments: [
            ("{http: /, tcp: true}", "4:15: `check.http` contradicts `check.tcp`: an endpoint has one kind of check"),
            ("{ttl: 30s, http: /}", "4:14: `check.ttl` contradicts `check.http`"), ("{tcp: false, grpc: true}", "`check.grpc` contradicts `check.tcp`"),
            ("{htpp: /}", "4:9: unknown key `htpp` in `check`, did you mean `http`?"),
            ("{http: {paht: /}}", "unknown key `paht` in `check.http`, did you mean `path`?"),
            ("{http: healthz}", "4:15: `check.http` must be a path from the root"), ("{http: {path: '/a b'}}", "`check.http.path` must be a path"),
            ("{http: {path: \"/a\\r\\nX: y\"}}", "`check.http.path` must be a path"), ("{http: {host: \"a\\r\\nX: y\"}}", "`check.http.host` must be a host name"),
            ("{http: {status: [99]}}", "`check.http.status[0]` must be a status or a range"), ("{http: {status: [300-200]}}", "`check.http.status[0]` must be"),
            ("{http: {headers: {'X Y': z}}}", "must be a field's name"), ("{http: {body: ''}}", "`check.http.body` must be a text of 1 to 256 bytes"),
            ("{grpc: false}", "`check.grpc` is off: leave it out, or write `tcp: false`"), ("{ttl: 0}", "`check.ttl` must be a duration from 1s to 24h"),
            ("{ttl: 30s, interval: 5s}", "4:29: `check.interval` means nothing with `check.ttl`"),
            ("{ttl: 30s, healthy: 2}", "`check.healthy` means nothing with `check.ttl`"),
            ("{exec: {command: [/a], user: u}, port: 1}", "`check.port` means nothing with `check.exec`: leave it out"),
            ("{exec: {command: [a], user: u}}", "`check.exec.command` must be a list that begins with the absolute path"),
            ("{exec: {command: [/a]}}", "`check.exec.user` is missing"), ("{exec: {command: [\"/a\\nb\"], user: u}}", "`check.exec.command[0]` must be a word"),
            ("{jitter: 0.6}", "`check.jitter` must be a share of the interval from 0 to 0.5"), ("{jitter: nan}", "`check.jitter` must be"),
            ("{initial: helthy}", "`check.initial` must be one of unknown, healthy, unhealthy, not \"helthy\"; did you mean healthy?"),
        ])
    func problems(_ text: String, _ expected: String) {
        #expect(errors(text).contains { $0.contains(expected) }, "\(errors(text))")
    }

    @Test("Programs are named by files under /etc/weft only", arguments: ["s.yaml", "/tmp/a.yaml", "/etc/weft/../../tmp/a.yaml", "/etc/weftless/a.yaml"])
    func programs(_ path: String) throws {
        let told = errors("{exec: {command: [/usr/bin/true], user: nobody}}", path)
        #expect(told.count == 1 && told[0].contains("`check.exec` is not allowed here: \(path) is not under /etc/weft"), "\(told)")
    }

    @Test(
        "In one word, as on the command line",
        arguments: [
            ("none", nil), ("tcp", HealthCheck()), ("http:/healthz?a=b", made(asked("/healthz?a=b"))), ("grpc", made(.grpc(service: ""))),
            ("grpc:a.B", made(.grpc(service: "a.B"))), ("ttl:90s", made(.ttl(.seconds(90)))),
        ] as [(String, HealthCheck?)])
    func words(_ text: String, _ expected: HealthCheck?) throws { #expect(try HealthCheck.named(text) == expected) }

    @Test(
        "In one word that is wrong",
        arguments: [
            ("http", "write http: and a path"), ("http:healthz", "write http: and a path"), ("http:/a\r\nX: y", "write http: and a path"),
            ("ttl", "ttl:30s"), ("ttl:5", "from 1s to 24h"), ("grpc:", "name of a gRPC service"), ("htpp:/", "did you mean http?"),
            ("exec:/usr/bin/true", "in a file under /etc/weft/services.d, which root alone can write"),
        ])
    func wrongWords(_ text: String, _ remedy: String) {
        let error = #expect(throws: MeshError.self) { try HealthCheck.named(text) }
        #expect(error?.remedy.contains(remedy) == true, "\(error?.remedy ?? "")")
    }
}
