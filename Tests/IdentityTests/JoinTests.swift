import FoundationEssentials
import Glibc
import MeshModel
import Platform
import Testing

@testable import Identity

@Suite struct JoinTests {
    @Test func `a join gives a certificate for the node's key, the bundle, the gossip key and the seeds`() async throws {
        let mesh = try TestMesh()
        let token = try await mesh.service.createToken(node: "b", allow: ["ns/shop/sa/*"], lifetime: .seconds(60))
        let key = PrivateKey()
        let grant = try await mesh.service.handleJoin(mesh.request(token, key: key), seeds: [SocketAddress("192.0.2.1:7946")!]).result()
        let found = try mesh.bundle.verify(leaf: grant.certificate.bytes, now: mesh.clock.now, subject: "b")
        #expect(found.identity == mesh.id("node/b") && found.publicKeyHash == key.publicKeyHash)
        #expect(grant.bundle.map(\.bytes) == [mesh.service.authority.rootDER])
        #expect(grant.gossipKeys.map(\.bytes) == (try mesh.store.loadGossipKeyring().keys) && grant.gossipKeys[0].bytes.count == 32)
        #expect(grant.seeds == ["192.0.2.1:7946"] && grant.authority == "a" && grant.trustDomain == "mesh.test")
        #expect(await mesh.service.counters.joined == 1)
    }

    enum Change: String, CaseIterable, CustomTestStringConvertible {
        case none, secret, id, node, otherName, otherDomain, workload, badKey, garbage, expired, used, inUse, slow, fast
        var testDescription: String { rawValue }
        var code: String? {
            switch self {
            case .none: nil
            case .secret, .id: "token_unknown"
            case .node: "token_name"
            case .otherName, .workload, .otherDomain: "not_allowed"
            case .badKey, .garbage: "csr_malformed"
            case .expired: "token_expired"
            case .used: "token_used"
            case .inUse: "name_in_use"
            case .slow, .fast: "clock"
            }
        }
    }
    @Test(arguments: Change.allCases)
    func `every wrong join is refused by name, and does not cost the token`(change: Change) async throws {
        let mesh = try TestMesh()
        let token = try await mesh.service.createToken(node: "b", allow: [], lifetime: .seconds(60))
        var request = try mesh.request(token)
        switch change {
        case .none: break
        case .secret: request.secret.bytes[0] ^= 1
        case .id: request.tokenID = "0000000000000000"
        case .node: request.node = "c"
        case .otherName: request.request = try mesh.request(token, node: "c").request
        case .otherDomain: request.request = Bytes(try SigningRequest.make(SPIFFEID("spiffe://other.test/node/b")!, key: PrivateKey()))
        case .workload: request.request = Bytes(try SigningRequest.make(mesh.id("ns/shop/sa/web"), key: PrivateKey()))
        case .badKey, .garbage: request.request = Bytes([1, 2, 3])
        case .expired:
            mesh.clock.advance(.seconds(61))
            request.time = mesh.clock.now.seconds
        case .slow: request.time! -= 61
        case .fast: request.time! += 61
        case .used: _ = await mesh.service.handleJoin(try mesh.request(token), seeds: [])
        case .inUse:
            // Both tokens were made while the name was free.
            let first = try await mesh.service.createToken(node: "b", allow: [], lifetime: .seconds(60))
            _ = try await mesh.service.handleJoin(mesh.request(first), seeds: []).result()
        }
        let reply = await mesh.service.handleJoin(request, seeds: [])
        #expect(reply.error?.code == change.code)
        #expect((reply.grant == nil) == (change.code != nil))
        guard let code = change.code else { return }
        #expect(await mesh.service.counters.refused == [code: 1])
        #expect(reply.error?.remedy.isEmpty == false)
        let unused = await mesh.service.listTokens().first { $0.id == token.id }
        #expect((unused?.used == nil) == (change != .used))
    }

    @Test func `of many uses of one token at once exactly one wins`() async throws {
        let mesh = try TestMesh()
        let token = try await mesh.service.createToken(node: "b", allow: [], lifetime: .seconds(60))
        let requests = try (0..<32).map { _ in try mesh.request(token, replace: true) }
        let codes = await withTaskGroup(of: String?.self) { group in
            for request in requests { group.addTask { await mesh.service.handleJoin(request, seeds: []).error?.code } }
            return await group.reduce(into: [String?]()) { $0.append($1) }
        }
        #expect(codes.filter { $0 == nil }.count == 1)
        #expect(codes.filter { $0 == "token_used" }.count == 31)
    }

    @Test func `a token whose answer was lost in a crash stays used`() async throws {
        let mesh = try TestMesh()
        let token = try await mesh.service.createToken(node: "b", allow: [], lifetime: .seconds(60))
        // The answer exists only in this process, which "crashes": all that remains is the disk.
        _ = await mesh.service.handleJoin(try mesh.request(token), seeds: [])
        let restarted = try mesh.restarted()
        let reply = await restarted.handleJoin(try mesh.request(token, replace: true), seeds: [])
        #expect(reply.error?.code == "token_used")
        #expect(reply.error?.message.contains("even when the answer was lost") == true)
        #expect(await restarted.listNodes().map(\.name) == ["a", "b"])
    }

    @Test func `nothing is answered when the use cannot be stored, and the token is used all the same`() async throws {
        let mesh = try TestMesh()
        let token = try await mesh.service.createToken(node: "b", allow: [], lifetime: .seconds(60))
        // A directory in the file's place: the rename over it fails, for root too.
        #expect(unlink(mesh.store.tokensPath) == 0 && mkdir(mesh.store.tokensPath, 0o700) == 0)
        let reply = await mesh.service.handleJoin(try mesh.request(token), seeds: [])
        #expect(reply.grant == nil && reply.error?.code == "state_io")
        #expect(reply.error?.message.contains(mesh.store.tokensPath) == true)
        #expect(rmdir(mesh.store.tokensPath) == 0)
        #expect(await mesh.service.handleJoin(try mesh.request(token), seeds: []).error?.code == "token_used")
        #expect(await mesh.service.listNodes().map(\.name) == ["a"])
    }

    @Test func `a node that cannot be stored is answered with an error and not remembered`() async throws {
        let mesh = try TestMesh()
        let token = try await mesh.service.createToken(node: "b", allow: [], lifetime: .seconds(60))
        #expect(unlink(mesh.store.nodesPath) == 0 && mkdir(mesh.store.nodesPath, 0o700) == 0)
        #expect(await mesh.service.handleJoin(try mesh.request(token), seeds: []).error?.code == "state_io")
        #expect(await mesh.service.listNodes().map(\.name) == ["a"])
        // On disk the token is used, although the node is not there.
        #expect(rmdir(mesh.store.nodesPath) == 0)
        try mesh.store.saveNodes(NodeRegistry())
        #expect(await (try mesh.restarted()).handleJoin(try mesh.request(token), seeds: []).error?.code == "token_used")
    }

    @Test func `a name in use can be taken over, and the old node is then refused`() async throws {
        let mesh = try TestMesh()
        let old = try await mesh.join("b", allow: ["ns/shop/sa/*"])
        await #expect { try await mesh.service.createToken(node: "b", allow: [], lifetime: .seconds(60)) } throws: {
            ($0 as? MeshError)?.code == "name_in_use"
        }
        let new = try await mesh.join("b", allow: ["ns/bank/sa/*"], replace: true)
        let wanted = SignRequest([try SigningRequest.make(mesh.id("ns/shop/sa/web"), key: PrivateKey())])
        #expect(await mesh.service.handleSign(wanted, peerLeaf: old.grant.certificate.bytes).error?.code == "node_replaced")
        #expect(await mesh.service.handleSign(wanted, peerLeaf: new.grant.certificate.bytes).items.first?.error?.code == "not_allowed")
    }

    @Test func `a withdrawn token and a removed node are unknown, also after a restart`() async throws {
        let mesh = try TestMesh()
        let token = try await mesh.service.createToken(node: "b", allow: [], lifetime: .seconds(60))
        #expect(try await mesh.service.deleteToken(token.id))
        #expect(try await mesh.service.deleteToken(token.id) == false)
        #expect(await mesh.service.handleJoin(try mesh.request(token), seeds: []).error?.code == "token_unknown")
        let joined = try await mesh.join("c", allow: [])
        #expect(try await mesh.service.removeNode("c"))
        let reply = await (try mesh.restarted()).handleSign(SignRequest([]), peerLeaf: joined.grant.certificate.bytes)
        #expect(reply.error?.code == "node_unknown")
        await #expect { try await mesh.service.removeNode("a") } throws: { ($0 as? MeshError)?.code == "node_name" }
    }
}

@Suite struct SignTests {
    /// What node b, allowed `ns/shop/sa/*`, asks for, and the refusal.
    static let rows: [(uri: String, code: String?)] = [
        ("spiffe://mesh.test/ns/shop/sa/web", nil),
        ("spiffe://mesh.test/ns/bank/sa/web", "not_allowed"),
        ("spiffe://mesh.test/node/c", "not_allowed"),
        ("spiffe://mesh.test/node/a", "not_allowed"),
        ("spiffe://mesh.test/node/b", "node_key"),
        ("spiffe://mesh.test/ns/shop/sa/web/x", "not_allowed"),
        ("spiffe://mesh.test", "not_allowed"),
        ("spiffe://other.test/ns/shop/sa/web", "trust_domain"),
        ("spiffe://other.test/node/b", "trust_domain"),
    ]
    @Test(arguments: rows.indices)
    func `a node gets only what its token allowed`(index: Int) async throws {
        let row = Self.rows[index]
        let mesh = try TestMesh()
        let b = try await mesh.join("b", allow: ["ns/shop/sa/*"])
        let key = PrivateKey()
        let request = SignRequest([try SigningRequest.make(SPIFFEID(row.uri)!, key: key)])
        let reply = await mesh.service.handleSign(request, peerLeaf: b.grant.certificate.bytes)
        #expect(reply.error == nil)
        let item = try #require(reply.items.first)
        #expect(item.error?.code == row.code)
        if let error = item.error {
            #expect(item.certificate == nil && error.message.contains("b"))
            if row.code == "not_allowed", row.uri.contains("/ns/bank") {
                #expect(error.message.contains(row.uri) && error.remedy.contains("weft token create --node b --allow ns/bank/sa/web"))
            }
        } else {
            let found = try mesh.bundle.verify(leaf: item.certificate!.bytes, now: mesh.clock.now, subject: "it")
            #expect(found.identity.description == row.uri && found.publicKeyHash == key.publicKeyHash)
        }
    }

    @Test func `a node renews its own certificate with the key it joined with`() async throws {
        let mesh = try TestMesh()
        let b = try await mesh.join("b", allow: [])
        let request = SignRequest([try SigningRequest.make(mesh.id("node/b"), key: b.key)])
        #expect(await mesh.service.handleSign(request, peerLeaf: b.grant.certificate.bytes).items.first?.certificate != nil)
    }

    @Test func `only a node's certificate of this mesh, in force, may ask`() async throws {
        let mesh = try TestMesh()
        let other = try TestMesh(trustDomain: "other.test", clock: mesh.clock)
        let b = try await mesh.join("b", allow: ["ns/shop/sa/*"])
        let stranger = try await other.join("b", allow: ["ns/shop/sa/*"])
        let request = SignRequest([try SigningRequest.make(mesh.id("ns/shop/sa/web"), key: PrivateKey())])
        let workload = await mesh.service.handleSign(request, peerLeaf: b.grant.certificate.bytes).items[0].certificate!.bytes
        #expect(await mesh.service.handleSign(request, peerLeaf: workload).error?.code == "not_a_node")
        #expect(await mesh.service.handleSign(request, peerLeaf: stranger.grant.certificate.bytes).error?.code == "trust_domain")
        #expect(await mesh.service.handleSign(request, peerLeaf: []).error?.code == "certificate_malformed")
        let many = SignRequest(Array(repeating: [], count: SignRequest.maximumRequests + 1))
        #expect(await mesh.service.handleSign(many, peerLeaf: b.grant.certificate.bytes).error?.code == "bad_request")
        mesh.clock.advance(.seconds(86_401))
        let late = await mesh.service.handleSign(request, peerLeaf: b.grant.certificate.bytes)
        #expect(late.error?.code == "expired" && late.error?.message.contains("ago") == true)
    }

    @Test func `one bad request in a batch does not spoil the others`() async throws {
        let mesh = try TestMesh()
        let b = try await mesh.join("b", allow: ["ns/shop/sa/*"])
        let good = try SigningRequest.make(mesh.id("ns/shop/sa/web"), key: PrivateKey())
        let reply = await mesh.service.handleSign(SignRequest([good, [1], good]), peerLeaf: b.grant.certificate.bytes)
        #expect(reply.items.map { $0.certificate != nil } == [true, false, true])
        #expect(reply.bundle.map(\.bytes) == [mesh.service.authority.rootDER])
    }

    @Test func `a node that was off past its certificate recovers with its key, and nobody else with another`() async throws {
        let mesh = try TestMesh()
        let b = try await mesh.join("b", allow: ["ns/shop/sa/*"])
        mesh.clock.advance(.seconds(3 * 86_400))
        func ask(_ identity: String, _ key: PrivateKey, node: String = "b") async throws -> SignReply {
            await mesh.service.handleRecover(RecoverRequest(node: node, request: try SigningRequest.make(mesh.id(identity), key: key)))
        }
        #expect(try await ask("node/b", b.key).items.first?.certificate != nil)
        #expect(try await ask("node/b", PrivateKey()).error?.code == "node_replaced")
        #expect(try await ask("node/c", b.key).error?.code == "not_allowed")
        #expect(try await ask("ns/shop/sa/web", b.key).error?.code == "not_allowed")
        #expect(try await ask("node/c", b.key, node: "c").error?.code == "node_unknown")
        _ = try await mesh.service.removeNode("b")
        #expect(try await ask("node/b", b.key).error?.code == "node_unknown")
    }
}
