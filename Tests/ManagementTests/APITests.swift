import ManagementAPI
import Testing

@Suite("The API's words")
struct APITests {
    @Test(arguments: [
        ("statu", "status"), ("mebmers", "members"), ("conections", "connections"), ("tokne", "token"), ("/v1/memebrs", "/v1/members"),
        ("trustdomain", "trustDomain"),
    ])
    func `name the nearest of their kind`(_ word: String, _ wanted: String) {
        let known = ["status", "members", "connections", "token", "/v1/members", "/v1/status", "trustDomain"]
        #expect(Suggestion.nearest(to: word, among: known) == wanted)
    }

    @Test(arguments: ["xyz", "", "q", String(repeating: "status", count: 20)])
    func `name nothing for a word that is near to none`(_ word: String) {
        #expect(Suggestion.nearest(to: word, among: ["status", "members", "token"]) == nil)
    }

    @Test(arguments: ["", "plain", "/system.slice/a b.service", "10.0.0.1:9080", "[::1]:80", "käse&=?#%", "*"])
    func `survive percent-encoding`(_ text: String) {
        let encoded = PercentEncoding.encode(text)
        #expect(encoded.utf8.allSatisfy { $0 > 32 && $0 < 127 && !"/?#&=: []*".utf8.contains($0) })
        #expect(PercentEncoding.decode(encoded) == text)
    }

    @Test(arguments: ["%", "%4", "%zz", "%ff%fe", "a%"])
    func `refuse broken percent-encoding`(_ text: String) {
        #expect(PercentEncoding.decode(text) == nil)
    }

    @Test func `have one operation for each method and path`() {
        var seen: Set<String> = []
        for route in Route.allCases { #expect(seen.insert("\(route.method.rawValue) \(route.path)").inserted, "\(route)") }
    }

    @Test func `let nothing that changes state be a read`() {
        for route in Route.allCases { #expect((route.access != .read) == (route.method != .get), "\(route)") }
        #expect(Route.allCases.filter { $0.access == .own } == [.heartbeat])
    }

    @Test func `find each operation by its method and path`() {
        for route in Route.allCases {
            let match = RouteTable.match(method: route.method.rawValue, path: route.path("x.y"))
            #expect(match == .found(route, parameter: route.path.hasSuffix("}") ? "x.y" : ""), "\(route)")
        }
        #expect(RouteTable.match(method: "GET", path: "/v1/status/") == .found(.getStatus, parameter: ""))
        #expect(RouteTable.match(method: "PATCH", path: "/v1/services") == .wrongMethod([.get, .post]))
        #expect(RouteTable.match(method: "GET", path: "/v1/services/a/b") == .unknown(nearest: "/v1/services"))
        #expect(RouteTable.match(method: "GET", path: "/v1/services/") == .found(.listServices, parameter: ""))
        #expect(RouteTable.match(method: "GET", path: "/v1/state") == .unknown(nearest: "/v1/status"))
        #expect(RouteTable.match(method: "GET", path: "") == .unknown(nearest: nil))
    }

    @Test(arguments: [
        ("reviews", "reviews.default"), ("reviews.shop", "reviews.shop"), ("a-1.b", "a-1.b"),
    ])
    func `read a service's name`(_ text: String, _ wanted: String) { #expect(ServiceReference(text)?.description == wanted) }

    @Test(arguments: ["", ".", "a.", "a.b.c", "A", "-a", "a-", "a_b", String(repeating: "a", count: 64), "a/b"])
    func `refuse what is no service's name`(_ text: String) { #expect(ServiceReference(text) == nil) }

    @Test func `give each kind of failure an exit status, of which only one is for permission`() {
        for kind in APIError.Kind.allCases { #expect((ExitStatus(kind) == .permission) == (kind == .forbidden)) }
        #expect(ExitStatus.allCases.map(\.rawValue) == [0, 1, 64, 69, 75, 77])
    }
}

@Suite("A request's body")
struct RequestBodyTests {
    private func refusal<R: APIRequest>(_ type: R.Type, _ text: String) -> APIError? {
        do throws(APIError) {
            _ = try APIJSON.decodeRequest(type, from: Array(text.utf8))
            return nil
        } catch {
            return error
        }
    }

    @Test func `has defaults for what is left out`() throws {
        let token = try APIJSON.decodeRequest(TokenRequest.self, from: Array(#"{"node":"b"}"#.utf8))
        #expect(token == TokenRequest(node: "b", allow: [], expiresSeconds: 3600, replace: false, addresses: nil))
        let service = try APIJSON.decodeRequest(ServiceRegistration.self, from: Array(#"{"name":"a","port":80}"#.utf8))
        #expect(service == ServiceRegistration(name: "a", namespace: "default", port: 80, weight: 1, healthCheck: true))
        #expect(try APIJSON.decodeRequest(LeaveRequest.self, from: []) == LeaveRequest(force: false))
    }

    @Test(arguments: [
        (#"{"trustdomain":"a"}"#, "unknown_field", #"did you mean "trustDomain"?"#),
        (#"{"colour":1}"#, "unknown_field", "known fields: trustDomain"),
    ])
    func `with an unknown field is refused with the nearest`(_ text: String, _ code: String, _ remedy: String) {
        let error = refusal(InitRequest.self, text)
        #expect(error?.kind == .invalid)
        #expect(error?.code == code)
        #expect(error?.remedy == remedy)
    }

    @Test(arguments: [
        ("{}", #""trustDomain" is missing"#), ("[]", "not a JSON object"), ("{", "not valid JSON"),
        (#"{"trustDomain":5}"#, #""trustDomain" is not a text"#),
        (#"{"trustDomain":null}"#, #""trustDomain" is null"#), ("nonsense", "not valid JSON"), ("\u{0}", "not valid JSON"),
    ])
    func `that is wrong is refused with the field's name`(_ text: String, _ words: String) throws {
        let error = try #require(refusal(InitRequest.self, text))
        #expect(error.kind == .invalid)
        #expect(error.message.contains(words), "\(error.message)")
    }

    @Test(arguments: [#"{"name":"a","port":65536}"#, #"{"name":"a","port":-1}"#, #"{"name":"a","port":1.5}"#, #"{"name":"a","port":"80"}"#])
    func `with a number out of range is refused`(_ text: String) throws {
        let error = try #require(refusal(ServiceRegistration.self, text))
        #expect(error.message.contains(#""port""#), "\(error.message)")
    }

    @Test func `writes back as it was read, for every request`() throws {
        func roundTrip<R: APIRequest>(_ value: R) throws {
            #expect(try APIJSON.decodeRequest(R.self, from: try APIJSON.encode(value)) == value)
        }
        try roundTrip(InitRequest(trustDomain: "a"))
        try roundTrip(TokenRequest(node: "b", allow: ["ns/a/sa/b"], expiresSeconds: 5, replace: true, addresses: ["192.0.2.1:15008"]))
        try roundTrip(JoinRequest(token: "t", replace: true))
        try roundTrip(LeaveRequest(force: true))
        try roundTrip(
            ServiceRegistration(
                name: "a", namespace: "b", port: 1, address: "::1", targetPort: 2, account: "c", version: "v", weight: 3, labels: ["k": "v"],
                healthCheck: false, check: "none"))
        try roundTrip(HeartbeatRequest(status: .failing, note: "n", address: "[::1]:2"))
        try roundTrip(
            CaptureRequest(kind: .cgroup, selector: "/x", namespace: "n", account: "a", workload: "w", allowDelegated: true, dryRun: true))
    }

    @Test func `is read in linear time when it nests deeply`() {
        let deep = String(repeating: "[", count: 200_000)
        #expect(refusal(InitRequest.self, #"{"trustDomain":\#(deep)"#)?.code == "invalid_body")
    }
}
