import MeshModel
import Plane
import Platform
import Reactor
import TLS
import Testing

@testable import Identity

/// Whole joins between two nodes over real TLS on loopback.
@Suite @Control struct LoopbackTests {
    /// A mesh whose authority listens.
    func authority(_ clock: TestClock, trustDomain: String = "mesh.test") async throws -> TestNode {
        let node = try TestNode(clock: clock)
        try await node.identity.initialise(trustDomain: trustDomain, node: "a", addresses: [node.address])
        return node
    }

    func token(_ a: TestNode, _ node: String, allow: [String] = ["ns/shop/sa/*"]) async throws -> JoinToken {
        try await #require(a.identity.authority).createToken(node: node, allow: allow, lifetime: .seconds(600))
    }

    func failure(_ body: () async throws(MeshError) -> Void) async -> MeshError? {
        do throws(MeshError) {
            try await body()
            return nil
        } catch {
            return error
        }
    }

    @Test func `a node joins, gets its workloads' certificates, and has them again after a restart`() async throws {
        let clock = TestClock()
        let a = try await authority(clock)
        let b = try TestNode(clock: clock)
        defer { a.stop(); b.stop() }
        a.identity.seeds = { [SocketAddress("192.0.2.1:7946")!] }
        let (web, api, bank) = ("ns/shop/sa/web", "ns/shop/sa/api", "ns/bank/sa/vault")
        let ids = [web, api, bank].map { SPIFFEID("spiffe://mesh.test/\($0)")! }

        try await b.identity.join(token(a, "b").text)
        #expect(b.identity.mesh?.seeds == ["192.0.2.1:7946"] && b.identity.mesh?.authority == "a")
        #expect(b.identity.credentials?.node.uris == ["spiffe://mesh.test/node/b"])
        #expect(b.identity.credentials?.gossip.keys == a.identity.credentials?.gossip.keys)
        #expect(b.identity.credentials?.join == nil && a.identity.credentials?.join != nil)

        b.identity.ensure(identities: Set(ids))
        await b.until("certificates") { b.identity.missing == [ids[2]] && b.identity.certificates.first { $0.identity == ids[2] }?.lastError != nil }
        #expect(b.identity.credentials?.workloads[ids[0]]?.uris == [ids[0].description])
        let refused = try #require(b.identity.certificates.first { $0.identity == ids[2] })
        #expect(
            refused.state == .missing && refused.lastError?.code == "not_allowed"
                && refused.lastError?.message.contains("node b may not have") == true)
        #expect(b.identity.certificates.first { $0.identity == ids[0] }?.serial.isEmpty == false)

        let again = try TestNode(clock: clock, directory: b.identity.store.directory)
        defer { again.stop() }
        try await again.identity.start()
        #expect(Set(again.identity.credentials?.workloads.keys.map { $0 } ?? []) == Set(ids.prefix(2)))
        again.identity.ensure(identities: [ids[0]])
        await again.until("the unwanted file's end") { IdentityStore.names(in: again.identity.store.workloadDirectory) == ["shop+web.pem"] }
        #expect(again.identity.credentials?.workloads.keys.map { $0 } == [ids[0]])
    }

    @Test func `a wrong fingerprint stops the joiner before it sends anything, and the token still works`() async throws {
        let clock = TestClock()
        let a = try await authority(clock)
        let b = try TestNode(clock: clock)
        defer { a.stop(); b.stop() }
        let good = try await token(a, "b")
        var bad = good
        bad.fingerprint.bytes[0] ^= 1
        let error = await failure { () throws(MeshError) in try await b.identity.join(bad.text) }
        #expect(error?.code == "fingerprint" && error?.message.contains("nothing was sent") == true)
        #expect(a.connections == 1)
        #expect(await a.identity.authority?.counters == AuthorityService.Counters())
        #expect(b.identity.mesh == nil && b.changes.isEmpty)
        try await b.identity.join(good.text)
    }

    @Test func `another server with our fingerprint's root in its chain but not our authority's leaf gets nothing`() async throws {
        let clock = TestClock()
        let a = try await authority(clock)
        let (b, thief) = (try TestNode(clock: clock), try await authority(clock))
        defer { a.stop(); b.stop(); thief.stop() }
        let root = try #require(a.identity.credentials?.bundle.rootsDER.first)

        // The thief has a mesh of its own with the same names, and shows our root (which is public) behind its own leaf.
        let own = try #require(try thief.identity.store.load()?.node)
        thief.shown = try Credential(chainDER: [own.certificate, root], privateKeyDER: own.key.pkcs8)
        var diverted = try await token(a, "b")
        diverted.addresses = [thief.address.description]
        var error = await failure { () throws(MeshError) in try await b.identity.join(diverted.text) }
        #expect(error?.code == "untrusted")
        #expect(thief.connections == 1)

        // A true member of our mesh, but not the authority.
        let c = try TestNode(clock: clock)
        defer { c.stop() }
        try await c.identity.join(token(a, "c").text)
        let member = try #require(try c.identity.store.load()?.node)
        thief.shown = try Credential(chainDER: [member.certificate, root], privateKeyDER: member.key.pkcs8)
        error = await failure { () throws(MeshError) in try await b.identity.join(diverted.text) }
        #expect(error?.code == "not_the_authority" && error?.message.contains("node/c") == true)
        #expect(await thief.identity.authority?.counters == AuthorityService.Counters())
    }

    @Test func `addresses that do not answer are passed over`() async throws {
        let clock = TestClock()
        let a = try await authority(clock)
        let b = try TestNode(clock: clock)
        defer { a.stop(); b.stop() }
        var token = try await token(a, "b")
        token.addresses = ["127.0.0.1:1"]
        let error = await failure { () throws(MeshError) in try await b.identity.join(token.text) }
        #expect(error?.code == "plane_connect_refused" && error?.remedy.contains("weftd") == true)
        token.addresses.append(a.address.description)
        try await b.identity.join(token.text)
    }

    @Test func `a used token, a name in use and a second membership are refused over the wire with their remedies`() async throws {
        let clock = TestClock()
        let a = try await authority(clock)
        let (b, c) = (try TestNode(clock: clock), try TestNode(clock: clock))
        defer { a.stop(); b.stop(); c.stop() }
        let (one, two) = (try await token(a, "b"), try await token(a, "b"))
        try await b.identity.join(one.text)
        var error = await failure { () throws(MeshError) in try await c.identity.join(one.text) }
        #expect(error?.code == "token_used" && error?.remedy.contains("weft token create --node b") == true)
        error = await failure { () throws(MeshError) in try await c.identity.join(two.text) }
        #expect(error?.code == "name_in_use" && error?.remedy.contains("--replace") == true)
        error = await failure { () throws(MeshError) in try await b.identity.join(two.text) }
        #expect(error?.code == "already_member")
        error = await failure { () throws(MeshError) in try await c.identity.join(two.text, node: "other") }
        #expect(error?.code == "token_name")
        try await c.identity.join(two.text, replace: true)
        #expect(c.identity.mesh?.node == "b")
    }

    @Test func `a workload certificate of an expired node comes after the node has recovered`() async throws {
        let clock = TestClock(WallTime.now() - .seconds(3 * 86_400))
        let a = try await authority(clock)
        let b = try TestNode(clock: clock)
        defer { a.stop(); b.stop() }
        // OpenSSL takes the real clock, so the past joins in memory.
        let link = MemoryLink()
        link.service = a.identity.authority
        let early = try TestNode(clock: clock, link: link, directory: b.identity.store.directory)
        try await early.identity.join(token(a, "b").text)
        early.stop()

        clock.now = WallTime(seconds: WallTime.now().seconds)
        let web = SPIFFEID("spiffe://mesh.test/ns/shop/sa/web")!
        // The authority's own certificate ended too: it renews itself without a stream.
        let a2 = try TestNode(clock: clock, directory: a.identity.store.directory)
        defer { a2.stop() }
        try await a2.identity.start()
        await a2.until("the authority's own certificate") { (a2.identity.credentials?.node.notAfter ?? clock.now) > clock.now }
        let b2 = try TestNode(
            clock: clock, link: PlaneLink(mark: 0, clock: clock.read, lookUp: { [address = a2.address] _ in [address] }),
            directory: b.identity.store.directory)
        defer { b2.stop() }
        try await b2.identity.start()
        b2.identity.ensure(identities: [web])
        await b2.until("recovery") { b2.identity.missing.isEmpty }
        #expect(b2.identity.certificates.allSatisfy { $0.state == .valid && $0.lastError == nil })
    }

    @Test func `a node that is not the authority says so`() async throws {
        let clock = TestClock()
        let a = try await authority(clock)
        let (b, c) = (try TestNode(clock: clock), try TestNode(clock: clock))
        defer { a.stop(); b.stop(); c.stop() }
        try await b.identity.join(token(a, "b").text)
        let link = PlaneLink(mark: 0, clock: clock.read, lookUp: { [address = b.address] _ in [address] })
        var stored = try #require(try b.identity.store.load())
        stored.mesh.authorityAddresses = []
        let state = stored
        let error = await failure { () throws(MeshError) in _ = try await link.sign(SignRequest([]), as: state) }
        #expect(error?.code == "not_the_authority")
        var wrong = state
        wrong.mesh.authority = "b"
        let misled = wrong
        let second = await failure { () throws(MeshError) in _ = try await link.sign(SignRequest([]), as: misled) }
        #expect(second?.code == "not_authority")
    }

    @Test func `a node of another mesh cannot open a stream to the authority`() async throws {
        let clock = TestClock()
        let (a, other) = (try await authority(clock), try await authority(clock, trustDomain: "other.test"))
        defer { a.stop(); other.stop() }
        var stranger = try #require(try other.identity.store.load())
        let ours = try #require(try a.identity.store.load())
        // It trusts us, but has a certificate of its own mesh.
        stranger.mesh = ours.mesh
        stranger.bundle = ours.bundle
        let state = stranger
        let link = PlaneLink(mark: 0, clock: clock.read)
        let error = await failure { () throws(MeshError) in _ = try await link.sign(SignRequest([]), as: state) }
        #expect(error?.code == "peer_alert" || error?.code == "plane_closed", "\(String(describing: error))")
        #expect(await a.identity.authority?.counters == AuthorityService.Counters())
    }
}
