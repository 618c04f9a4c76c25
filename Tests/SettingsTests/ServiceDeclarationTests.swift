import Glibc
import MeshModel
import Platform
import Testing
import YAML

@testable import Settings

private let workloads = [
    Workload(name: "reviews", namespace: "shop", account: "reviews", selector: .unit("reviews.service")),
    Workload(name: "ratings", namespace: "default", account: "ratings", selector: .unit("ratings.service")),
]

private func errors(_ text: String) -> [String] {
    do throws(ConfigurationErrors) {
        _ = try ServiceDeclaration.parse(text, path: "s.yaml", workloads: workloads)
        return []
    } catch {
        return error.errors.map(\.description)
    }
}

@Suite("services.d")
struct ServiceDeclarationTests {
    @Test("A short declaration gets its defaults: the workload's namespace, the same port, a TCP check")
    func short() throws {
        let read = try ServiceDeclaration.parse("service: reviews\nport: 9080\nworkload: reviews\n", path: "s.yaml", workloads: workloads)
        #expect(read == [ServiceDeclaration(service: ServiceName("reviews", namespace: "shop")!, port: 9080, workload: "reviews")])
        #expect(read[0].targetPort == 9080 && read[0].weight == 1 && read[0].check == HealthCheck())
        #expect(try ServiceDeclaration.parse("service: reviews\nport: 9080\nworkload: reviews\n", path: "s.yaml")[0].service.namespace == "default")
    }

    static let full = """
        service: reviews
        namespace: prod
        port: 80
        workload: reviews
        targetPort: 9080
        address: 127.0.0.1
        version: 1.10
        weight: 90
        labels: {track: canary, empty: ""}
        check: {tcp: true, port: 9081, interval: 2s, timeout: 500ms, healthy: 2, unhealthy: 4}
        """

    @Test("Every key is read, and what is rendered reads back")
    func full() throws {
        let read = try ServiceDeclaration.parse(Self.full, path: "s.yaml", workloads: workloads)[0]
        var expected = ServiceDeclaration(service: ServiceName("reviews", namespace: "prod")!, port: 80, workload: "reviews")
        expected.targetPort = 9080
        expected.address = .loopbackV4
        expected.version = "1.10"
        expected.weight = 90
        expected.labels = ["track": "canary", "empty": ""]
        var check = HealthCheck()
        check.port = 9081
        check.interval = .seconds(2)
        check.timeout = .milliseconds(500)
        check.healthy = 2
        check.unhealthy = 4
        expected.check = check
        #expect(read == expected)
        #expect(try ServiceDeclaration.parse(read.rendered(), path: "r") == [expected])
        expected.check = nil
        #expect(try ServiceDeclaration.parse(expected.rendered(), path: "r") == [expected])
    }

    @Test("A file holds any number of documents; empty ones are nothing")
    func documents() throws {
        let text = "---\nservice: a\nport: 1\nworkload: reviews\n---\n---\nservice: b\nport: 2\nworkload: ratings\ncheck: {tcp: false}\n"
        let read = try ServiceDeclaration.parse(text, path: "s.yaml", workloads: workloads)
        #expect(read.map(\.service.description) == ["a.shop", "b.default"])
        #expect(read[1].check == nil)
    }

    @Test(
        "What is wrong is told with its place",
        arguments: [
            (
                "service: a\nport: 1\nworkload: review",
                "s.yaml:3:11: `workload` names `review`, which is no workload of this node, did you mean `reviews`?"
            ),
            (
                "service: a\nport: 1\nworkload: zzzzzz",
                "s.yaml:3:11: `workload` names `zzzzzz`, which is no workload of this node; declare it under `workloads` in weft.yaml"
            ),
            (
                "service: A.b\nport: 1\nworkload: reviews",
                "s.yaml:1:10: `service` must be a DNS label (1–63 lower case letters, digits and hyphens), not \"A.b\"; did you mean a-b?"
            ),
            ("service: a\nworkload: reviews", "s.yaml:1:1: `port` is missing; it must be a port from 1 to 65535"),
            ("service: a\nport: 1\nworkload: reviews\nwieght: 3", "s.yaml:4:1: unknown key `wieght`, did you mean `weight`?"),
            ("service: a\nport: 1\nworkload: reviews\nweight: 0", "s.yaml:4:9: `weight` must be a number from 1 to 1000000, not \"0\""),
            ("service: a\nport: 1\nworkload: reviews\naddress: 0.0.0.0", "s.yaml:4:10: `address` must be an address of this host, not \"0.0.0.0\""),
            (
                "service: a\nport: 1\nworkload: reviews\ncheck: {timeout: 9s}",
                "s.yaml:4:18: `check.timeout` makes the timeout (9s) longer than the interval (5s)"
            ),
            ("service: a\nport: 1\nworkload: reviews\ncheck: {htp: /}", "s.yaml:4:9: unknown key `htp` in `check`, did you mean `http`?"),
            (
                "service: a\nport: 1\nworkload: reviews\n---\nservice: a\nport: 1\nworkload: reviews",
                "s.yaml:5:1: service `a.shop` of `reviews` on port 1 is declared already, at s.yaml:1"
            ),
            ("- a", "s.yaml:1:1: the document must be a mapping of keys to values, not a list"),
        ])
    func problems(_ text: String, _ expected: String) {
        #expect(errors(text).first == expected)
    }

    @Test("A directory is read in the order of names, other files are passed over, and the same service in two files is told")
    func directory() throws {
        let directory = try temporaryDirectory()
        defer { remove(directory) }
        try write("service: b\nport: 1\nworkload: reviews", "\(directory)/20-b.yaml")
        try write("service: a\nport: 1\nworkload: reviews", "\(directory)/10-a.yml")
        try write("not yaml: [", "\(directory)/.hidden.yaml")
        try write("not yaml: [", "\(directory)/b.yaml.bak")
        #expect(try ServiceDeclaration.load(directory: directory, workloads: workloads).map(\.service.name) == ["a", "b"])
        try write("service: a\nport: 1\nworkload: reviews", "\(directory)/30.yaml")
        do throws(ConfigurationErrors) {
            _ = try ServiceDeclaration.load(directory: directory, workloads: workloads)
            Issue.record("taken twice")
        } catch {
            #expect(
                error.description
                    == "\(directory)/30.yaml:1:1: service `a.shop` of `reviews` on port 1 is declared already, at \(directory)/10-a.yml:1")
        }
        #expect(try ServiceDeclaration.load(directory: "\(directory)/none").isEmpty)
    }

    @Test("Files that cannot be read say why and what to do")
    func files() throws {
        let directory = try temporaryDirectory()
        defer { remove(directory) }
        func problem(_ path: String) -> String {
            do throws(ConfigurationErrors) {
                _ = try AgentConfiguration.load(path: path)
                return ""
            } catch { return error.description }
        }
        #expect(problem("\(directory)/weft.yaml") == "\(directory)/weft.yaml:1:1: the file does not exist; create it or name another with --config")
        #expect(problem(directory).hasSuffix("is not a regular file"))
        try write(String(repeating: "#", count: (1 << 20) + 1), "\(directory)/big.yaml")
        #expect(problem("\(directory)/big.yaml").hasSuffix("is larger than 1MiB; split it"))
        try write([0x61, 0xff, 0xfe], "\(directory)/bytes.yaml")
        #expect(problem("\(directory)/bytes.yaml").hasSuffix("is not UTF-8 text"))
        try write("workers: 2", "\(directory)/good.yaml")
        #expect(try AgentConfiguration.load(path: "\(directory)/good.yaml", hostname: "h").workers == 2)
    }
}

private func temporaryDirectory() throws -> String {
    var template = Array("/tmp/weft-configuration-XXXXXX".utf8CString)
    return try #require(mkdtemp(&template).map { String(cString: $0) })
}
private func write(_ text: String, _ path: String) throws { try write(Array(text.utf8), path) }
private func write(_ bytes: [UInt8], _ path: String) throws {
    let fd = try systemCall { open(path, O_WRONLY | O_CREAT | O_TRUNC, 0o600) }
    defer { close(fd) }
    #expect(Glibc.write(fd, bytes, bytes.count) == bytes.count)
}
private func remove(_ directory: String) {
    for name in ["20-b.yaml", "10-a.yml", ".hidden.yaml", "b.yaml.bak", "30.yaml", "big.yaml", "bytes.yaml", "good.yaml"] {
        unlink("\(directory)/\(name)")
    }
    rmdir(directory)
}
