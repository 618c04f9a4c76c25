import MeshModel
import Plane
import Platform
import Reactor
import TLS

/// The authority over TLS on port 15008.
package struct PlaneLink: AuthorityLink {
    /// How long the authority may take to answer.
    package static let timeout = Duration.seconds(15)

    /// SO_MARK of the sockets, so that capture skips them.
    package let mark: UInt32
    /// Where a node is now, as its signed record says; tried before the addresses known from the join.
    private let lookUp: @Control @Sendable (_ node: String) -> [SocketAddress]
    private let clock: @Sendable () -> WallTime

    package init(
        mark: UInt32, clock: @escaping @Sendable () -> WallTime = { .now() },
        lookUp: @escaping @Control @Sendable (_ node: String) -> [SocketAddress] = { _ in [] }
    ) {
        self.mark = mark
        self.clock = clock
        self.lookUp = lookUp
    }

    // MARK: Join

    @Control
    package func join(_ request: JoinRequest, token: JoinToken) async throws(MeshError) -> (reply: JoinReply, root: [UInt8]) {
        let trust = try Self.trustNobody()
        let server = SPIFFEID(trustDomain: token.trustDomain, node: token.authority)
        let payload = try Wire.encode(request)
        let (stream, root) = try await first(token.socketAddresses) { address throws(MeshError) in
            let stream = try await PlaneDialer.dial(
                address, serverName: server.map(Self.serverName), alpn: [IdentityProtocol.join], credential: nil, trust: trust, verify: .none,
                mark: mark,
                settings: JoinServer.settings)
            do throws(MeshError) {
                return (stream, try RootPin.check(chain: stream.peerChainDER, token: token, now: clock()))
            } catch {
                stream.close("the server is not the one that the token names")
                throw error
            }
        }
        // From here on the token may be used: no other address is tried.
        stream.start()
        defer { stream.close("done") }
        do throws(MeshError) {
            return (try Wire.decode(JoinReply.self, await stream.request(.join, payload, timeout: Self.timeout).payload), root)
        } catch {
            if ["plane_busy", "plane_unsupported", "not_authority"].contains(error.code) { throw error }
            throw MeshError(
                .peer, code: "join_answer_lost", "the authority's answer did not arrive (\(error.message)), and the token may be used",
                remedy: "make a new token and run `weft join --replace` with it")
        }
    }

    /// A trust store for a connection whose server is pinned by fingerprint: OpenSSL wants a root, so it gets one whose key nobody has.
    private static func trustNobody() throws(MeshError) -> TrustStore {
        let root = try MeshAuthority(creating: "weft.invalid", now: WallTime(seconds: 0)).rootDER
        do {
            return try TrustStore(rootsDER: [root])
        } catch {
            throw MeshError(error, with: nil)
        }
    }

    // MARK: Certificates

    @Control
    package func sign(_ request: SignRequest, as identity: StoredIdentity) async throws(MeshError) -> SignReply {
        let credential: Credential
        do {
            credential = try Credential(chainDER: [identity.node.certificate], privateKeyDER: identity.node.key.pkcs8)
        } catch {
            throw MeshError(error, with: nil)
        }
        return try await ask(.sign, request, as: identity, alpn: IdentityProtocol.plane, credential: credential)
    }

    @Control
    package func recover(_ request: RecoverRequest, as identity: StoredIdentity) async throws(MeshError) -> SignReply {
        try await ask(.recover, request, as: identity, alpn: IdentityProtocol.join, credential: nil)
    }

    @Control
    private func ask(_ type: FrameType, _ request: some Encodable, as identity: StoredIdentity, alpn: String, credential: Credential?)
        async throws(MeshError) -> SignReply
    {
        let mesh = identity.mesh
        let payload = try Wire.encode(request)
        let trust: TrustStore
        do {
            trust = try TrustStore(rootsDER: identity.bundle.rootsDER)
        } catch {
            throw MeshError(error, with: nil)
        }
        guard let server = mesh.identity(ofNode: mesh.authority) else { throw .corrupt("mesh.json", "its authority is no node name") }
        var addresses = lookUp(mesh.authority)
        for address in mesh.authoritySocketAddresses where !addresses.contains(address) { addresses.append(address) }
        let stream = try await first(addresses) { address throws(MeshError) in
            let stream = try await PlaneDialer.dial(
                address, serverName: Self.serverName(server), alpn: [alpn], credential: credential, trust: trust, mark: mark)
            guard stream.peerURIs == [server.description] else {
                stream.close("not the authority")
                throw MeshError(
                    .peer, code: "not_the_authority",
                    "\(address) is \(stream.peerURIs.first ?? "nobody"), not the authority's node \(mesh.authority)",
                    remedy: "has the authority's address changed? It is in \"authorityAddresses\" of mesh.json", retryable: true)
            }
            return stream
        }
        stream.start()
        defer { stream.close("done") }
        return try Wire.decode(SignReply.self, await stream.request(type, payload, timeout: Self.timeout).payload)
    }

    // MARK: Addresses

    /// What `body` gives for the first address that works, else the failure that says most: one about the server before one about the network.
    @Control
    private func first<T>(
        _ addresses: [SocketAddress], _ body: @Control (SocketAddress) async throws(MeshError) -> T
    ) async throws(MeshError) -> T {
        var failure: MeshError?
        for address in addresses {
            do throws(MeshError) {
                return try await body(address)
            } catch {
                if failure == nil || !error.code.hasPrefix("plane_") { failure = error }
            }
        }
        throw failure
            ?? MeshError(
                .configuration, code: "authority_address", "no address of the authority's node is known",
                remedy: "make a token with --address, and join again")
    }

    private static func serverName(_ identity: SPIFFEID) -> String { SNI.name(for: identity, sha256: Hash.sha256) }
}
