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
        guard let serverContext else { return refuseTunnel(fd, .notReady) }
        guard let (slot, generation) = tunnels.allocate() else {
            problem("tunnel_limit", "\(settings.limits.tunnels) tunnels are open in one worker: one from \(peer) was refused")
            return refuseTunnel(fd, .tunnelLimit)
        }
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
        guard watch(raw, Token(kind: TokenKind.tunnel, slot: slot, generation: generation)) else { return closeTunnel(slot, tunnel, .descriptorLimit) }
        wake(slot, tunnel, at: tunnel.deadline)
    }

    private func refuseTunnel(_ fd: consuming OwnedFD, _ reason: FlowEnd) {
        statistics.ends[Int(reason.rawValue)] &+= 1
        Socket.resetOnClose(fd.raw)
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
        guard watch(tunnel.fd, Token(kind: TokenKind.tunnel, slot: slot, generation: generation)) else {
            closeTunnel(slot, tunnel, .descriptorLimit)
            throw Errno(ENOSPC)
        }
        wake(slot, tunnel, at: tunnel.deadline)
        tunnel.pooled = true
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
            var reading = bits & ~EpollBits.write != 0
            if bits & EpollBits.write != 0 {
                tunnel.writeBlocked = false
                if tunnel.readWantsWrite { reading = true }
            }
            if reading, !readTunnel(slot, tunnel) { return }
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
        let (alpn, uris, notAfter) = tunnel.proof()
        tunnel.peerNotAfter = notAfter
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
        wake(slot, tunnel, at: nextLook())
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
        tunnel.readWantsWrite = false
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
            case .wantsRead: return true
            case .wantsWrite:
                tunnel.readWantsWrite = true
                return true
            case .endOfStream:
                closeTunnel(slot, tunnel, .tunnelLost)
                return false
            case .failed(let error):
                if case .open = tunnel.phase, tunnel.http!.activeStreams > 0 { problem("tunnel_lost", "tunnel with \(tunnel.peer): \(error)") }
                closeTunnel(slot, tunnel, .tunnelLost)
                return false
            }
        }
        tunnels[slot].pointee.readMore = true
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
        if !tunnel.pending.isEmpty { tunnel.clearPending() }
        return true
    }

    /// Queues a tunnel for output at the end of this turn: frames of many streams then share records.
    func schedule(_ slot: UInt32) {
        guard !tunnels[slot].pointee.queued else { return }
        tunnels[slot].pointee.queued = true
        ready.append(Token(kind: TokenKind.tunnel, slot: slot, generation: tunnels.generation(slot)))
    }

    // MARK: Closing

    /// The agent stops: idle tunnels close, the others when their streams have ended.
    func drainTunnel(_ slot: UInt32, _ tunnel: Tunnel) {
        switch tunnel.phase {
        case .closed: return
        // Flows that were accepted before wait for it.
        case .connecting where tunnel.waitingHead != Flow.none, .handshaking where tunnel.waitingHead != Flow.none: return
        case .connecting, .handshaking: closeTunnel(slot, tunnel, .agentStopping)
        case .open where tunnel.http!.activeStreams == 0: closeInOrder(slot, tunnel, .agentStopping)
        case .open: retire(slot, tunnel)
        }
    }

    /// Says what is left to say, GOAWAY too, as far as the socket takes it, and ends the tunnel.
    func closeInOrder(_ slot: UInt32, _ tunnel: Tunnel, _ reason: FlowEnd) {
        if tunnel.phase == .open {
            tunnel.http!.goaway(code: HTTP2Code.noError)
            flushTunnel(slot, tunnel)
        }
        closeTunnel(slot, tunnel, reason)
    }

    /// From now on the tunnel gets no new streams.
    func leavePool(_ slot: UInt32, _ tunnel: Tunnel) {
        guard tunnel.pooled, let key = tunnel.key else { return }
        tunnel.pooled = false
        pool[key]?.removeAll { $0 == slot }
        if pool[key]?.isEmpty == true { pool[key] = nil }
    }

    /// Ends a tunnel and what hangs on it: flows that wait try another endpoint, flows that run are cut.
    /// - Parameter again: flows whose request was not answered may ask the same node once more.
    func closeTunnel(_ slot: UInt32, _ tunnel: Tunnel, _ reason: FlowEnd, errno: CInt = 0, again: Bool = true) {
        guard tunnel.phase != .closed else { return }
        let wasOpen = tunnel.phase == .open
        tunnel.phase = .closed
        leavePool(slot, tunnel)
        var waiting = tunnel.waitingHead
        tunnel.waitingHead = Flow.none
        tunnel.waitingTail = Flow.none
        if tunnel.tls != nil { _ = tunnel.tls!.shutdown() }
        tunnel.tls = nil
        tunnel.socket = nil
        tunnel.http = nil
        tunnels[slot].pointee.tunnel = nil
        tunnels.release(slot)
        // From here on the slot may belong to another tunnel, made for a flow that tries again: what is looked for are streams, and a new one has none yet.
        while waiting != Flow.none {
            let flow = flows[waiting]
            let next = flow.pointee.nextWaiting
            flow.pointee.nextWaiting = Flow.none
            flow.pointee.tunnel = Flow.none
            retry(waiting, flow, reason, errno: errno)
            waiting = next
        }
        guard wasOpen else { return }
        // Waiting flows are in the list, open ones only in the slab: a tunnel's end is rare enough to look for them.
        for flowSlot in flows.liveSlots {
            let flow = flows[flowSlot]
            guard flow.pointee.phase != .free, flow.pointee.tunnel == slot, flow.pointee.stream >= 0 else { continue }
            flow.pointee.tunnel = Flow.none
            flow.pointee.stream = -1
            if flow.pointee.phase != .opening {
                finish(flowSlot, flow, reason, errno: errno)
            } else if again {
                askAgain(flowSlot, flow, tunnel.key, reason, errno: errno)
            } else {
                retry(flowSlot, flow, reason, errno: errno)
            }
        }
    }
}
