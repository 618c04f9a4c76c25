import Logging
import MeshModel
import Platform

/// The mesh's authority on the node that holds it: tokens, joins, signing.
///
/// Overview: an actor of its own and not on the control thread, because it signs and waits for the disk.
/// Function: every method runs without suspension, so of two uses of one token exactly one wins. What a reply grants is on disk before there is one.
/// Implementation: decisions are `TokenLedger`'s and `NodeRegistry`'s, certificates `MeshAuthority`'s; this stores and counts.
package actor AuthorityService {
    package struct Counters: Sendable, Equatable {
        package var joined: UInt64 = 0
        package var signed: UInt64 = 0
        /// By error code.
        package var refused: [String: UInt64] = [:]
    }

    /// Bytes.
    package static let longestNodeName = 128

    package nonisolated let authority: MeshAuthority
    private let mesh: MeshRecord
    private let bundle: TrustBundle
    private let store: IdentityStore
    private let clock: @Sendable () -> WallTime
    private let logger = Logger(label: "weft.authority")
    private var lastRefusalLogged: Int64 = 0
    private var nodes: NodeRegistry
    private var tokens: TokenLedger
    package private(set) var counters = Counters()

    package init(_ stored: IdentityStore.StoredAuthority, mesh: MeshRecord, store: IdentityStore, clock: @escaping @Sendable () -> WallTime)
        throws(MeshError)
    {
        authority = stored.authority
        nodes = stored.nodes
        tokens = stored.tokens
        self.mesh = mesh
        self.store = store
        self.clock = clock
        bundle = try TrustBundle(trustDomain: mesh.trustDomain, rootsDER: [stored.authority.rootDER], path: store.rootCertificatePath)
    }

    // MARK: Tokens

    /// - Parameters:
    ///   - allow: identity patterns, see `IdentityPattern`.
    ///   - rights: what the node may write for others.
    ///   - lifetime: 1 second to 30 days.
    ///   - replace: the joiner may take the name from a node that has it.
    ///   - addresses: where the joiner finds this node's port 15008; the mesh's own list when nil.
    package func createToken(
        node: String, allow: [String], rights: [ConfigurationRight] = [], lifetime: Duration, replace: Bool = false, addresses: [SocketAddress]? = nil
    ) throws(MeshError) -> JoinToken {
        let now = clock()
        guard SPIFFEID.isSegment(node), node.utf8.count <= Self.longestNodeName else {
            throw MeshError(
                .configuration, code: "node_name", "\"\(node)\" is no node name",
                remedy: "use at most 128 letters, digits, dots, hyphens and underscores")
        }
        guard node != mesh.node else {
            throw MeshError(.configuration, code: "node_name", "\(node) is the authority's own node", remedy: "name the node that is to join")
        }
        guard lifetime >= .seconds(1), lifetime <= TokenLedger.maximumLifetime else {
            throw MeshError(
                .configuration, code: "token_lifetime", "a join token cannot last \(lifetime)", remedy: "choose between 1 second and 30 days")
        }
        guard allow.count <= TokenLedger.maximumAllowed else {
            throw MeshError(
                .configuration, code: "allow_pattern", "\(allow.count) identities are more than the \(TokenLedger.maximumAllowed) a token may allow",
                remedy: "use patterns, as ns/shop/sa/*")
        }
        try Self.check(rights)
        let addresses = addresses ?? mesh.authoritySocketAddresses
        guard (1...JoinToken.maximumAddresses).contains(addresses.count) else {
            throw MeshError(
                .configuration, code: "authority_address",
                "a token holds 1 to \(JoinToken.maximumAddresses) addresses of this node, not \(addresses.count)",
                remedy: "name one that the joining node can reach, as in `weft token create --address 192.0.2.7:15008`")
        }
        var patterns: [IdentityPattern] = []
        for text in allow { patterns.append(try IdentityPattern(text, trustDomain: mesh.trustDomain)) }
        if !replace { try nodes.check(node, replace: false) }

        let secret = Random.bytes(32)
        let token = JoinToken(
            id: Hex.encode(Random.bytes(8)), secret: secret, trustDomain: mesh.trustDomain, fingerprint: authority.fingerprint, authority: mesh.node,
            addresses: addresses, node: node, expires: now + lifetime, allow: patterns)
        var changed = tokens
        try changed.add(
            TokenLedger.Record(
                id: token.id, secretHash: Bytes(Hash.sha256(secret)), node: node, allow: patterns, rights: rights.isEmpty ? nil : Set(rights).sorted(), created: now.seconds, expires: token.expires,
                replace: replace, used: nil), now: now)
        try store.saveTokens(changed)
        tokens = changed
        return token
    }

    /// Withdraws a token. False when there is none of that id.
    package func deleteToken(_ id: String) throws(MeshError) -> Bool {
        var changed = tokens
        guard changed.remove(id) else { return false }
        try store.saveTokens(changed)
        tokens = changed
        return true
    }

    package func listTokens() -> [TokenLedger.Record] { tokens.tokens.values.sorted { $0.created < $1.created } }
    package func listNodes() -> [NodeRegistry.Record] { nodes.nodes.values.sorted { $0.name < $1.name } }

    /// Takes a node out: it gets no more certificates, and those it has run out. False when there is none of that name.
    package func removeNode(_ name: String) throws(MeshError) -> Bool {
        guard name != mesh.node else {
            throw MeshError(.policy, code: "node_name", "\(name) holds the authority and cannot be removed from the mesh")
        }
        var changed = nodes
        guard changed.remove(name) else { return false }
        try store.saveNodes(changed)
        nodes = changed
        return true
    }

    /// Gives rights to a node and takes some from it, and returns what it has then. They stand in its next certificate; what it has now
    /// keeps its marks until it ends.
    package func changeRights(
        of name: String, grant: [ConfigurationRight], revoke: [ConfigurationRight]
    ) throws(MeshError) -> [ConfigurationRight] {
        guard let record = nodes.nodes[name] else {
            throw MeshError(
                .configuration, code: "node_not_found", "there is no node \(name) in this mesh", remedy: "`weft node list` names those that joined")
        }
        guard name != mesh.node || !revoke.contains(.admin) else {
            throw MeshError(
                .policy, code: "authority_rights", "\(name) holds the authority, and is an administrator of the mesh as long as it does")
        }
        let fresh = rights(of: record).filter { !revoke.contains($0) } + grant
        try Self.check(Array(Set(fresh)))
        var changed = nodes
        _ = changed.setRights(Set(fresh).sorted(), of: name)
        try store.saveNodes(changed)
        nodes = changed
        logger.notice("rights changed", metadata: ["node": "\(name)", "rights": "\(Set(fresh).sorted().map(\.description).joined(separator: " "))"])
        return rights(of: nodes.nodes[name] ?? record)
    }

    /// The authority's own node administers the mesh, also one that was made before there were rights.
    package func rights(of record: NodeRegistry.Record) -> [ConfigurationRight] {
        Set((record.rights ?? []) + (record.name == mesh.node ? [.admin] : [])).sorted()
    }

    private static func check(_ rights: [ConfigurationRight]) throws(MeshError) {
        guard rights.count <= ConfigurationRight.maximum else {
            throw MeshError(
                .configuration, code: "too_many_rights", "\(rights.count) rights are more than the \(ConfigurationRight.maximum) a node may have",
                remedy: "grant admin, or spread the namespaces over several nodes")
        }
    }

    // MARK: Requests of other nodes

    /// Answers one join. The reply holds a certificate only when the token's use and the node are on disk.
    /// - Parameter seeds: gossip addresses for the new node.
    package func handleJoin(_ request: JoinRequest, seeds: [SocketAddress]) -> JoinReply {
        do throws(MeshError) {
            let grant = try join(request, seeds: seeds)
            counters.joined += 1
            logger.notice("node joined", metadata: ["node": "\(request.node)", "token": "\(request.tokenID)", "replace": "\(request.replace)"])
            return JoinReply(grant: grant)
        } catch {
            count(error)
            logRefusedJoin(request, error)
            return JoinReply(error: error)
        }
    }

    private func join(_ request: JoinRequest, seeds: [SocketAddress]) throws(MeshError) -> JoinGrant {
        let now = clock()
        try checkClock(request, now: now)
        let token = try tokens.check(id: request.tokenID, secret: request.secret.bytes, node: request.node, now: now)
        try nodes.check(token.node, replace: request.replace || token.replace)
        let wanted = try SigningRequest.verify(request.request.bytes)
        guard wanted.identity == mesh.identity(ofNode: token.node) else {
            throw MeshError(
                .policy, code: "not_allowed", "the token is for node \(token.node), and the signing request is for \(wanted.identity)",
                remedy: "a node joins with its own identity; it asks for its workloads' afterwards")
        }
        let certificate = try authority.issue(wanted, rights: token.rights ?? [], now: now)
        // Read anew: they may have changed since the start.
        let gossip = try store.loadGossipKeyring()

        // From here on the token is used, even if the disk fails or the answer is lost: it must never work twice.
        tokens.use(token.id, now: now)
        try store.saveTokens(tokens)
        var changed = nodes
        changed.register(NodeRegistry.Record(name: token.node, keyHash: wanted.publicKeyHash, allow: token.allow, rights: token.rights, joined: now.seconds))
        try store.saveNodes(changed)
        nodes = changed
        return JoinGrant(
            trustDomain: mesh.trustDomain, node: token.node, certificate: Bytes(certificate.der), bundle: bundle.rootsDER.map { Bytes($0) },
            gossipKeys: gossip.keys.map { Bytes($0) }, gossipRevision: gossip.revision, authority: mesh.node, authorityAddresses: mesh.authorityAddresses,
            seeds: seeds.map(\.description), allow: token.allow)
    }

    /// One line a second at most: whoever reaches the port can be refused as often as they like. The counters have them all.
    private func logRefusedJoin(_ request: JoinRequest, _ error: MeshError) {
        let second = clock().seconds
        guard second != lastRefusalLogged else { return }
        lastRefusalLogged = second
        logger.warning(
            "join refused", metadata: ["node": "\(request.node.prefix(128))", "code": "\(error.code)", "reason": "\(error.message.prefix(512))"])
    }

    /// A joiner whose clock is wrong could not use its certificate, and would find that out only when its token is used.
    private func checkClock(_ request: JoinRequest, now: WallTime) throws(MeshError) {
        guard let time = request.time else { return }
        let (behind, most) = (now.seconds - time, authority.lifetimes.backdate.components.seconds)
        guard abs(behind) <= most else {
            throw MeshError(
                .policy, code: "clock",
                "the clock of node \(request.node) is \(spoken(abs(behind))) \(behind > 0 ? "behind" : "ahead of") the authority's",
                remedy: "set the clock right, as with `timedatectl set-ntp true`, and join again: the token is not used up")
        }
    }

    /// Answers a request for certificates.
    /// - Parameter peerLeaf: DER of the certificate that the requester proved to own on the stream; it is checked here again.
    package func handleSign(_ request: SignRequest, peerLeaf: [UInt8]) -> SignReply {
        let now = clock()
        do throws(MeshError) {
            return try answer(
                request, for: nodes.requester(bundle.verify(leaf: peerLeaf, now: now, subject: "the requester's certificate")), now: now)
        } catch {
            count(error)
            return SignReply(error: error)
        }
    }

    /// For the authority's own node, which needs no stream and no certificate in force to ask itself.
    package func signLocally(_ request: SignRequest) -> SignReply {
        do throws(MeshError) {
            guard let record = nodes.nodes[mesh.node] else {
                throw .corrupt(store.nodesPath, "the authority's own node \(mesh.node) is not in it")
            }
            return try answer(request, for: record, now: clock())
        } catch {
            count(error)
            return SignReply(error: error)
        }
    }

    /// Gives a node whose certificate expired a new one, if the request is made with the key that the node joined with.
    package func handleRecover(_ request: RecoverRequest) -> SignReply {
        do throws(MeshError) {
            guard let record = nodes.nodes[request.node] else { throw NodeRegistry.unknown(request.node) }
            let wanted = try SigningRequest.verify(request.request.bytes)
            guard wanted.publicKeyHash == record.keyHash else { throw NodeRegistry.replaced(record) }
            guard wanted.identity.node == record.name else {
                throw MeshError(.policy, code: "not_allowed", "node \(record.name) may recover only its own identity, not \(wanted.identity)")
            }
            return try answer(SignRequest([request.request.bytes]), for: record, now: clock())
        } catch {
            count(error)
            return SignReply(error: error)
        }
    }

    private func answer(_ request: SignRequest, for record: NodeRegistry.Record, now: WallTime) throws(MeshError) -> SignReply {
        guard request.requests.count <= SignRequest.maximumRequests else {
            throw .badRequest("\(request.requests.count) signing requests at once are more than \(SignRequest.maximumRequests)")
        }
        let items = request.requests.map { bytes in
            do throws(MeshError) {
                let certificate = try sign(bytes.bytes, for: record, now: now)
                counters.signed += 1
                return SignReply.Item(certificate: Bytes(certificate.der))
            } catch {
                count(error)
                logger.warning("certificate refused", metadata: ["node": "\(record.name)", "code": "\(error.code)", "reason": "\(error.message)"])
                return SignReply.Item(error: WireError(error))
            }
        }
        return SignReply(items: items, bundle: bundle.rootsDER)
    }

    private func sign(_ der: [UInt8], for record: NodeRegistry.Record, now: WallTime) throws(MeshError) -> IssuedCertificate {
        let wanted = try SigningRequest.verify(der)
        try nodes.permit(wanted.identity, to: record, trustDomain: mesh.trustDomain)
        // A node is known by its key: a stolen certificate must not be able to bring a key of its own.
        guard wanted.identity.node == nil || wanted.publicKeyHash == record.keyHash else {
            throw MeshError(
                .policy, code: "node_key", "node \(record.name) asked for a certificate with another node key than it joined with",
                remedy: "join the node again with `weft join --replace`")
        }
        return try authority.issue(wanted, rights: wanted.identity.node == nil ? [] : rights(of: record), now: now)
    }

    private func count(_ error: MeshError) { counters.refused[error.code, default: 0] += 1 }
}
