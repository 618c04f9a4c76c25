import Glibc
import MeshModel
import Platform
import Testing

@testable import Identity

@Suite("Rights to write for others")
struct RightsTests {
    @Test func `stand in the certificate of the node that joined with them, and OpenSSL reads them`() async throws {
        let mesh = try TestMesh()
        let rights: [ConfigurationRight] = [.namespaceAdmin("shop"), .admin]
        let token = try await mesh.service.createToken(node: "b", allow: [], rights: rights, lifetime: .seconds(60))
        let grant = try await mesh.service.handleJoin(mesh.request(token), seeds: []).result()
        let found = try mesh.bundle.verify(leaf: grant.certificate.bytes, now: mesh.clock.now, subject: "b")
        #expect(found.rights == [.admin, .namespaceAdmin("shop")])
        let scratch = Scratch()
        scratch.write(grant.certificate.bytes, "b.der")
        let seen = run("openssl", ["x509", "-inform", "DER", "-in", scratch.file("b.der"), "-noout", "-subject"])
        #expect(seen.output.contains("O = weft:admin") && seen.output.contains("O = weft:namespace-admin:shop"), "\(seen.output)")
    }

    @Test func `a node without has none, and the authority's own administers the mesh`() async throws {
        let mesh = try TestMesh()
        let token = try await mesh.service.createToken(node: "b", allow: [], lifetime: .seconds(60))
        let grant = try await mesh.service.handleJoin(mesh.request(token), seeds: []).result()
        #expect(try mesh.bundle.verify(leaf: grant.certificate.bytes, now: mesh.clock.now, subject: "b").rights.isEmpty)
        let own = SignRequest([try SigningRequest.make(mesh.id("node/a"), key: mesh.key)])
        let reply = await mesh.service.signLocally(own)
        let certificate = try #require(reply.items.first?.certificate)
        #expect(try mesh.bundle.verify(leaf: certificate.bytes, now: mesh.clock.now, subject: "a").rights == [.admin])
    }

    @Test func `are granted and taken with the next certificate, survive a restart, and are none of a workload's`() async throws {
        let mesh = try TestMesh()
        let token = try await mesh.service.createToken(node: "b", allow: ["ns/shop/sa/*"], lifetime: .seconds(60))
        let key = PrivateKey()
        let grant = try await mesh.service.handleJoin(mesh.request(token, key: key), seeds: []).result()
        func certificate(_ path: String) async throws -> VerifiedCertificate {
            let request = SignRequest([try SigningRequest.make(mesh.id(path), key: path == "node/b" ? key : PrivateKey())])
            let reply = await mesh.service.handleSign(request, peerLeaf: grant.certificate.bytes)
            return try mesh.bundle.verify(leaf: try #require(reply.items.first?.certificate).bytes, now: mesh.clock.now, subject: "b")
        }
        #expect(try await mesh.service.changeRights(of: "b", grant: [.namespaceAdmin("shop"), .admin], revoke: []) == [.admin, .namespaceAdmin("shop")])
        #expect(try await certificate("node/b").rights == [.admin, .namespaceAdmin("shop")])
        #expect(try await certificate("ns/shop/sa/web").rights.isEmpty)
        #expect(try await mesh.service.changeRights(of: "b", grant: [], revoke: [.admin]) == [.namespaceAdmin("shop")])
        #expect(try await certificate("node/b").rights == [.namespaceAdmin("shop")])
        #expect(try mesh.store.loadAuthority("mesh.test", lifetimes: CertificateLifetimes()).nodes.nodes["b"]?.rights == [.namespaceAdmin("shop")])
    }

    @Test func `what can't be granted or taken is refused by name`() async throws {
        let mesh = try TestMesh()
        await #expect(throws: MeshError.self) { try await mesh.service.changeRights(of: "x", grant: [.admin], revoke: []) }
        let own = await #expect(throws: MeshError.self) { try await mesh.service.changeRights(of: "a", grant: [], revoke: [.admin]) }
        #expect(own?.code == "authority_rights")
        let many = (0...ConfigurationRight.maximum).map { ConfigurationRight.namespaceAdmin("n\($0)") }
        let tooMany = await #expect(throws: MeshError.self) { try await mesh.service.changeRights(of: "a", grant: many, revoke: []) }
        #expect(tooMany?.code == "too_many_rights")
    }

    @Test(arguments: ["", "Admin", "namespace-admin", "namespace-admin:", "namespace-admin:Shop", "namespace-admin:a.b", "root"])
    func `words that are no rights`(_ text: String) { #expect(ConfigurationRight(text) == nil) }

    @Test func `a namespace's administrator writes there and nowhere else`() {
        #expect([ConfigurationRight.namespaceAdmin("shop")].allow(namespace: "shop"))
        #expect(![ConfigurationRight.namespaceAdmin("shop")].allow(namespace: "bank"))
        #expect(![ConfigurationRight.namespaceAdmin("shop")].allow(namespace: ""))
        #expect([ConfigurationRight.admin].allow(namespace: ""))
        #expect(![ConfigurationRight]().allow(namespace: "shop"))
    }
}
