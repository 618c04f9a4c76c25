import Logging
import MeshModel
import Platform
import Reactor
import TLS

/// Who this node is: in no mesh, or a member with certificates that it keeps fresh.
///
/// Overview: the one owner of a node's keys and certificates. On the control thread; disk and signing happen elsewhere.
/// Function: `start` reads the state; `initialise`, `join` and `leave` change it; `ensure` says which workload identities are wanted. Every change
/// of what is held reaches `onChange`. A certificate that cannot be renewed stays in use until it ends.
/// Implementation: `RenewalPlan` decides when, `AuthorityLink` carries, `IdentityStore` keeps; an answer for an earlier membership is dropped.
@Control
package final class NodeIdentity {
    package struct Options: Sendable {
        package var lifetimes = CertificateLifetimes()
        package init() {}
    }

    package struct Counters: Sendable, Equatable {
        /// Certificates put into use, and requests that brought none.
        package var issued: UInt64 = 0
        package var failed: UInt64 = 0
    }

    /// Called with every new set of credentials, and with nil when the node left its mesh.
    package var onChange: (@Control (CredentialSet?) -> Void)?
    /// Gossip addresses that a joining node is told; asked at each join.
    package var seeds: @Control () -> [SocketAddress] = { [] }

    package private(set) var counters = Counters()
    package private(set) var credentials: CredentialSet?
    /// The authority, on the node that holds it.
    package private(set) var authority: AuthorityService?
    package var mesh: MeshRecord? { stored?.mesh }

    let store: IdentityStore
    private let link: any AuthorityLink
    private let options: Options
    private let clock: @Sendable () -> WallTime
    private let logger = Logger(label: "weft.identity")
    private var stored: StoredIdentity?
    private var wanted: Set<SPIFFEID> = []
    private var plan = RenewalPlan()
    private var serials: [SPIFFEID: String] = [:]
    private var timer: TimerID?
    private var isRenewing = false
    private var isChanging = false
    /// Membership changes and renewals both write files; a renewal that finds another generation inside writes none.
    private let gate = ChangeGate()
    /// Counts memberships.
    private var generation = 0

    package init(store: IdentityStore, link: any AuthorityLink, options: Options = Options(), clock: @escaping @Sendable () -> WallTime = { .now() })
    {
        self.store = store
        self.link = link
        self.options = options
        self.clock = clock
    }

    // MARK: Membership

    /// Reads the state directory. Afterwards `credentials` is nil if and only if the node is in no mesh.
    package func start() async throws(MeshError) {
        let (store, lifetimes) = (self.store, options.lifetimes)
        let loaded = try await offload { () throws(MeshError) -> (StoredIdentity, IdentityStore.StoredAuthority?)? in
            guard let identity = try store.load() else { return nil }
            return (identity, identity.mesh.holdsAuthority ? try store.loadAuthority(identity.mesh.trustDomain, lifetimes: lifetimes) : nil)
        }
        if let (identity, authority) = loaded { try adopt(identity, authority) }
    }

    /// Makes a mesh with this node as its authority.
    /// - Parameter addresses: where joining nodes reach this node's port 15008; may be empty if every token names its own.
    package func initialise(trustDomain: String, node: String, addresses: [SocketAddress]) async throws(MeshError) {
        try begin()
        defer { isChanging = false }
        guard stored == nil else { throw Self.alreadyMember(stored) }
        let mesh = MeshRecord(
            trustDomain: trustDomain, node: node, authority: node, authorityAddresses: addresses.map(\.description), seeds: [], allow: [.any])
        let (store, lifetimes, now) = (self.store, options.lifetimes, clock())
        await gate.enter()
        defer { gate.leave() }
        let (identity, authority) = try await offload { () throws(MeshError) in
            (
                try Founding.found(mesh, store: store, lifetimes: lifetimes, now: now),
                try store.loadAuthority(trustDomain, lifetimes: lifetimes)
            )
        }
        try adopt(identity, authority)
    }

    /// Joins the mesh of a token.
    /// - Parameters:
    ///   - node: the name this node is configured with; nil takes the token's.
    ///   - replace: take the name over from a node that has it, and leave the mesh this node may be in.
    package func join(_ text: String, node: String? = nil, replace: Bool = false) async throws(MeshError) {
        try begin()
        defer { isChanging = false }
        let token = try JoinToken(text)
        if let stored, !replace || stored.mesh.holdsAuthority { throw Self.alreadyMember(stored) }
        guard node == nil || node == token.node, let identity = SPIFFEID(trustDomain: token.trustDomain, node: token.node) else {
            throw MeshError(
                .configuration, code: "token_name", "the join token is for node \(token.node), and this node is configured as \(node ?? "")",
                remedy: "make a token with `weft token create --node \(node ?? "")`, or change the node's name in its configuration")
        }
        let (store, key, now) = (self.store, PrivateKey(), clock())
        // Both before anything is sent: a disk that cannot be written must not cost a token.
        let request = try await offload { () throws(MeshError) in
            try store.prepare()
            return JoinRequest(token: token, request: try SigningRequest.make(identity, key: key), replace: replace, now: now)
        }
        let (reply, root) = try await link.join(request, token: token)
        let joined = try Admission.check(reply.result(), token: token, root: root, key: key, now: clock())
        await gate.enter()
        defer { gate.leave() }
        try await offload { () throws(MeshError) in try store.save(joined) }
        try adopt(joined, nil)
    }

    /// Leaves the mesh: no key, certificate or token remains on disk.
    /// - Parameter force: needed on the authority's node, whose root key is the mesh. Also leaves when the state on disk is damaged.
    package func leave(force: Bool = false) async throws(MeshError) {
        try begin()
        defer { isChanging = false }
        let path = store.rootKeyPath
        let holdsAuthority = try await offload { () throws(MeshError) in AtomicFile.exists(path) }
        guard force || !holdsAuthority else {
            throw MeshError(
                .policy, code: "holds_authority", "this node holds the mesh's authority, and leaving destroys its root key for good",
                remedy:
                    "run `weft leave --force` if the mesh is to end; its certificates last \(spoken(options.lifetimes.leaf.components.seconds)) more"
            )
        }
        let store = self.store
        await gate.enter()
        defer { gate.leave() }
        try await offload { () throws(MeshError) in try store.wipe() }
        generation += 1
        stored = nil
        authority = nil
        credentials = nil
        plan = RenewalPlan()
        serials = [:]
        wake()
        onChange?(nil)
    }

    private func begin() throws(MeshError) {
        guard !isChanging else {
            throw MeshError(
                .policy, code: "busy", "this node is joining or leaving a mesh at this moment", remedy: "try again when that is done", retryable: true
            )
        }
        isChanging = true
    }

    private static func alreadyMember(_ stored: StoredIdentity?) -> MeshError {
        let (node, domain) = (stored?.mesh.node ?? "", stored?.mesh.trustDomain ?? "")
        return MeshError(
            .configuration, code: "already_member", "this node is \(node) in the mesh \(domain) already",
            remedy: stored?.mesh.holdsAuthority == true
                ? "it holds that mesh's authority: see `weft leave --force`" : "run `weft leave` first, or join with --replace")
    }

    private func adopt(_ identity: StoredIdentity, _ authority: IdentityStore.StoredAuthority?) throws(MeshError) {
        let service: AuthorityService?
        if let authority {
            service = try AuthorityService(authority, mesh: identity.mesh, store: store, clock: clock)
        } else {
            service = nil
        }
        let now = clock()
        let set = try CredentialSet(identity, previous: nil, at: now)
        generation += 1
        stored = identity
        self.authority = service
        credentials = set
        plan = RenewalPlan()
        serials = [:]
        track(set.nodeIdentity, identity.node)
        for (workload, pair) in identity.workloads { track(workload, pair) }
        for workload in wanted where workload.trustDomain == identity.mesh.trustDomain { plan.track(workload, RenewalSchedule(now: now)) }
        onChange?(set)
        wake()
    }

    private func track(_ identity: SPIFFEID, _ pair: KeyPair) {
        guard let facts = CertificateFacts(pair.certificate) else { return }
        serials[identity] = facts.serial
        plan.track(identity, RenewalSchedule(notBefore: facts.notBefore, notAfter: facts.notAfter, random: .random(in: 0..<1)))
    }

    // MARK: Gossip keys

    /// Puts a newer keyring on disk, and then into use: `onChange` tells. False when the one in use is as new.
    /// - Parameter basis: the position of the keyring that it was made from; false when another has come since.
    package func take(_ keyring: GossipKeyring, basis: GossipKeyring.Position? = nil) async throws(MeshError) -> Bool {
        let (generation, store) = (self.generation, self.store)
        await gate.enter()
        defer { gate.leave() }
        guard generation == self.generation, let held = stored?.gossip, keyring.position > held.position else { return false }
        guard basis == nil || basis == held.position else { return false }
        try await offload { () throws(MeshError) in try store.saveGossipKeyring(keyring) }
        guard var fresh = stored else { return false }
        fresh.gossip = keyring
        publish(fresh)
        return true
    }

    // MARK: Workloads

    /// Says which workload identities this node needs from now on. Missing certificates are asked for, those no longer wanted are deleted.
    package func ensure(identities: Set<SPIFFEID>) {
        wanted = identities
        guard let stored else { return }
        for identity in identities where identity.trustDomain == stored.mesh.trustDomain && identity.workload != nil {
            plan.track(identity, RenewalSchedule(now: clock()))
        }
        let gone = plan.entries.keys.filter { $0.workload != nil && !identities.contains($0) }
        for identity in gone {
            plan.drop(identity)
            serials[identity] = nil
        }
        if !gone.isEmpty { dropWorkloads(Set(gone)) }
        wake()
    }

    /// Wanted identities that have no certificate in force.
    package var missing: Set<SPIFFEID> { wanted.filter { credentials?.workloads[$0] == nil } }

    package var certificates: [CertificateStatus] {
        let now = clock()
        return plan.entries.sorted { $0.key < $1.key }.map { identity, entry in
            CertificateStatus(
                identity: identity, state: entry.schedule.state(now), notBefore: entry.schedule.validity?.lowerBound,
                notAfter: entry.schedule.validity?.upperBound, serial: serials[identity] ?? "", renewal: entry.schedule.due,
                lastError: entry.lastError)
        }
    }

    private func dropWorkloads(_ gone: Set<SPIFFEID>) {
        guard var changed = stored else { return }
        for identity in gone { changed.workloads[identity] = nil }
        publish(changed)
        sweep()
    }

    // MARK: Renewal

    /// Asks for every certificate again now, as after rights were granted.
    package func renew() {
        plan.hasten(clock())
        wake()
    }

    /// Asks for what is due, or sleeps until something is.
    private func wake() {
        if let timer { ControlLoop.shared.cancel(timer) }
        timer = nil
        guard let stored, !isRenewing else { return }
        let now = clock()
        // A certificate that ended since is not offered any more.
        if let credentials, credentials.workloads.values.contains(where: { $0.notAfter <= now }) { publish(stored) }
        let due = plan.takeDue(now, most: SignRequest.maximumRequests)
        guard !due.isEmpty else {
            if let wait = plan.sleep(now) {
                timer = ControlLoop.shared.after(wait) { [weak self] in self?.wake() }
            }
            return
        }
        isRenewing = true
        let generation = self.generation
        Task { @Control in
            await renew(due, of: stored, generation: generation)
            isRenewing = false
            wake()
        }
    }

    private func renew(_ due: [SPIFFEID], of identity: StoredIdentity, generation: Int) async {
        do throws(MeshError) {
            let orders = try await offload { () throws(MeshError) in try RenewalOrder.make(due, for: identity) }
            let reply = try await ask(orders, of: identity)
            if let refusal = reply.error { throw refusal.error }
            guard reply.items.count == orders.count else {
                throw MeshError.badRequest("the authority answered \(reply.items.count) of \(orders.count) requests")
            }
            let bundle = try TrustBundle(trustDomain: identity.mesh.trustDomain, rootsDER: reply.bundle.map(\.bytes), path: "the authority's answer")
            await gate.enter()
            defer { gate.leave() }
            guard generation == self.generation else { return }
            await take(orders, reply.items, bundle)
        } catch {
            guard generation == self.generation else { return }
            for identity in due { failed(identity, error) }
        }
    }

    private func ask(_ orders: [RenewalOrder], of identity: StoredIdentity) async throws(MeshError) -> SignReply {
        let request = SignRequest(orders.map(\.request))
        if let authority { return await authority.signLocally(request) }
        if let facts = CertificateFacts(identity.node.certificate), facts.notAfter <= clock() {
            // Nothing opens a plane stream without a node certificate in force, so this comes first, and alone.
            return try await recover(orders, of: identity)
        }
        return try await link.sign(request, as: identity)
    }

    private func recover(_ orders: [RenewalOrder], of identity: StoredIdentity) async throws(MeshError) -> SignReply {
        guard let own = orders.firstIndex(where: { $0.identity.node != nil }) else {
            throw MeshError(
                .internal, code: "node_expired", "this node's own certificate has expired and is being renewed first",
                remedy: "wait, or see `weft certs`", retryable: true)
        }
        let reply = try await link.recover(RecoverRequest(node: identity.mesh.node, request: orders[own].request), as: identity)
        guard reply.error == nil, let item = reply.items.first else { return reply }
        let wait = MeshError(.internal, code: "node_expired", "this node's own certificate had expired and was renewed first", retryable: true)
        return SignReply(
            items: orders.indices.map { $0 == own ? item : SignReply.Item(error: WireError(wait)) }, bundle: reply.bundle.map(\.bytes))
    }

    /// Checks each certificate, stores it and puts it into use. Inside the gate.
    private func take(_ orders: [RenewalOrder], _ items: [SignReply.Item], _ bundle: TrustBundle) async {
        let (store, now, isNewBundle) = (self.store, clock(), bundle.rootsDER != stored?.bundle.rootsDER)
        var checked: [(RenewalOrder, KeyPair, VerifiedCertificate)] = []
        for (order, item) in zip(orders, items) {
            do throws(MeshError) {
                let (pair, verified) = try order.check(item, bundle: bundle, now: now)
                try await offload { () throws(MeshError) in
                    if isNewBundle { try store.saveBundle(bundle) }
                    if order.identity.node == nil { try store.saveWorkload(order.identity, pair) } else { try store.saveNode(pair) }
                }
                checked.append((order, pair, verified))
            } catch {
                failed(order.identity, error)
            }
        }
        guard var fresh = stored else { return }
        var isAnyUnwanted = false
        for (order, pair, verified) in checked {
            let identity = order.identity
            if identity.node != nil {
                fresh.node = pair
            } else if plan.entries[identity] != nil {
                fresh.workloads[identity] = pair
            } else {
                isAnyUnwanted = true
                continue
            }
            serials[identity] = verified.serial
            counters.issued += 1
            plan.issued(identity, notBefore: verified.notBefore, notAfter: verified.notAfter, random: .random(in: 0..<1))
        }
        if isNewBundle { fresh.bundle = bundle }
        publish(fresh)
        if isAnyUnwanted { sweep() }
    }

    private func failed(_ identity: SPIFFEID, _ error: MeshError) {
        counters.failed += 1
        // Once for each reason, not for each attempt.
        if plan.entries[identity]?.lastError?.code != error.code {
            logger.warning("no new certificate", metadata: ["identity": "\(identity)", "code": "\(error.code)", "reason": "\(error)"])
        }
        plan.failed(identity, error, now: clock(), random: .random(in: 0..<1))
    }

    /// Puts a state into use and tells about it.
    private func publish(_ fresh: StoredIdentity) {
        let previous = stored.flatMap { stored in credentials.map { (stored, $0) } }
        stored = fresh
        do throws(MeshError) {
            let set = try CredentialSet(fresh, previous: previous, at: clock())
            credentials = set
            onChange?(set)
        } catch {
            if let identity = fresh.mesh.identity(ofNode: fresh.mesh.node) { failed(identity, error) }
        }
    }

    /// Deletes the files of workloads that are not wanted any more.
    private func sweep() {
        let generation = self.generation
        Task { @Control in
            await gate.enter()
            defer { gate.leave() }
            guard generation == self.generation, let stored else { return }
            let (store, kept) = (self.store, Set(stored.workloads.keys))
            // What stays behind is a key in a private directory that the next start looks at again.
            try? await offload { () throws(MeshError) in try store.removeWorkloads(except: kept) }
        }
    }
}
