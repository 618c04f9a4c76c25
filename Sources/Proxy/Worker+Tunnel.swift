import Glibc
import HTTPWire
import MeshModel
import Platform
import Reactor
import TLS

/// The life of a tunnel: connect, handshake, move frames, close.
extension Worker {
    private static let readsPerTurn = 64
    private static let stagingSize = 16_384

    // MARK: Contexts

    /// New contexts for a new trust bundle. Tunnels that exist keep the one they were made with.
    func makeContexts(_ snapshot: Snapshot) {
        guard let trust = snapshot.trust else { return }
        clientContext = TLSContext.client(trust: trust)
        serverContext = TLSContext.server(trust: trust, alpn: ["h2", "weft-plane/1", "weft-join/1"]) { [unowned self] hello in self.decide(hello) }
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
        guard let serverContext, let (slot, generation) = tunnels.allocate() else { return Socket.resetOnClose(fd.raw) }
        let raw = fd.raw
        keepAlive(raw)
        let tunnel = Tunnel(role: .server, key: nil, peer: peer, socket: fd, phase: .handshaking, now: now, deadline: now + settings.timeouts.handshake)
        do {
            tunnel.tls = try TLSConnection(server: serverContext, fd: tunnel.socket.take()!)
        } catch {
            tunnels.release(slot)
            return problem("tls_connection", "a tunnel cannot be accepted: \(error)")
        }
        tunnels[slot].pointee.tunnel = tunnel
        let token = Token(kind: TokenKind.tunnel, slot: slot, generation: generation)
        watch(raw, token)
        wheel.set(token, at: tunnel.deadline)
    }

    /// A new tunnel for a key, or nil when there is no slot or socket.
    func dialTunnel(_ key: TunnelKey) throws(Errno) -> (UInt32, Tunnel)? {
        guard let (slot, generation) = tunnels.allocate() else { return nil }
        let fd: OwnedFD
        do {
            fd = try Socket.connect(to: key.address, mark: settings.excludedMark)
        } catch {
            tunnels.release(slot)
            throw error
        }
        let tunnel = Tunnel(
            role: .client, key: key, peer: key.address, socket: fd, phase: .connecting, now: now, deadline: now + settings.timeouts.connect)
        tunnels[slot].pointee.tunnel = tunnel
        let token = Token(kind: TokenKind.tunnel, slot: slot, generation: generation)
        watch(tunnel.fd, token)
        wheel.set(token, at: tunnel.deadline)
        pool[key, default: []].append(slot)
        return (slot, tunnel)
    }

    // MARK: Events

    func onTunnel(_ slot: UInt32, _ place: UnsafeMutablePointer<TunnelSlot>, _ bits: UInt32) {
        guard let tunnel = place.pointee.tunnel else { return }
        switch tunnel.phase {
        case .closed: return
        case .connecting: tunnelConnected(slot, tunnel)
        case .handshaking: handshake(slot, tunnel)
        case .open:
            if bits & EpollBits.write != 0 { tunnel.writeBlocked = false }
            if bits & ~EpollBits.write != 0, !readTunnel(slot, tunnel) { return }
            flushTunnel(slot, tunnel)
        }
    }

    private func tunnelConnected(_ slot: UInt32, _ tunnel: Tunnel) {
        if let error = Socket.error(tunnel.fd) {
            return closeTunnel(slot, tunnel, error.code == ETIMEDOUT ? .tunnelConnectTimeout : .tunnelConnectFailed, errno: error.code)
        }
        guard Socket.peerAddress(tunnel.fd) != nil else { return }
        guard let key = tunnel.key, let snapshot, let clientContext, let credential = snapshot.credentials[key.source] else {
            return closeTunnel(slot, tunnel, .noCertificate)
        }
        keepAlive(tunnel.fd)
        do {
            tunnel.tls = try TLSConnection(
                client: clientContext, fd: tunnel.socket.take()!, serverName: snapshot.serverNameOf[key.destination], alpn: ["h2"], credential: credential)
        } catch {
            return closeTunnel(slot, tunnel, .tunnelTLSFailed)
        }
        tunnel.phase = .handshaking
        tunnel.deadline = now + settings.timeouts.handshake
        handshake(slot, tunnel)
    }

    private func handshake(_ slot: UInt32, _ tunnel: Tunnel) {
        presenting = 0
        let result = tunnel.tls!.handshake()
        if presenting != 0 { tunnel.presented = presenting }
        switch result {
        case .wantsRead, .wantsWrite: return
        case .failed(let error):
            statistics.handshakeFailures[error.code.rawValue, default: 0] &+= 1
            problem("tls_\(error.code.rawValue)", "TLS with \(tunnel.peer): \(error)")
            closeTunnel(slot, tunnel, .tunnelTLSFailed)
        case .done: handshakeDone(slot, tunnel)
        }
    }

    private func handshakeDone(_ slot: UInt32, _ tunnel: Tunnel) {
        let (alpn, uris) = tunnel.proof()
        if tunnel.role == .server, let alpn, alpn != "h2" { return handOver(slot, tunnel, alpn) }
        guard alpn == "h2" else {
            statistics.handshakeFailures["no_alpn", default: 0] &+= 1
            return closeTunnel(slot, tunnel, .tunnelTLSFailed)
        }
        guard let snapshot, uris.count == 1, let identity = SPIFFEID(uris[0]), identity.trustDomain == snapshot.trustDomain else {
            statistics.handshakeFailures["trust_domain", default: 0] &+= 1
            problem(
                "tls_trust_domain",
                "\(tunnel.peer) proved \(uris.isEmpty ? "no identity" : uris.joined(separator: ", ")), which is not of the trust domain \(snapshot?.trustDomain ?? "")")
            return closeTunnel(slot, tunnel, .tunnelIdentityMismatch)
        }
        tunnel.peerIdentity = snapshot.names.id(identity.description)
        if let key = tunnel.key, key.destination != tunnel.peerIdentity {
            statistics.handshakeFailures["identity_mismatch", default: 0] &+= 1
            problem(
                "tls_identity_mismatch", "\(tunnel.peer) proved to be \(identity), but the endpoint is \(snapshot.names[key.destination]); the connection was closed")
            return closeTunnel(slot, tunnel, .tunnelIdentityMismatch)
        }
        var parameters = HTTP2Settings()
        parameters.streamWindow = UInt32(settings.limits.streamWindow)
        parameters.connectionWindow = UInt32(settings.limits.tunnelWindow)
        parameters.maxConcurrentStreams = UInt32(settings.limits.streamsPerTunnel)
        // Weft's own bound, before the peer's is known: a burst at the start shares one tunnel.
        parameters.assumedPeerStreams = UInt32(settings.limits.streamsPerTunnel)
        // Unretained is enough: the worker outlives its tunnels.
        let source = HTTP2DataSource(context: Unmanaged.passUnretained(self).toOpaque(), pull: pullFromSocket)
        tunnel.http = HTTP2Session(role: tunnel.role, settings: parameters, source: source)
        tunnel.phase = .open
        tunnel.heard = now
        tunnel.idleSince = now
        statistics.tunnelsOpened &+= 1
        wheel.set(Token(kind: TokenKind.tunnel, slot: slot, generation: tunnels.generation(slot)), at: now + settings.timeouts.tunnelPing)
        openWaiting(slot, tunnel)
        if readTunnel(slot, tunnel) { flushTunnel(slot, tunnel) }
    }

    /// Plane and join connections live on the control loop.
    private func handOver(_ slot: UInt32, _ tunnel: Tunnel, _ alpn: String) {
        epoll.remove(tunnel.fd)
        tunnel.phase = .closed
        if let connection = tunnel.tls.take() {
            let handoff = Handoff(connection, alpn: alpn, peer: tunnel.peer)
            if !reports.post(.handoff(handoff)) { statistics.reportsDropped &+= 1 }
        }
        tunnels[slot].pointee.tunnel = nil
        tunnels.release(slot)
    }

    // MARK: Frames

    /// Reads, decrypts and handles frames. False when the tunnel is gone.
    private func readTunnel(_ slot: UInt32, _ tunnel: Tunnel) -> Bool {
        for _ in 0..<Self.readsPerTurn {
            switch tunnel.tls!.read(into: UnsafeMutableRawBufferPointer(start: scratch, count: Self.scratchSize)) {
            case .bytes(let count):
                tunnel.heard = now
                tunnel.pinged = false
                let result = tunnel.http!.feed(UnsafeRawBufferPointer(start: scratch, count: count), at: now, events: &events)
                handleEvents(slot, tunnel)
                if case .failed(let failure) = result {
                    statistics.floods[failure.code, default: 0] &+= 1
                    problem("http2_\(failure.code)", "tunnel with \(tunnel.peer): \(failure)")
                    flushTunnel(slot, tunnel)
                    if tunnel.phase != .closed { closeTunnel(slot, tunnel, .tunnelLost) }
                    return false
                }
            case .wantsRead, .wantsWrite: return true
            case .endOfStream:
                closeTunnel(slot, tunnel, .tunnelLost)
                return false
            case .failed(let error):
                if case .open = tunnel.phase, tunnel.http!.activeStreams > 0 { problem("tunnel_lost", "tunnel with \(tunnel.peer): \(error)") }
                closeTunnel(slot, tunnel, .tunnelLost)
                return false
            }
        }
        schedule(slot)
        return true
    }

    /// Encrypts and writes what the session has to say, small frames together in one record.
    func flushTunnel(_ slot: UInt32, _ tunnel: Tunnel) {
        guard tunnel.phase == .open, !tunnel.writeBlocked else { return }
        guard writePending(slot, tunnel) else { return }
        var staged = 0
        var budget = settings.limits.bytesPerTurn
        let staging = output
        while budget > 0, let chunk = tunnel.http!.nextOutput(events: &events) {
            budget -= chunk.count
            if staged + chunk.count > Self.stagingSize {
                guard write(slot, tunnel, UnsafeRawBufferPointer(start: staging, count: staged), then: chunk) else { return }
                staged = 0
                if chunk.count == 0 { continue }
            } else {
                memcpy(staging + staged, chunk.baseAddress!, chunk.count)
                staged += chunk.count
            }
        }
        if staged > 0, !write(slot, tunnel, UnsafeRawBufferPointer(start: staging, count: staged), then: UnsafeRawBufferPointer(start: nil, count: 0)) { return }
        if !events.isEmpty { handleEvents(slot, tunnel) }
        if budget <= 0 { schedule(slot) }
        if tunnel.phase == .open, tunnel.http!.isFinished { closeTunnel(slot, tunnel, .tunnelLost) }
    }

    /// Writes two runs of bytes; what the socket does not take is kept. False when no more can be written now.
    private func write(_ slot: UInt32, _ tunnel: Tunnel, _ first: UnsafeRawBufferPointer, then second: UnsafeRawBufferPointer) -> Bool {
        for run in [first, second] where run.count > 0 {
            if tunnel.writeBlocked {
                tunnel.pending.append(contentsOf: run)
                continue
            }
            var offset = 0
            while offset < run.count {
                switch tunnel.tls!.write(UnsafeRawBufferPointer(rebasing: run[offset...])) {
                case .bytes(let count): offset += count
                case .wantsRead, .wantsWrite:
                    tunnel.pending.append(contentsOf: run[offset...])
                    tunnel.writeBlocked = true
                    offset = run.count
                case .endOfStream, .failed:
                    events.removeAll()
                    closeTunnel(slot, tunnel, .tunnelLost)
                    return false
                }
            }
        }
        if tunnel.writeBlocked {
            if !events.isEmpty { handleEvents(slot, tunnel) }
            return false
        }
        return true
    }

    private func writePending(_ slot: UInt32, _ tunnel: Tunnel) -> Bool {
        while tunnel.pendingOffset < tunnel.pending.count {
            let offset = tunnel.pendingOffset
            let result = tunnel.pending.withUnsafeBytes { tunnel.tls!.write(UnsafeRawBufferPointer(rebasing: $0[offset...])) }
            switch result {
            case .bytes(let count): tunnel.pendingOffset += count
            case .wantsRead, .wantsWrite:
                tunnel.writeBlocked = true
                return false
            case .endOfStream, .failed:
                closeTunnel(slot, tunnel, .tunnelLost)
                return false
            }
        }
        if !tunnel.pending.isEmpty {
            tunnel.pending = []
            tunnel.pendingOffset = 0
        }
        return true
    }

    /// Queues a tunnel for output at the end of this turn: frames of many streams then share records.
    func schedule(_ slot: UInt32) {
        guard !tunnels[slot].pointee.queued else { return }
        tunnels[slot].pointee.queued = true
        ready.append(Token(kind: TokenKind.tunnel, slot: slot, generation: tunnels.generation(slot)))
    }

    // MARK: Closing

    func drainTunnel(_ slot: UInt32, _ place: UnsafeMutablePointer<TunnelSlot>) {
        guard let tunnel = place.pointee.tunnel else { return }
        tunnel.draining = true
        guard tunnel.phase == .open, tunnel.http!.activeStreams > 0 else { return closeTunnel(slot, tunnel, .agentStopping) }
        tunnel.http!.drain()
        schedule(slot)
    }

    /// Ends a tunnel and what hangs on it: flows that wait try another endpoint, flows that run are cut.
    func closeTunnel(_ slot: UInt32, _ tunnel: Tunnel, _ reason: FlowEnd, errno: CInt = 0) {
        guard tunnel.phase != .closed else { return }
        tunnel.phase = .closed
        if let key = tunnel.key {
            pool[key]?.removeAll { $0 == slot }
            if pool[key]?.isEmpty == true { pool[key] = nil }
        }
        var waiting = tunnel.waitingHead
        tunnel.waitingHead = Flow.none
        tunnel.waitingTail = Flow.none
        if tunnel.tls != nil { _ = tunnel.tls!.shutdown() }
        tunnel.tls = nil
        tunnel.socket = nil
        tunnel.http = nil
        tunnels[slot].pointee.tunnel = nil
        tunnels.release(slot)
        // Waiting flows are in the list, open ones only in the slab: a tunnel's end is rare enough to look for them.
        while waiting != Flow.none {
            let flow = flows[waiting]
            let next = flow.pointee.nextWaiting
            flow.pointee.nextWaiting = Flow.none
            flow.pointee.tunnel = Flow.none
            retry(waiting, flow, reason, errno: errno)
            waiting = next
        }
        for flowSlot in flows.liveSlots {
            let flow = flows[flowSlot]
            guard flow.pointee.phase != .free, flow.pointee.tunnel == slot, flow.pointee.stream >= 0 else { continue }
            flow.pointee.tunnel = Flow.none
            flow.pointee.stream = -1
            if flow.pointee.phase == .opening { retry(flowSlot, flow, reason, errno: errno) } else { finish(flowSlot, flow, reason, errno: errno) }
        }
    }
}
