import Identity
import Logging
import MeshModel
import Plane
import Platform
import Reactor
import TLS

/// Streams to other nodes: dialled from here or accepted by workers, one each, authenticated by node certificates.
extension Catalog {
    /// Addresses at which other nodes are found before their records are here: from the join's answer and the configuration.
    /// Which node lives there does not matter.
    package func setSeeds(_ addresses: [SocketAddress]) {
        links.plan.setSeeds(addresses.filter { $0 != configuration.info.tunnel }, .now())
        dialDue()
    }

    /// Takes part in a stream that a worker accepted (ALPN `weft-plane/1`). Call before the stream's `start`, and leave its `onClose` alone.
    ///
    /// The stream counts as this peer's only when it says hello: other questions may travel on streams of their own.
    package func accept(_ stream: PlaneStream) {
        guard isStarted else { return }
        guard let peer = peerName(stream), peer != core.node else {
            return stream.close("only other nodes of the mesh \(core.trustDomain) may open such streams")
        }
        guard links.greeting < PeerLinks.maximumGreeting else { return stream.close("too many streams without a hello") }
        attend(stream, peer: peer, dialledHere: false) { _ in }
    }

    /// The streams that are up.
    package var peers: [PeerStatus] {
        links.links.sorted { $0.key < $1.key }.map { name, link in
            PeerStatus(
                node: name, address: link.stream.peer, dialledHere: link.dialledHere, since: link.since, queuedBytes: link.stream.queuedBytes,
                counters: link.stream.counters)
        }
    }
    /// Why the last dial failed, by address.
    package var dialFailures: [SocketAddress: String] { links.failures }

    /// Asks a node that a stream leads to.
    ///
    /// - Throws: `no_stream` without one, and what the question itself ends with.
    package func ask(_ peer: String, _ type: FrameType, _ payload: [UInt8], timeout: Duration) async throws(MeshError) -> Frame {
        guard let stream = links.links[peer]?.stream else {
            let failure = address(of: peer).flatMap { links.failures[$0] }
            throw MeshError(
                .peer, code: "no_stream", "there is no stream to node \(peer)\(failure.map { ": \($0)" } ?? "")",
                remedy: "`weft members` shows whether it is alive; TCP to its tunnel port must be open", retryable: true)
        }
        return try await stream.request(type, payload, timeout: timeout)
    }

    // MARK: Dialling

    /// Dials a node once although membership says that it is gone: membership itself may be wrong, when the two have other gossip keys.
    package func callOnce(_ node: String) {
        links.plan.callOnce(node, .now())
        dialDue()
    }

    func dialDue() {
        guard isStarted, let credentials = currentCredentials else { return }
        for dial in links.plan.due(.now()) {
            Task { @Control in await self.run(dial, credentials) }
        }
    }

    private func run(_ dial: DialPlan.Dial, _ credentials: CredentialSet) async {
        var expected: SPIFFEID?
        if case .node(let name) = dial.target { expected = SPIFFEID(trustDomain: core.trustDomain, node: name) }
        do throws(MeshError) {
            let stream = try await PlaneDialer.dial(
                dial.address, serverName: expected.map { SNI.name(for: $0) { Digest.sha256($0) } }, alpn: [IdentityProtocol.plane],
                credential: credentials.node, trust: credentials.trust, mark: configuration.mark)
            guard let peer = peerName(stream), expected == nil || peer == expected?.node else {
                stream.close("not the node that was expected")
                throw MeshError(
                    .peer, code: "peer_identity",
                    "\(dial.address) is \(stream.peerURIs.first ?? "nobody"), not \(expected?.description ?? "a node of \(core.trustDomain)")",
                    remedy: "has the address gone to another host?", retryable: true)
            }
            guard isStarted, peer != core.node else {
                stream.close("this is the node itself")
                return dialEnded(dial, reached: isStarted ? peer : nil, failure: nil)
            }
            attend(stream, peer: peer, dialledHere: true) { [weak self] failure in
                self?.dialEnded(dial, reached: failure == nil ? peer : nil, failure: failure)
            }
            stream.start()
            say(.hello(node: core.node, versions: CatalogWire.versions, life: links.life), on: stream)
        } catch {
            dialEnded(dial, reached: nil, failure: error.description)
        }
    }

    private func dialEnded(_ dial: DialPlan.Dial, reached: String?, failure: String?) {
        if let failure, links.failures[dial.address] != failure {
            logger.info("no stream to \(dial.address): \(failure)")
        }
        if links.failures.count >= PeerLinks.maximumFailures { links.failures = [:] }
        links.failures[dial.address] = failure
        links.plan.finished(dial, reached: reached, .now(), random: .random(in: 0..<1))
    }

    /// The node whose certificate the peer showed; nil when it is no node of this mesh.
    private func peerName(_ stream: PlaneStream) -> String? {
        guard stream.peerURIs.count == 1, let identity = SPIFFEID(stream.peerURIs[0]), identity.trustDomain == core.trustDomain else { return nil }
        return identity.node
    }

    // MARK: One stream

    /// - Parameter greeted: called once, with nil when the peer said hello (the stream is used, or another to the same node already is),
    ///   else with the reason.
    private func attend(_ stream: PlaneStream, peer: String, dialledHere: Bool, greeted: @escaping @Control (String?) -> Void) {
        links.greeting += 1
        var isGreeting = true
        let timeout = ControlLoop.shared.after(PeerLinks.helloTimeout) { [weak stream] in
            // Streams that carry other questions end by themselves.
            if isGreeting, dialledHere { stream?.close("no hello within \(PeerLinks.helloTimeout.milliseconds / 1000) s") }
        }
        func settle(_ failure: String?) {
            guard isGreeting else { return }
            isGreeting = false
            links.greeting -= 1
            ControlLoop.shared.cancel(timeout)
            greeted(failure)
        }
        stream.onClose = { [weak self] closure in
            settle(self?.links.links[peer] != nil ? nil : closure.description)
            self?.streamEnded(stream, peer, closure)
        }
        answerSummaries(on: stream)
        for rider in riders { attend(rider, on: stream, peer) }
        for type in CatalogWire.FrameType.allCases {
            stream.handle(FrameType(rawValue: type.rawValue)) { [weak self, weak stream] frame in
                guard let self, let stream else { return }
                if type == .hello {
                    let (isFirst, adopted) = (isGreeting, hello(frame, stream, peer, dialledHere: dialledHere, isFirst: isGreeting))
                    if isFirst, adopted { settle(nil) }
                } else if links.links[peer]?.stream === stream {
                    received(frame, peer)
                }
            }
        }
    }

    private func attend(_ rider: PlaneRider, on stream: PlaneStream, _ peer: String) {
        for (type, answerer) in rider.answers { stream.answer(type) { frame throws(MeshError) in try await answerer(frame, peer) } }
        for type in rider.frames {
            stream.handle(type) { [weak self, weak stream] frame in
                guard let self, let stream, links.links[peer]?.stream === stream else { return }
                rider.received(frame, peer)
            }
        }
    }

    /// True when both ends agree on a version and the stream is used from now on.
    private func hello(_ frame: Frame, _ stream: PlaneStream, _ peer: String, dialledHere: Bool, isFirst: Bool) -> Bool {
        guard isFirst else { return false }
        guard case .hello(let name, let versions, let life)? = try? CatalogWire.decode(frame.type.rawValue, frame.payload, authority: core.authority)
        else {
            core.receivedMalformed("a hello that cannot be read", from: peer, .now())
            stream.close("the hello cannot be read")
            return false
        }
        guard name == peer else {
            stream.close("the hello is of \(name.prefix(64)), the certificate of \(peer)")
            return false
        }
        guard versions.overlaps(CatalogWire.versions) else {
            logger.warning("node \(peer) speaks versions \(versions) of the catalog, this node \(CatalogWire.versions): upgrade the older one")
            stream.close("no common version: \(versions) and \(CatalogWire.versions)")
            return false
        }
        if let old = links.links[peer] {
            let isNewLife = life != old.life
            guard isNewLife || StreamChoice.keepsNew(node: core.node, peer: peer, oldDialledHere: old.dialledHere, newDialledHere: dialledHere) else {
                stream.close("there is a stream between the two nodes already")
                return false
            }
            links.links[peer] = nil
            old.stream.close("replaced by another stream")
        }
        if !dialledHere { say(.hello(node: core.node, versions: CatalogWire.versions, life: links.life), on: stream) }
        guard stream.isOpen else { return false }
        links.links[peer] = .init(stream: stream, dialledHere: dialledHere, since: .now(), life: life)
        links.plan.connected(peer)
        core.connected(peer, .now())
        perform()
        for rider in riders { rider.connected(peer) }
        return true
    }

    private func received(_ frame: Frame, _ peer: String) {
        do throws(WireFault) {
            let message = try CatalogWire.decode(frame.type.rawValue, frame.payload, authority: core.authority)
            core.received(message, from: peer, .now())
        } catch {
            core.receivedMalformed(error.description, from: peer, .now())
        }
        perform()
    }

    private func streamEnded(_ stream: PlaneStream, _ peer: String, _ closure: PlaneClosure) {
        guard links.links[peer]?.stream === stream else { return }
        links.links[peer] = nil
        links.plan.disconnected(peer, .now(), random: .random(in: 0..<1))
        core.disconnected(peer, .now())
        perform()
        for rider in riders { rider.disconnected(peer) }
        switch closure {
        case .local: break
        case .peer, .failed:
            logger.info("the stream to node \(peer) ended: \(closure)")
            onStreamLost?(peer)
        }
    }

    // MARK: Sending and closing

    /// Sends a frame of the rider's. Nothing happens when no stream leads to the node.
    package func send(_ frame: Frame, to peer: String) {
        guard let link = links.links[peer] else { return }
        say(frame, on: link.stream)
    }

    func send(_ message: CatalogMessage, to peer: String) {
        guard let link = links.links[peer] else { return }
        guard case .delta(let deltas) = message, let delta = deltas.first, deltas.count == 1, delta.origin == core.node else {
            return say(message, on: link.stream)
        }
        if ownFrame?.position != delta.position || ownFrame?.from != delta.from {
            ownFrame = (delta.position, delta.from, Self.frame(message))
        }
        if let frame = ownFrame?.frame { say(frame, on: link.stream) }
    }

    func broadcast(_ message: CatalogMessage) {
        let frame = Self.frame(message)
        for name in Array(links.links.keys) {
            if let link = links.links[name] { say(frame, on: link.stream) }
        }
    }

    private func say(_ message: CatalogMessage, on stream: PlaneStream) { say(Self.frame(message), on: stream) }

    private func say(_ frame: Frame, on stream: PlaneStream) {
        do throws(MeshError) {
            try stream.send(frame)
        } catch {
            // What it missed it gets after the next hello.
            stream.close(error.message)
        }
    }

    private static func frame(_ message: CatalogMessage) -> Frame {
        let (type, payload) = CatalogWire.encode(message)
        return Frame(FrameType(rawValue: type.rawValue), payload)
    }

    package func closeLink(_ peer: String, _ reason: String) { links.links[peer]?.stream.close(reason) }

    func closeAll(_ reason: String) {
        for peer in Array(links.links.keys) { closeLink(peer, reason) }
    }
}
