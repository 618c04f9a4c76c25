import FoundationEssentials
import Glibc
import MeshModel
import Platform
import Testing

@testable import Identity

@Suite struct IdentityStoreTests {
    func mode(_ path: String) -> mode_t {
        var status = stat()
        return stat(path, &status) == 0 ? status.st_mode & 0o777 : 0
    }

    @Test func `every file of the authority's node is private and in its place`() throws {
        let mesh = try TestMesh()
        let store = mesh.store
        for path in [
            store.meshPath, store.nodePath, store.bundlePath, store.gossipPath, store.rootKeyPath, store.rootCertificatePath, store.nodesPath,
            store.tokensPath,
        ] {
            #expect(mode(path) == 0o600, "\(path)")
        }
        for path in [store.directory, store.authorityDirectory, store.workloadDirectory] { #expect(mode(path) == 0o700, "\(path)") }
        #expect(IdentityStore.names(in: store.directory) == ["bundle.pem", "ca", "gossip.keys", "mesh.json", "node.pem", "workloads"])
    }

    @Test func `what was stored is read again`() throws {
        let mesh = try TestMesh()
        let (identity, key) = (mesh.id("ns/shop.x/sa/web_1"), PrivateKey())
        let leaf = try mesh.service.authority.issue(SigningRequest.verify(SigningRequest.make(identity, key: key)), now: mesh.clock.now)
        try mesh.store.saveWorkload(identity, KeyPair(key: key, certificate: leaf.der))
        let loaded = try #require(try mesh.store.load())
        #expect(loaded.mesh == mesh.mesh)
        #expect(loaded.node.key.publicKeyHash == mesh.key.publicKeyHash)
        #expect(loaded.workloads[identity]?.certificate == leaf.der)
        #expect(run("openssl", ["verify", "-CAfile", mesh.store.bundlePath, mesh.store.nodePath]).status == 0)
        #expect(run("openssl", ["pkey", "-in", mesh.store.nodePath, "-noout"]).status == 0)
    }

    @Test(arguments: ["mesh.json", "node.pem", "bundle.pem", "gossip.keys", "ca/root.key", "ca/nodes.json", "ca/tokens.json", "."])
    func `a file that others may read is refused with the remedy`(name: String) throws {
        let mesh = try TestMesh()
        let path = name == "." ? mesh.store.directory : "\(mesh.store.directory)/\(name)"
        #expect(chmod(path, name == "." ? 0o750 : 0o640) == 0)
        do throws(MeshError) {
            _ = try mesh.store.load()
            _ = try mesh.store.loadAuthority("mesh.test", lifetimes: .init())
            Issue.record("it was accepted")
        } catch {
            #expect(
                error.code == "state_permissions" && error.message.contains(path)
                    && error.remedy.contains("chmod \(name == "." ? "700" : "600") \(path)"))
        }
    }

    @Test(
        arguments: ["mesh.json", "node.pem", "bundle.pem", "gossip.keys", "ca/root.key", "ca/root.crt", "ca/nodes.json", "ca/tokens.json"],
        ["", "garbage", "{\"version\": 1}", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "missing"])
    func `a damaged or missing file is an error that names it, and stays as it is`(name: String, content: String) throws {
        let mesh = try TestMesh()
        let path = "\(mesh.store.directory)/\(name)"
        if content == "missing" { unlink(path) } else { try AtomicFile.write(Array(content.utf8), to: path, mode: 0o600) }
        do throws(MeshError) {
            let loaded = try mesh.store.load()
            _ = try mesh.store.loadAuthority("mesh.test", lifetimes: .init())
            Issue.record("it was accepted: \(String(describing: loaded))")
        } catch {
            let wanted = name == "mesh.json" && content == "missing" ? "state_incomplete" : "state_corrupt"
            #expect(error.code == wanted && error.message.contains(path) && !error.remedy.isEmpty, "\(error)")
        }
        let after = try AtomicFile.read(path, secret: true)
        #expect(after == (content == "missing" ? nil : Array(content.utf8)))
    }

    @Test func `gossip keys are kept with their revision, and an earlier version's list is read`() throws {
        let mesh = try TestMesh()
        let keyring = try GossipKeyring(keys: [[UInt8](repeating: 1, count: 16), [UInt8](repeating: 2, count: 32)], revision: 5, by: "b")
        try mesh.store.saveGossipKeyring(keyring)
        #expect(try mesh.store.load()?.gossip == keyring)
        var status = stat()
        #expect(stat(mesh.store.gossipPath, &status) == 0 && status.st_mode & 0o777 == 0o600)
        try AtomicFile.write(Array(#"["AQEBAQEBAQEBAQEBAQEBAQ=="]"#.utf8), to: mesh.store.gossipPath, mode: 0o600)
        #expect(try mesh.store.loadGossipKeyring() == GossipKeyring(keys: [[UInt8](repeating: 1, count: 16)]))
        for bad in ["[]", #"["AQE="]"#, #"{"version":2,"content":{"keys":[],"revision":1,"by":""}}"#] {
            try AtomicFile.write(Array(bad.utf8), to: mesh.store.gossipPath, mode: 0o600)
            #expect(code { () throws(MeshError) in try mesh.store.loadGossipKeyring() } == "state_corrupt", "\(bad)")
        }
    }

    @Test func `a newer format is refused by its number`() throws {
        let mesh = try TestMesh()
        try AtomicFile.write(Array("{\"version\":2,\"content\":{}}".utf8), to: mesh.store.meshPath, mode: 0o600)
        #expect(code { () throws(MeshError) in try mesh.store.load() } == "state_version")
    }

    @Test func `a key and a certificate that do not belong together are refused`() throws {
        let mesh = try TestMesh()
        let node = try #require(try mesh.store.load()).node
        try mesh.store.saveNode(KeyPair(key: PrivateKey(), certificate: node.certificate))
        #expect(code { () throws(MeshError) in try mesh.store.load() } == "state_corrupt")
    }

    @Test func `a node certificate of another mesh or another node is refused`() async throws {
        let mesh = try TestMesh()
        let other = try TestMesh(clock: mesh.clock)
        try mesh.store.saveNode(try #require(try other.store.load()).node)
        #expect(code { () throws(MeshError) in try mesh.store.load() } == "state_corrupt")
        let b = try await mesh.join("b", allow: [])
        try mesh.store.saveNode(KeyPair(key: b.key, certificate: b.grant.certificate.bytes))
        #expect(code { () throws(MeshError) in try mesh.store.load() } == "state_corrupt")
    }

    @Test func `a symbolic link in a file's place is not followed`() throws {
        let scratch = Scratch()
        try AtomicFile.write([1], to: scratch.file("target"), mode: 0o600)
        #expect(symlink(scratch.file("target"), scratch.file("link")) == 0)
        #expect(code { () throws(MeshError) in try AtomicFile.read(scratch.file("link"), secret: true) } == "state_io")
        // Writing replaces the link and not what it points to.
        try AtomicFile.write([2], to: scratch.file("link"), mode: 0o600)
        #expect(try AtomicFile.read(scratch.file("target"), secret: true) == [1])
        #expect(try AtomicFile.read(scratch.file("link"), secret: true) == [2])
    }

    @Test func `a failed write leaves the old content and no temporary file`() throws {
        let scratch = Scratch()
        #expect(mkdir(scratch.file("x"), 0o700) == 0)
        #expect(code { () throws(MeshError) in try AtomicFile.write([1], to: scratch.file("x"), mode: 0o600) } == "state_io")
        #expect(code { () throws(MeshError) in try AtomicFile.write([1], to: scratch.file("no/such"), mode: 0o600) } == "state_io")
        #expect(IdentityStore.names(in: scratch.path) == ["x"])
    }

    @Test func `leaving removes every secret, also from damaged state, and nothing else`() throws {
        let mesh = try TestMesh()
        let store = mesh.store
        let identity = mesh.id("ns/shop/sa/web")
        try store.saveWorkload(identity, KeyPair(key: mesh.key, certificate: mesh.service.authority.rootDER))
        try AtomicFile.write([1], to: "\(store.directory)/audit.log", mode: 0o600)
        try AtomicFile.write([1], to: store.meshPath, mode: 0o600)
        try store.wipe()
        #expect(IdentityStore.names(in: store.directory) == ["audit.log"])
        #expect(try store.load() == nil)
    }

    @Test func `an interrupted join leaves an empty node, an interrupted init does not make a second root`() throws {
        let mesh = try TestMesh()
        unlink(mesh.store.meshPath)
        #expect(
            code { () throws(MeshError) in try Founding.found(mesh.mesh, store: mesh.store, lifetimes: .init(), now: mesh.clock.now) }
                == "state_incomplete")
        for name in IdentityStore.names(in: mesh.store.authorityDirectory) { unlink("\(mesh.store.authorityDirectory)/\(name)") }
        #expect(try mesh.store.load() == nil)
        #expect(throws: Never.self) { try Founding.found(mesh.mesh, store: mesh.store, lifetimes: .init(), now: mesh.clock.now) }
    }
}
