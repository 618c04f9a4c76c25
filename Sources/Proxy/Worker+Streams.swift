import Glibc
import HTTPWire
import MeshModel
import Platform
import Reactor
import Traffic

/// Flows that are one socket here and one stream of a tunnel.
extension Worker {
    // MARK: Opening, as a client

    /// Puts a flow on a tunnel to its endpoint's node: one that is open and has room, one that is being opened, or a new one.
    func openStream(_ slot: UInt32, _ flow: UnsafeMutablePointer<Flow>, _ key: TunnelKey) {
        guard let snapshot, snapshot.credentials[key.source] != nil else { return finish(slot, flow, .noCertificate) }
        flow.pointee.phase = .opening
        setDeadline(slot, flow, settings.timeouts.connect + settings.timeouts.handshake)
        if let candidates = pool[key] {
            var opening: (UInt32, TunnelPointer)?
            for candidate in candidates {
                guard let tunnel = tunnels[candidate].pointee.tunnel, !tunnel.pointee.draining else { continue }
                if tunnel.pointee.phase != .open {
                    opening = opening ?? (candidate, tunnel)
                } else if tunnel.pointee.activeStreams < settings.limits.streamsPerTunnel, request(slot, flow, candidate, tunnel) {
                    return
                }
            }
            if let opening { return wait(slot, flow, opening.0, opening.1) }
        }
        guard (pool[key]?.count ?? 0) < settings.limits.tunnelsPerPeer else { return retry(slot, flow, .tunnelLimit) }
        do {
            guard let (tunnelSlot, tunnel) = try dialTunnel(key) else { return retry(slot, flow, .tunnelLimit) }
            wait(slot, flow, tunnelSlot, tunnel)
        } catch {
            retry(slot, flow, error.code == EMFILE || error.code == ENFILE ? .descriptorLimit : .tunnelConnectFailed, errno: error.code)
        }
    }

    /// The peer never answered the request and bytes wait for its answer, so it is safe to ask the same endpoint once more over another tunnel: a pooled
    /// one may break, or be refused, just when it is used. Then as after any failure.
    func askAgain(_ slot: UInt32, _ flow: UnsafeMutablePointer<Flow>, _ key: TunnelKey?, _ reason: FlowEnd, errno: CInt = 0) {
        guard let key, !flow.pointee.redialled, flow.pointee.client >= 0 else { return retry(slot, flow, reason, errno: errno) }
        flow.pointee.redialled = true
        openStream(slot, flow, key)
    }

    private func wait(_ slot: UInt32, _ flow: UnsafeMutablePointer<Flow>, _ tunnelSlot: UInt32, _ tunnel: TunnelPointer) {
        flow.pointee.tunnel = tunnelSlot
        flow.pointee.stream = -1
        flow.pointee.nextWaiting = Flow.none
        if tunnel.pointee.waitingTail == Flow.none {
            tunnel.pointee.waitingHead = slot
        } else {
            flows[tunnel.pointee.waitingTail].pointee.nextWaiting = slot
        }
        tunnel.pointee.waitingTail = slot
    }

    /// The tunnel is open: flows that waited for it get their streams.
    func openWaiting(_ tunnelSlot: UInt32, _ tunnel: TunnelPointer) {
        var waiting = tunnel.pointee.waitingHead
        tunnel.pointee.waitingHead = Flow.none
        tunnel.pointee.waitingTail = Flow.none
        while waiting != Flow.none {
            let flow = flows[waiting]
            let next = flow.pointee.nextWaiting
            flow.pointee.nextWaiting = Flow.none
            flow.pointee.tunnel = Flow.none
            if let key = tunnel.pointee.key, !request(waiting, flow, tunnelSlot, tunnel) { openStream(waiting, flow, key) }
            waiting = next
        }
    }

    /// Sends CONNECT. False when this tunnel takes no more streams; true also when the flow has ended, because its namespace has no memory for a window.
    private func request(_ slot: UInt32, _ flow: UnsafeMutablePointer<Flow>, _ tunnelSlot: UInt32, _ tunnel: TunnelPointer) -> Bool {
        guard let window = openWindow(flow) else {
            refuseMemory(slot, flow)
            return true
        }
        fields.removeAll()
        fields.add("forwarded", "for=\"\(flow.pointee.source)\"")
        let token = Token(kind: TokenKind.client, slot: slot, generation: flows.generation(slot))
        let stream: Int32
        switch tunnel.pointee.http!.connect(
            authority: flow.pointee.endpoint.description, headers: fields, token: token.raw, wider: window - StreamWindow.smallest)
        {
        case .stream(let number): stream = number
        case .full:
            closeWindow(flow)
            return false
        case .refused:
            closeWindow(flow)
            // GOAWAY, or its stream numbers are used up: it stays for the streams that it has.
            retire(tunnelSlot, tunnel)
            return false
        }
        flow.pointee.tunnel = tunnelSlot
        flow.pointee.stream = stream
        schedule(tunnelSlot)
        return true
    }

    // MARK: Opening, as a server

    /// A CONNECT from another node.
    private func streamRequested(_ tunnelSlot: UInt32, _ tunnel: TunnelPointer, _ event: HTTP2Event) {
        guard let snapshot else { return refuse(tunnel, event.streamID, .notReady, 503) }
        let headers = events.headers(of: event)
        guard headers.isConnect, let authority = headers.string(":authority"), let address = SocketAddress(authority), address.port != 0 else {
            return refuse(tunnel, event.streamID, .malformedRequest, 400)
        }
        guard let local = snapshot.local[address] else { return refuse(tunnel, event.streamID, .notLocalEndpoint, 404, address) }
        guard local.identity == tunnel.pointee.presented else { return refuse(tunnel, event.streamID, .wrongIdentity, 403, address) }
        guard stopAt == nil else { return refuse(tunnel, event.streamID, .agentStopping, 503, address) }
        guard let (slot, generation) = flows.allocate() else { return refuse(tunnel, event.streamID, .flowLimit, 503, address) }
        let flow = flows[slot]
        flow.pointee.phase = .connecting
        let source = Forwarded.source(headers.string("forwarded") ?? "") ?? tunnel.pointee.peer
        flow.pointee.direction = .tunnel
        flow.pointee.security = .mutualTLS
        flow.pointee.opened = now
        flow.pointee.active = now
        flow.pointee.source = source
        flow.pointee.destination = address
        flow.pointee.endpoint = address
        flow.pointee.sourceIdentity = tunnel.pointee.peerIdentity
        flow.pointee.destinationIdentity = local.identity
        flow.pointee.service = local.service
        flow.pointee.node = snapshot.nodeAddresses[tunnel.pointee.peer.ip] ?? 0
        flow.pointee.tunnel = tunnelSlot
        flow.pointee.stream = event.streamID
        let token = Token(kind: TokenKind.server, slot: slot, generation: generation)
        guard tunnel.pointee.http!.setToken(event.streamID, token.raw, events: &events) else {
            // The caller has cut the stream already; its reset is in the buffer.
            return finish(slot, flow, .clientReset)
        }
        guard admit(slot, flow, to: local.tenant) else { return }
        guard openWindow(flow) != nil else { return refuseMemory(slot, flow) }
        // A client's address is believed when it is the address of the very node that the tunnel comes from, and that node's record says so too.
        let believed = source.ip == tunnel.pointee.peer.ip && snapshot.nodeAddresses[source.ip] != nil
        connectDirect(slot, flow, to: address, as: believed ? source : nil)
    }

    /// The application took the connection: tell the peer, and how much it may send.
    func answerStream(_ slot: UInt32, _ flow: UnsafeMutablePointer<Flow>) {
        guard let tunnel = tunnel(of: flow) else { return }
        fields.removeAll()
        tunnel.pointee.http!.respond(flow.pointee.stream, status: 200, headers: fields, endStream: false)
        if flow.pointee.window > StreamWindow.smallest { tunnel.pointee.http!.widen(flow.pointee.stream, by: flow.pointee.window - StreamWindow.smallest) }
        schedule(flow.pointee.tunnel)
    }

    private func refuse(_ tunnel: TunnelPointer, _ stream: Int32, _ reason: FlowEnd, _ status: UInt16, _ address: SocketAddress? = nil) {
        respondRefusal(tunnel, stream, reason, status)
        let nowhere = SocketAddress(.anyV4, port: 0)
        note(
            reason,
            FlowRecord(
                direction: .tunnel, security: .mutualTLS, end: reason, source: tunnel.pointee.peer, destination: address ?? nowhere, endpoint: address ?? nowhere,
                sourceIdentity: tunnel.pointee.peerIdentity, destinationIdentity: tunnel.pointee.presented, workload: 0, service: 0, node: 0, bytesSent: 0, bytesReceived: 0,
                duration: .zero, attempts: 0, errno: 0))
    }

    func respondRefusal(_ tunnel: TunnelPointer, _ stream: Int32, _ reason: FlowEnd, _ status: UInt16) {
        fields.removeAll()
        fields.add("weft-error", reason.code)
        tunnel.pointee.http!.respond(stream, status: status, headers: fields, endStream: true)
    }

    func tunnel(of flow: UnsafeMutablePointer<Flow>) -> TunnelPointer? {
        flow.pointee.tunnel == Flow.none ? nil : tunnels[flow.pointee.tunnel].pointee.tunnel
    }

    // MARK: Events of the session

    /// Handles and empties the event buffer. Nothing here makes output: that waits for the end of the turn.
    func handleEvents(_ tunnelSlot: UInt32, _ tunnel: TunnelPointer) {
        for index in 0..<events.count {
            if tunnel.pointee.phase != .open { break }
            handle(tunnelSlot, tunnel, events[index])
        }
        events.removeAll()
    }

    @inline(__always)
    private func handle(_ tunnelSlot: UInt32, _ tunnel: TunnelPointer, _ event: HTTP2Event) {
        let token = Token(raw: event.token)
        switch event.kind {
        case .data:
            guard let flow = flow(of: event, tunnelSlot) else { return }
            deliver(token.slot, flow, tunnel, scratch + Int(event.offset), Int(event.length))
        case .headers where tunnel.pointee.role == .server: streamRequested(tunnelSlot, tunnel, event)
        case .headers:
            guard let flow = flow(of: event, tunnelSlot) else { return }
            answered(token.slot, flow, events.headers(of: event).status)
        case .endStream:
            guard let flow = flow(of: event, tunnelSlot) else { return }
            streamEnded(token.slot, flow)
        case .closed:
            tunnel.pointee.idleSince = now
            guard let flow = flow(of: event, tunnelSlot) else { return }
            streamGone(flow)
            if flow.pointee.phase == .opening { retry(token.slot, flow, .tunnelRefused) } else { streamDone(token.slot, flow) }
        case .reset:
            tunnel.pointee.idleSince = now
            guard let flow = flow(of: event, tunnelSlot) else { return }
            streamGone(flow)
            streamReset(token.slot, flow, tunnel, event)
        case .goaway:
            // The peer takes no new streams; nothing is to be said about it.
            tunnel.pointee.draining = true
            leavePool(tunnelSlot, tunnel)
            schedule(tunnelSlot)
        case .protocolError:
            brokeProtocol(tunnel, .protocolError(event.code))
            schedule(tunnelSlot)
        case .settings: schedule(tunnelSlot)
        case .pingAck: pingAnswered(tunnel, event.token)
        case .trailers, .settingsAck: return
        }
    }

    /// The flow that an event is about. None, if it has left this stream meanwhile: what comes in one batch after a refusal is not for the flow's next try.
    @inline(__always)
    private func flow(of event: HTTP2Event, _ tunnelSlot: UInt32) -> UnsafeMutablePointer<Flow>? {
        let token = Token(raw: event.token)
        guard event.token != 0, let flow = flows.get(token.slot, generation: token.generation) else { return nil }
        return flow.pointee.stream == event.streamID && flow.pointee.tunnel == tunnelSlot ? flow : nil
    }

    private func streamReset(_ slot: UInt32, _ flow: UnsafeMutablePointer<Flow>, _ tunnel: TunnelPointer, _ event: HTTP2Event) {
        if flow.pointee.phase == .opening {
            if event.code == HTTP2Code.refusedStream { return askAgain(slot, flow, tunnel.pointee.key, .tunnelRefused) }
            return retry(slot, flow, .tunnelRefused)
        }
        if event.code == HTTP2Code.noError, !event.isLocal, flow.pointee.direction != .tunnel, flow.pointee.down.ended {
            // A server that has answered in full and wants no more of the request (RFC 9113 section 8.1): what it sent is still owed to the caller.
            flow.pointee.up.ended = true
            flow.pointee.up.finished = true
            return streamDone(slot, flow)
        }
        // We cancel when our own socket has failed; any other code of ours answers a fault of the peer.
        let byPeer = !event.isLocal || event.code != HTTP2Code.cancel
        finish(slot, flow, (flow.pointee.direction == .tunnel) == byPeer ? .clientReset : .serverReset)
    }

    /// The answer to our CONNECT.
    private func answered(_ slot: UInt32, _ flow: UnsafeMutablePointer<Flow>, _ status: UInt16) {
        guard flow.pointee.phase == .opening else { return }
        guard flow.pointee.client >= 0 else { return finish(slot, flow, .clientReset) }
        guard (200..<300).contains(status) else { return retry(slot, flow, .tunnelRefused) }
        startRelay(slot, flow)
    }

    // MARK: Leaving

    /// Takes a flow off its tunnel: out of the list of waiting flows, or by a reset of its stream.
    func detachStream(_ slot: UInt32, _ flow: UnsafeMutablePointer<Flow>) {
        guard let tunnel = tunnel(of: flow) else { return }
        if flow.pointee.stream >= 0 {
            tunnel.pointee.http?.reset(flow.pointee.stream, code: HTTP2Code.cancel)
            schedule(flow.pointee.tunnel)
        } else {
            unlink(slot, tunnel)
        }
        streamGone(flow)
    }

    /// The flow has no stream any more, nor a window.
    func streamGone(_ flow: UnsafeMutablePointer<Flow>) {
        flow.pointee.tunnel = Flow.none
        flow.pointee.stream = -1
        closeWindow(flow)
    }

    private func unlink(_ slot: UInt32, _ tunnel: TunnelPointer) {
        var previous = Flow.none
        var current = tunnel.pointee.waitingHead
        while current != Flow.none, current != slot {
            previous = current
            current = flows[current].pointee.nextWaiting
        }
        guard current == slot else { return }
        let next = flows[slot].pointee.nextWaiting
        if previous == Flow.none { tunnel.pointee.waitingHead = next } else { flows[previous].pointee.nextWaiting = next }
        if tunnel.pointee.waitingTail == slot { tunnel.pointee.waitingTail = previous }
        flows[slot].pointee.nextWaiting = Flow.none
    }
}
