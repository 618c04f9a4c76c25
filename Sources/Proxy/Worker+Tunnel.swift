import Glibc
import HTTPWire
import MeshModel
import Platform
import Reactor
import TLS
import Traffic

/// A tunnel until it is open: connect or accept, handshake, and who the peer proved to be.
extension Worker {
    // MARK: Contexts

    /// New contexts for a new trust bundle. Tunnels that exist keep the one they were made with.
    func makeContexts(_ snapshot: Snapshot) {
        guard let trust = snapshot.trust else { return }
        clientContext = TLSContext.client(trust: trust, kernelTLS: settings.kernelTLS)
        serverContext = TLSContext.server(trust: trust, alpn: ["h2", "weft-plane/1", "weft-join/1"], kernelTLS: settings.kernelTLS) { [unowned self] hello in self.decide(hello) }
    }

    /// Which certificate answers a ClientHello: the ALPN says whether it is for a workload or for the node.
    private func decide(_ hello: ClientHello) -> ServerDecision {
        guard let snapshot = self.snapshot else { return .refuse }
        if hello.selectedALPN == "weft-join/1" {
            guard let join = snapshot.join else { return refuseHello() }
            presenting = snapshot.nodeIdentity
            return .accept(join, peerCertificate: .optional)
        }
        let identity = hello.selectedALPN == "weft-plane/1"
            ? snapshot.nodeIdentity : hello.serverName.flatMap { snapshot.serverNames[$0] } ?? snapshot.soleWorkload
        guard let identity, let credential = snapshot.credentials[identity] else { return refuseHello() }
        presenting = identity
        return .accept(credential, peerCertificate: .required)
    }

    private func refuseHello() -> ServerDecision {
        statistics.handshakeFailures["unrecognized_name", default: 0] &+= 1
        return .refuse
    }

    // MARK: Opening

    func acceptTunnel(_ fd: consuming OwnedFD, _ peer: SocketAddress) {
        guard let serverContext else { return refuseTunnel(fd, .notReady) }
        guard handshakes < settings.limits.handshakes else {
            problem("handshake_limit", "\(handshakes) connections to the tunnel port have not ended their TLS handshake: one from \(peer) was refused")
            return refuseTunnel(fd, .tunnelLimit)
        }
        guard let (slot, generation) = tunnels.allocate() else {
            problem("tunnel_limit", "\(settings.limits.tunnels) tunnels are open in one worker: one from \(peer) was refused")
            return refuseTunnel(fd, .tunnelLimit)
        }
        let raw = fd.raw
        let tunnel = TunnelPointer.allocate(capacity: 1)
        tunnel.initialize(to: Tunnel(role: .server, key: nil, peer: peer, socket: fd, phase: .handshaking, now: now, deadline: now + settings.timeouts.handshake))
        do {
            tunnel.pointee.tls = try TLSConnection(server: serverContext, fd: tunnel.pointee.socket.take()!, buffers: tlsBuffers)
        } catch {
            tunnels.release(slot)
            buried.append(tunnel)
            return problem("tls_connection", "a tunnel cannot be accepted: \(error)")
        }
        tunnels[slot].pointee.tunnel = tunnel
        handshakes += 1
        acceptedTunnels += 1
        guard watch(raw, Token(kind: TokenKind.tunnel, slot: slot, generation: generation)) else { return closeTunnel(slot, tunnel, .descriptorLimit) }
        wake(slot, tunnel, at: tunnel.pointee.deadline)
    }

    private func refuseTunnel(_ fd: consuming OwnedFD, _ reason: FlowEnd) {
        statistics.ends[Int(reason.rawValue)] &+= 1
        Socket.resetOnClose(fd.raw)
    }

    /// A new tunnel for a key, or nil when there is no slot or socket.
    func dialTunnel(_ key: TunnelKey) throws(Errno) -> (UInt32, TunnelPointer)? {
        guard let (slot, generation) = tunnels.allocate() else { return nil }
        let fd: OwnedFD
        do {
            fd = try Socket.connect(to: key.address, mark: settings.excludedMark)
        } catch {
            tunnels.release(slot)
            throw error
        }
        let tunnel = TunnelPointer.allocate(capacity: 1)
        tunnel.initialize(
            to: Tunnel(role: .client, key: key, peer: key.address, socket: fd, phase: .connecting, now: now, deadline: now + settings.timeouts.connect))
        tunnels[slot].pointee.tunnel = tunnel
        guard watch(tunnel.pointee.fd, Token(kind: TokenKind.tunnel, slot: slot, generation: generation)) else {
            closeTunnel(slot, tunnel, .descriptorLimit)
            throw Errno(ENOSPC)
        }
        wake(slot, tunnel, at: tunnel.pointee.deadline)
        tunnel.pointee.pooled = true
        pool[key, default: []].append(slot)
        return (slot, tunnel)
    }

    // MARK: Events

    /// An event of a tunnel's socket.
    func onTunnel(_ slot: UInt32, _ place: UnsafeMutablePointer<TunnelSlot>, _ bits: UInt32) {
        guard let tunnel = place.pointee.tunnel else { return }
        if tunnel.pointee.phase == .open || tunnel.pointee.phase == .handshaking, bits & ~EpollBits.write != 0 {
            tunnel.pointee.tls!.inputArrived(mayHaveEnded: bits & EpollBits.ended != 0)
        }
        guard place.pointee.bulk, tunnel.pointee.phase == .open, bits & EpollBits.ended == 0 else { return work(slot, place, bits) }
        if bits & EpollBits.read != 0 { place.pointee.readMore = true }
        if bits & EpollBits.write != 0 { tunnel.pointee.writeBlocked = false }
        deferBulk(slot, place)
    }

    /// What a tunnel has to do: connect, shake hands, read, write.
    func work(_ slot: UInt32, _ place: UnsafeMutablePointer<TunnelSlot>, _ bits: UInt32) {
        guard let tunnel = place.pointee.tunnel else { return }
        switch tunnel.pointee.phase {
        case .closed: return
        case .connecting: tunnelConnected(slot, tunnel)
        case .handshaking: handshake(slot, tunnel)
        case .open:
            let before = tunnel.pointee.moved
            var reading = bits & ~EpollBits.write != 0
            if bits & EpollBits.write != 0 { tunnel.pointee.writeBlocked = false }
            // OpenSSL wanted to answer before it went on reading.
            if tunnel.pointee.readWantsWrite, !tunnel.pointee.writeBlocked { reading = true }
            if reading, !readTunnel(slot, tunnel) { return }
            flushTunnel(slot, tunnel)
            guard tunnel.pointee.phase == .open else { return }
            place.pointee.bulk = tunnel.pointee.moved &- before >= Self.bulkTurn
            if place.pointee.bulk { place.pointee.lastTurn = now.nanoseconds } else { sawSmall(lastBulk: place.pointee.lastTurn) }
            weigh(slot, tunnel, place)
        }
    }

    private func tunnelConnected(_ slot: UInt32, _ tunnel: TunnelPointer) {
        if let error = Socket.error(tunnel.pointee.fd) {
            return closeTunnel(slot, tunnel, error.code == ETIMEDOUT ? .tunnelConnectTimeout : .tunnelConnectFailed, errno: error.code)
        }
        guard Socket.peerAddress(tunnel.pointee.fd) != nil else { return }
        guard let key = tunnel.pointee.key, let snapshot, let clientContext, let credential = snapshot.credentials[key.source] else {
            return closeTunnel(slot, tunnel, .noCertificate)
        }
        keepAlive(tunnel.pointee.fd)
        do {
            tunnel.pointee.tls = try TLSConnection(
                client: clientContext, fd: tunnel.pointee.socket.take()!, serverName: snapshot.serverNameOf[key.destination], alpn: ["h2"], credential: credential,
                buffers: tlsBuffers)
        } catch {
            return closeTunnel(slot, tunnel, .tunnelTLSFailed)
        }
        tunnel.pointee.phase = .handshaking
        tunnel.pointee.deadline = now + settings.timeouts.handshake
        handshake(slot, tunnel)
    }

    private func handshake(_ slot: UInt32, _ tunnel: TunnelPointer) {
        presenting = 0
        let result = tunnel.pointee.tls!.handshake()
        if presenting != 0 { tunnel.pointee.presented = presenting }
        switch result {
        case .wantsRead, .wantsWrite: return
        case .failed(let error):
            statistics.handshakeFailures[error.code.rawValue, default: 0] &+= 1
            problem("tls_\(error.code.rawValue)", "TLS with \(tunnel.pointee.peer): \(error)")
            closeTunnel(slot, tunnel, .tunnelTLSFailed)
        case .done: handshakeDone(slot, tunnel)
        }
    }

    private func handshakeDone(_ slot: UInt32, _ tunnel: TunnelPointer) {
        handshakeOver(tunnel)
        let (alpn, uris, notAfter) = tunnel.pointee.proof()
        tunnel.pointee.peerNotAfter = notAfter
        if tunnel.pointee.role == .server, let alpn, alpn != "h2" { return handOver(slot, tunnel, alpn) }
        guard alpn == "h2" else {
            statistics.handshakeFailures["no_alpn", default: 0] &+= 1
            return closeTunnel(slot, tunnel, .tunnelTLSFailed)
        }
        guard let snapshot, uris.count == 1, let identity = SPIFFEID(uris[0]), identity.trustDomain == snapshot.trustDomain else {
            statistics.handshakeFailures["trust_domain", default: 0] &+= 1
            problem(
                "tls_trust_domain",
                "\(tunnel.pointee.peer) proved \(uris.isEmpty ? "no identity" : uris.joined(separator: ", ")), which is not of the trust domain \(snapshot?.trustDomain ?? "")")
            return closeTunnel(slot, tunnel, .tunnelIdentityMismatch)
        }
        tunnel.pointee.peerIdentity = snapshot.names.id(identity.description)
        if let key = tunnel.pointee.key, key.destination != tunnel.pointee.peerIdentity {
            statistics.handshakeFailures["identity_mismatch", default: 0] &+= 1
            problem(
                "tls_identity_mismatch", "\(tunnel.pointee.peer) proved to be \(identity), but the endpoint is \(snapshot.names[key.destination]); the connection was closed")
            return closeTunnel(slot, tunnel, .tunnelIdentityMismatch)
        }
        var parameters = HTTP2Settings()
        // For the requests that come before their flow is known; the flow's own window follows with the request, or with the answer to it.
        parameters.streamWindow = UInt32(StreamWindow.smallest)
        parameters.connectionWindow = UInt32(settings.limits.tunnelWindow)
        parameters.maxConcurrentStreams = UInt32(settings.limits.streamsPerTunnel)
        // Weft's own bound, before the peer's is known: a burst at the start shares one tunnel.
        parameters.assumedPeerStreams = UInt32(settings.limits.streamsPerTunnel)
        // Unretained is enough: the worker outlives its tunnels.
        let source = HTTP2DataSource(context: Unmanaged.passUnretained(self).toOpaque(), pull: pullFromSocket)
        tunnel.pointee.http = HTTP2Session(role: tunnel.pointee.role, settings: parameters, source: source)
        tunnel.pointee.phase = .open
        tunnel.pointee.tls!.readAhead()
        tunnel.pointee.heard = now
        tunnel.pointee.idleSince = now
        statistics.tunnelsOpened &+= 1
        wake(slot, tunnel, at: nextLook())
        openWaiting(slot, tunnel)
        if readTunnel(slot, tunnel) { flushTunnel(slot, tunnel) }
    }

    /// One way or the other.
    func handshakeOver(_ tunnel: TunnelPointer) {
        guard tunnel.pointee.role == .server, !tunnel.pointee.handshakeOver else { return }
        tunnel.pointee.handshakeOver = true
        handshakes -= 1
    }

    /// Plane and join connections live on the control loop.
    private func handOver(_ slot: UInt32, _ tunnel: TunnelPointer, _ alpn: String) {
        epoll.remove(tunnel.pointee.fd)
        tunnel.pointee.phase = .closed
        acceptedTunnels -= 1
        if var connection = tunnel.pointee.tls.take(), connection.leaveBuffers() {
            let handoff = Handoff(connection, alpn: alpn, peer: tunnel.pointee.peer)
            if !reports.post(.handoff(handoff)) { statistics.reportsDropped &+= 1 }
        }
        tunnels[slot].pointee.tunnel = nil
        tunnels.release(slot)
        buried.append(tunnel)
    }
}
