import FoundationEssentials
import MeshModel
import Platform
import Testing

@testable import Identity

@Suite struct RecordTests {
    func signer(_ mesh: TestMesh, _ node: String) async throws -> RecordSigner {
        let joined = try await mesh.join(node, allow: ["ns/*/sa/*"])
        return RecordSigner(node: node, pair: KeyPair(key: joined.key, certificate: joined.grant.certificate.bytes))
    }

    @Test func `a record is accepted from its own node only, unchanged only, and in time only`() async throws {
        let mesh = try TestMesh()
        let (b, c) = (try await signer(mesh, "b"), try await signer(mesh, "c"))
        let other = try await signer(TestMesh(trustDomain: "mesh.test", clock: mesh.clock), "b")
        let foreign = try await signer(TestMesh(trustDomain: "other.test", clock: mesh.clock), "b")
        let bytes = Array("endpoint 192.0.2.7:80".utf8)
        let signature = try b.sign(bytes)
        var verifier = RecordVerifier(try mesh.bundle)
        let now = mesh.clock.now
        let rows: [([UInt8], [UInt8], [UInt8], String, WallTime, String?)] = [
            (bytes, signature, b.certificate, "b", now, nil),
            (bytes, signature, b.certificate, "c", now, "record_owner"),
            (bytes + [0], signature, b.certificate, "b", now, "record_signature"),
            (bytes, Array(signature.dropLast()), b.certificate, "b", now, "record_signature"),
            (bytes, [], b.certificate, "b", now, "record_signature"),
            (bytes, signature, c.certificate, "c", now, "record_signature"),
            (bytes, try c.sign(bytes), c.certificate, "b", now, "record_owner"),
            (bytes, try other.sign(bytes), other.certificate, "b", now, "untrusted"),
            (bytes, try foreign.sign(bytes), foreign.certificate, "b", now, "trust_domain"),
            (bytes, signature, [], "b", now, "certificate_malformed"),
            (bytes, signature, b.certificate, "b", now + .seconds(86_400), "expired"),
            (bytes, signature, b.certificate, "b", now - .seconds(61), "not_yet_valid"),
        ]
        for (index, row) in rows.enumerated() {
            var found: String?
            do throws(MeshError) {
                try verifier.verify(row.0, signature: row.1, certificate: row.2, node: row.3, now: row.4)
            } catch {
                found = error.code
            }
            #expect(found == row.5, "row \(index)")
        }
        #expect(verifier.hits > 0)
    }

    @Test func `a workload's certificate signs no records`() async throws {
        let mesh = try TestMesh()
        let key = PrivateKey()
        let leaf = try mesh.service.authority.issue(
            SigningRequest.verify(SigningRequest.make(mesh.id("ns/shop/sa/b"), key: key)), now: mesh.clock.now)
        let signer = RecordSigner(node: "b", pair: KeyPair(key: key, certificate: leaf.der))
        var verifier = RecordVerifier(try mesh.bundle)
        let signature = try signer.sign([1])
        #expect(throws: MeshError.self) { try verifier.verify([1], signature: signature, certificate: leaf.der, node: "b", now: mesh.clock.now) }
    }

    @Test func `roots that changed forget what was verified`() async throws {
        let mesh = try TestMesh()
        let b = try await signer(mesh, "b")
        let signature = try b.sign([1])
        var verifier = RecordVerifier(try mesh.bundle)
        try verifier.verify([1], signature: signature, certificate: b.certificate, node: "b", now: mesh.clock.now)
        verifier.replace(try TestMesh(clock: mesh.clock).bundle)
        #expect(throws: MeshError.self) { try verifier.verify([1], signature: signature, certificate: b.certificate, node: "b", now: mesh.clock.now) }
    }

    @Test func `OpenSSL finds a record's signature right`() async throws {
        let mesh = try TestMesh()
        let scratch = Scratch()
        let b = try await signer(mesh, "b")
        scratch.write(PEM.certificate(b.certificate), "b.crt")
        scratch.write("hello", "record")
        scratch.write(try b.sign(Array("hello".utf8)), "signature")
        let key = run("openssl", ["x509", "-in", scratch.file("b.crt"), "-pubkey", "-noout"])
        scratch.write(key.output, "b.pub")
        let result = run(
            "openssl", ["dgst", "-sha256", "-verify", scratch.file("b.pub"), "-signature", scratch.file("signature"), scratch.file("record")])
        #expect(result.status == 0, "\(result.output)")
    }
}
