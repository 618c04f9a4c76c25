import MeshModel
import Platform
import Reactor
import TLS
import Testing

@testable import Identity

@Suite @Control struct NodeIdentityTests {
    let clock = TestClock()
    let web = SPIFFEID("spiffe://mesh.test/ns/shop/sa/web")!

    /// An authority, and node b that joined it in memory.
    func pair(lifetimes: CertificateLifetimes = CertificateLifetimes()) async throws -> (a: TestNode, b: TestNode, link: MemoryLink) {
        let a = try TestNode(clock: clock, lifetimes: lifetimes)
        try await a.identity.initialise(trustDomain: "mesh.test", node: "a", addresses: [a.address])
        let link = MemoryLink()
        link.service = a.identity.authority
        let b = try TestNode(clock: clock, link: link)
        let token = try await #require(a.identity.authority).createToken(node: "b", allow: ["ns/shop/sa/*"], lifetime: .seconds(60))
        try await b.identity.join(token.text)
        return (a, b, link)
    }

    func failure(_ body: () async throws(MeshError) -> Void) async -> String? {
        do throws(MeshError) {
            try await body()
            return nil
        } catch {
            return error.code
        }
    }

    @Test func `the authority's node gives itself any workload's certificate`() async throws {
        let a = try TestNode(clock: clock)
        defer { a.stop() }
        try await a.identity.initialise(trustDomain: "mesh.test", node: "a", addresses: [])
        a.identity.ensure(identities: [web])
        await a.until("a certificate") { a.identity.missing.isEmpty }
        #expect(a.changes.count == 2)
        let again = await failure { () throws(MeshError) in try await a.identity.initialise(trustDomain: "mesh.test", node: "a", addresses: []) }
        #expect(again == "already_member")
    }

    @Test(arguments: [("mesh test", "a", "node_name"), ("Mesh", "a", "node_name"), ("mesh.test", "", "node_name"), ("mesh.test", "a/b", "node_name")])
    func `a mesh with bad names is not made`(domain: String, node: String, code: String) async throws {
        let a = try TestNode(clock: clock)
        defer { a.stop() }
        #expect(await failure { () throws(MeshError) in try await a.identity.initialise(trustDomain: domain, node: node, addresses: []) } == code)
        #expect(a.identity.credentials == nil)
    }

    @Test func `certificates are renewed at half of their life, with a new key`() async throws {
        let (a, b, link) = try await pair()
        defer { a.stop(); b.stop() }
        b.identity.ensure(identities: [web])
        await b.until("the first") { b.identity.missing.isEmpty }
        let first = try #require(b.identity.certificates.first { $0.identity == web })
        let key = try #require(try b.identity.store.load()?.workloads[web]).key.publicKeyHash
        clock.advance(.seconds(30_000))
        b.identity.ensure(identities: [web])
        await ControlLoop.shared.sleep(.milliseconds(30))
        #expect(link.asked == 1)

        clock.advance(.seconds(14_000))
        b.identity.ensure(identities: [web])
        await b.until("the second") { (b.identity.certificates.first { $0.identity == web }?.notAfter ?? clock.now) > first.notAfter! }
        await b.until("the node's") { (b.identity.certificates.first { $0.identity.node != nil }?.notAfter ?? clock.now) > first.notAfter! }
        let stored = try #require(try b.identity.store.load())
        #expect(stored.workloads[web]?.key.publicKeyHash != key)
        #expect(b.identity.credentials?.workloads[web]?.notAfter == clock.now + .seconds(86_400))
    }

    @Test func `while the authority is away the old certificate stays, is retried with the reason, and is not offered past its end`() async throws {
        let (a, b, link) = try await pair()
        defer { a.stop(); b.stop() }
        b.identity.ensure(identities: [web])
        await b.until("the first") { b.identity.missing.isEmpty }
        link.failure = MeshError(.peer, code: "plane_connect_refused", "nothing listens", retryable: true)
        clock.advance(.seconds(44_000))
        b.identity.ensure(identities: [web])
        await b.until("a failure") { b.identity.certificates.first { $0.identity == web }?.lastError?.code == "plane_connect_refused" }
        #expect(b.identity.credentials?.workloads[web] != nil && b.identity.missing.isEmpty)
        let status = try #require(b.identity.certificates.first { $0.identity == web })
        #expect(status.state == .valid && status.renewal.map { $0 > clock.now - .seconds(1) && $0 <= clock.now + .seconds(1) } == true)

        clock.advance(.seconds(44_000))
        b.identity.ensure(identities: [web])
        await b.until("its end") { b.identity.missing == [web] }
        #expect(b.identity.certificates.first { $0.identity == web }?.state == .expired)

        #expect(b.identity.counters.issued == 1 && b.identity.counters.failed >= 2)
        link.failure = nil
        clock.advance(.seconds(300))
        b.identity.ensure(identities: [web])
        await b.until("the node's recovery") { b.identity.certificates.first { $0.identity.node != nil }?.state == .valid }
        clock.advance(.seconds(300))
        b.identity.ensure(identities: [web])
        await b.until("recovery") { b.identity.missing.isEmpty }
    }

    @Test func `an identity that is no longer wanted goes, from disk too`() async throws {
        let (a, b, _) = try await pair()
        defer { a.stop(); b.stop() }
        b.identity.ensure(identities: [web])
        await b.until("the first") { b.identity.missing.isEmpty }
        b.identity.ensure(identities: [])
        #expect(b.identity.credentials?.workloads.isEmpty == true)
        await b.until("its end on disk") { IdentityStore.names(in: b.identity.store.workloadDirectory).isEmpty }
    }

    @Test func `an answer for an identity that became unwanted meanwhile is dropped`() async throws {
        let (a, b, link) = try await pair()
        defer { a.stop(); b.stop() }
        link.delay = .milliseconds(50)
        b.identity.ensure(identities: [web])
        await b.until("the question") { link.asked == 1 }
        b.identity.ensure(identities: [])
        await ControlLoop.shared.sleep(.milliseconds(120))
        #expect(b.identity.credentials?.workloads.isEmpty == true)
        await b.until("no file") { IdentityStore.names(in: b.identity.store.workloadDirectory).isEmpty }
    }

    @Test func `an answer that comes after the node left changes nothing`() async throws {
        let (a, b, link) = try await pair()
        defer { a.stop(); b.stop() }
        link.delay = .milliseconds(50)
        b.identity.ensure(identities: [web])
        await b.until("the question") { link.asked == 1 }
        try await b.identity.leave()
        await ControlLoop.shared.sleep(.milliseconds(120))
        #expect(b.identity.credentials == nil && b.identity.certificates.isEmpty)
        #expect(b.changes.last.map { $0 == nil } == true)
        #expect(IdentityStore.names(in: b.identity.store.directory).isEmpty)
    }

    @Test func `the authority leaves only when forced, and a node that left can join again`() async throws {
        let (a, b, link) = try await pair()
        defer { a.stop(); b.stop() }
        #expect(await failure { () throws(MeshError) in try await a.identity.leave() } == "holds_authority")
        try await b.identity.leave()
        let token = try await #require(a.identity.authority).createToken(node: "b", allow: [], lifetime: .seconds(60), replace: true)
        try await b.identity.join(token.text)
        #expect(b.identity.mesh?.node == "b" && link.asked == 0)
        try await a.identity.leave(force: true)
        #expect(a.identity.credentials == nil && a.identity.authority == nil)
    }

    @Test func `damaged state stops the start, and leaving repairs it`() async throws {
        let (a, b, _) = try await pair()
        defer { a.stop(); b.stop() }
        try AtomicFile.write([1], to: b.identity.store.nodePath, mode: 0o600)
        let again = try TestNode(clock: clock, directory: b.identity.store.directory)
        defer { again.stop() }
        #expect(await failure { () throws(MeshError) in try await again.identity.start() } == "state_corrupt")
        try await again.identity.leave()
        #expect(await failure { () throws(MeshError) in try await again.identity.start() } == nil)
        #expect(again.identity.credentials == nil)
    }

    @Test func `two changes of membership at once do not mix`() async throws {
        let a = try TestNode(clock: clock)
        defer { a.stop() }
        async let one = failure { () throws(MeshError) in try await a.identity.initialise(trustDomain: "one.test", node: "a", addresses: []) }
        async let two = failure { () throws(MeshError) in try await a.identity.initialise(trustDomain: "two.test", node: "a", addresses: []) }
        let codes = await [one, two]
        #expect(codes.filter { $0 == nil }.count == 1 && codes.contains("busy"))
    }

    @Test func `signing and the disk are not the control thread's work`() async throws {
        let isControl = try await offload { () throws(MeshError) in ControlLoop.shared.isIsolatingCurrentContext() }
        #expect(isControl == false)
    }
}
