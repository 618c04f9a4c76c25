import Glibc
import HTTPWire
import MeshModel
import Platform
import Reactor

/// Flows that are one socket here and one stream of a tunnel.
extension Worker {
    // MARK: Opening, as a client

    /// Puts a flow on a tunnel to its endpoint's node: one that is open and has room, one that is being opened, or a new one.
    func openStream(_ slot: UInt32, _ flow: UnsafeMutablePointer<Flow>, _ key: TunnelKey) {
        guard let snapshot, snapshot.credentials[key.source] != nil else { return finish(slot, flow, .noCertificate) }
        flow.pointee.phase = .opening
        setDeadline(slot, flow, settings.timeouts.connect + settings.timeouts.handshake)
        if let candidates = pool[key] {
            for candidate in candidates {
                guard let tunnel = tunnels[candidate].pointee.tunnel, !tunnel.draining else { continue }
                if tunnel.phase != .open { return wait(slot, flow, candidate, tunnel) }
                if tunnel.http!.activeStreams < settings.limits.streamsPerTunnel, request(slot, flow, candidate, tunnel) { return }
            }
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
        guard let key, !flow.pointee.redialled else { return retry(slot, flow, reason, errno: errno) }
        flow.pointee.redialled = true
        openStream(slot, flow, key)
    }

    private func wait(_ slot: UInt32, _ flow: UnsafeMutablePointer<Flow>, _ tunnelSlot: UInt32, _ tunnel: Tunnel) {
        flow.pointee.tunnel = tunnelSlot
        flow.pointee.stream = -1
        flow.pointee.nextWaiting = Flow.none
        if tunnel.waitingTail == Flow.none {
            tunnel.waitingHead = slot
        } else {
            flows[tunnel.waitingTail].pointee.nextWaiting = slot
        }
        tunnel.waitingTail = slot
    }

    /// The tunnel is open: flows that waited for it get their streams.
    func openWaiting(_ tunnelSlot: UInt32, _ tunnel: Tunnel) {
        var waiting = tunnel.waitingHead
        tunnel.waitingHead = Flow.none
        tunnel.waitingTail = Flow.none
        while waiting != Flow.none {
            let flow = flows[waiting]
            let next = flow.pointee.nextWaiting
            flow.pointee.nextWaiting = Flow.none
            flow.pointee.tunnel = Flow.none
            if let key = tunnel.key, !request(waiting, flow, tunnelSlot, tunnel) { openStream(waiting, flow, key) }
            waiting = next
        }
    }

    /// Sends CONNECT. False when this tunnel takes no more streams.
    private func request(_ slot: UInt32, _ flow: UnsafeMutablePointer<Flow>, _ tunnelSlot: UInt32, _ tunnel: Tunnel) -> Bool {
        fields.removeAll()
        fields.add("forwarded", "for=\"\(flow.pointee.source)\"")
        let token = Token(kind: TokenKind.client, slot: slot, generation: flows.generation(slot))
        let stream: Int32
        switch tunnel.http!.connect(authority: flow.pointee.endpoint.description, headers: fields, token: token.raw) {
        case .stream(let number): stream = number
        case .full: return false
        case .refused:
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
    private func streamRequested(_ tunnelSlot: UInt32, _ tunnel: Tunnel, _ event: HTTP2Event) {
        guard let snapshot else { return refuse(tunnel, event.streamID, .notReady, 503) }
        let headers = events.headers(of: event)
        guard headers.isConnect, let authority = headers.string(":authority"), let address = SocketAddress(authority), address.port != 0 else {
            return refuse(tunnel, event.streamID, .malformedRequest, 400)
        }
        guard let local = snapshot.local[address] else { return refuse(tunnel, event.streamID, .notLocalEndpoint, 404, address) }
        guard local.identity == tunnel.presented else { return refuse(tunnel, event.streamID, .wrongIdentity, 403, address) }
        guard stopAt == nil else { return refuse(tunnel, event.streamID, .agentStopping, 503, address) }
        guard let (slot, generation) = flows.allocate() else { return refuse(tunnel, event.streamID, .flowLimit, 503, address) }
        let flow = flows[slot]
        flow.pointee.phase = .connecting
        let source = Forwarded.source(headers.string("forwarded") ?? "") ?? tunnel.peer
        flow.pointee.direction = .tunnel
        flow.pointee.security = .mutualTLS
        flow.pointee.opened = now
        flow.pointee.active = now
        flow.pointee.source = source
        flow.pointee.destination = address
        flow.pointee.endpoint = address
        flow.pointee.sourceIdentity = tunnel.peerIdentity
        flow.pointee.destinationIdentity = local.identity
        flow.pointee.service = local.service
        flow.pointee.node = snapshot.nodeAddresses[tunnel.peer.ip] ?? 0
        flow.pointee.tunnel = tunnelSlot
        flow.pointee.stream = event.streamID
        let token = Token(kind: TokenKind.server, slot: slot, generation: generation)
        guard tunnel.http!.setToken(event.streamID, token.raw, events: &events) else {
            // The caller has cut the stream already; its reset is in the buffer.
            return finish(slot, flow, .clientReset)
        }
        // A client's address is believed when it is the address of the very node that the tunnel comes from, and that node's record says so too.
        let believed = source.ip == tunnel.peer.ip && snapshot.nodeAddresses[source.ip] != nil
        connectDirect(slot, flow, to: address, as: believed ? source : nil)
    }

    /// The application took the connection: tell the peer.
    func answerStream(_ slot: UInt32, _ flow: UnsafeMutablePointer<Flow>) {
        guard let tunnel = tunnel(of: flow) else { return }
        fields.removeAll()
        tunnel.http!.respond(flow.pointee.stream, status: 200, headers: fields, endStream: false)
        schedule(flow.pointee.tunnel)
    }

    private func refuse(_ tunnel: Tunnel, _ stream: Int32, _ reason: FlowEnd, _ status: UInt16, _ address: SocketAddress? = nil) {
        respondRefusal(tunnel, stream, reason, status)
        let nowhere = SocketAddress(.anyV4, port: 0)
        note(
            reason,
            FlowRecord(
                direction: .tunnel, security: .mutualTLS, end: reason, source: tunnel.peer, destination: address ?? nowhere, endpoint: address ?? nowhere,
                sourceIdentity: tunnel.peerIdentity, destinationIdentity: tunnel.presented, workload: 0, service: 0, node: 0, bytesSent: 0, bytesReceived: 0,
                duration: .zero, attempts: 0, errno: 0))
    }

    func respondRefusal(_ tunnel: Tunnel, _ stream: Int32, _ reason: FlowEnd, _ status: UInt16) {
        fields.removeAll()
        fields.add("weft-error", reason.code)
        tunnel.http!.respond(stream, status: status, headers: fields, endStream: true)
    }

    func tunnel(of flow: UnsafeMutablePointer<Flow>) -> Tunnel? {
        flow.pointee.tunnel == Flow.none ? nil : tunnels[flow.pointee.tunnel].pointee.tunnel
    }

    // MARK: Events of the session

    /// Handles and empties the event buffer. Nothing here makes output: that waits for the end of the turn.
    func handleEvents(_ tunnelSlot: UInt32, _ tunnel: Tunnel) {
        for index in 0..<events.count {
            if tunnel.phase != .open { break }
            handle(tunnelSlot, tunnel, events[index])
        }
        events.removeAll()
    }

    @inline(__always)
    private func handle(_ tunnelSlot: UInt32, _ tunnel: Tunnel, _ event: HTTP2Event) {
        let token = Token(raw: event.token)
        switch event.kind {
        case .data:
            guard let flow = flow(of: event, tunnelSlot) else { return }
            deliver(token.slot, flow, tunnel, scratch + Int(event.offset), Int(event.length))
        case .headers where tunnel.role == .server: streamRequested(tunnelSlot, tunnel, event)
        case .headers:
            guard let flow = flow(of: event, tunnelSlot) else { return }
            answered(token.slot, flow, events.headers(of: event).status)
        case .endStream:
            guard let flow = flow(of: event, tunnelSlot) else { return }
            streamEnded(token.slot, flow)
        case .closed:
            tunnel.idleSince = now
            guard let flow = flow(of: event, tunnelSlot) else { return }
            flow.pointee.stream = -1
            flow.pointee.tunnel = Flow.none
            if flow.pointee.phase == .opening { retry(token.slot, flow, .tunnelRefused) } else { streamDone(token.slot, flow) }
        case .reset:
            tunnel.idleSince = now
            guard let flow = flow(of: event, tunnelSlot) else { return }
            flow.pointee.stream = -1
            flow.pointee.tunnel = Flow.none
            streamReset(token.slot, flow, tunnel, event)
        case .goaway:
            // The peer takes no new streams; nothing is to be said about it.
            tunnel.draining = true
            leavePool(tunnelSlot, tunnel)
            schedule(tunnelSlot)
        case .protocolError, .settings: schedule(tunnelSlot)
        case .trailers, .settingsAck, .pingAck: return
        }
    }

    /// The flow that an event is about. None, if it has left this stream meanwhile: what comes in one batch after a refusal is not for the flow's next try.
    @inline(__always)
    private func flow(of event: HTTP2Event, _ tunnelSlot: UInt32) -> UnsafeMutablePointer<Flow>? {
        let token = Token(raw: event.token)
        guard event.token != 0, let flow = flows.get(token.slot, generation: token.generation) else { return nil }
        return flow.pointee.stream == event.streamID && flow.pointee.tunnel == tunnelSlot ? flow : nil
    }

    private func streamReset(_ slot: UInt32, _ flow: UnsafeMutablePointer<Flow>, _ tunnel: Tunnel, _ event: HTTP2Event) {
        if flow.pointee.phase == .opening {
            if event.code == HTTP2Code.refusedStream { return askAgain(slot, flow, tunnel.key, .tunnelRefused) }
            return retry(slot, flow, .tunnelRefused)
        }
        if event.code == HTTP2Code.noError, !event.isLocal, flow.pointee.direction != .tunnel, flow.pointee.down.ended {
            // A server that has answered in full and wants no more of the request (RFC 9113 section 8.1): what it sent is still owed to the caller.
            flow.pointee.up.ended = true
            flow.pointee.up.finished = true
            return streamDone(slot, flow)
        }
        finish(slot, flow, (flow.pointee.direction == .tunnel) != event.isLocal ? .clientReset : .serverReset)
    }

    /// The answer to our CONNECT.
    private func answered(_ slot: UInt32, _ flow: UnsafeMutablePointer<Flow>, _ status: UInt16) {
        guard flow.pointee.phase == .opening else { return }
        guard (200..<300).contains(status) else { return retry(slot, flow, .tunnelRefused) }
        startRelay(slot, flow)
    }

    // MARK: Bytes

    /// From the stream to the socket. What the socket does not take waits; its credit returns when it was taken, so at most one window waits.
    @inline(__always)
    private func deliver(_ slot: UInt32, _ flow: UnsafeMutablePointer<Flow>, _ tunnel: Tunnel, _ bytes: UnsafeRawPointer, _ count: Int) {
        let upwards = flow.pointee.direction == .tunnel
        let fd = upwards ? flow.pointee.server : flow.pointee.client
        if flow.pointee.broken { return tunnel.http!.consume(flow.pointee.stream, count) }
        flow.pointee.active = now
        var written = 0
        if (upwards ? flow.pointee.up.stashCount : flow.pointee.down.stashCount) == 0 {
            switch Socket.write(fd, bytes, count) {
            case .bytes(let count): written = count
            case .wouldBlock: break
            case .endOfStream: return socketBroke(slot, flow, EPIPE)
            case .failed(let error): return socketBroke(slot, flow, error.code)
            }
        }
        if written > 0 {
            if upwards { flow.pointee.up.total &+= UInt64(written) } else { flow.pointee.down.total &+= UInt64(written) }
            tunnel.http!.consume(flow.pointee.stream, written)
        }
        guard written < count else { return }
        let held = upwards ? hold(&flow.pointee.up, bytes + written, count - written) : hold(&flow.pointee.down, bytes + written, count - written)
        if !held { finish(slot, flow, .memoryLimit) }
    }

    /// The peer sends no more on the stream.
    private func streamEnded(_ slot: UInt32, _ flow: UnsafeMutablePointer<Flow>) {
        if flow.pointee.direction == .tunnel { flow.pointee.up.ended = true } else { flow.pointee.down.ended = true }
        if flow.pointee.phase == .relaying {
            setDeadline(slot, flow, settings.timeouts.halfClosed)
            drainToSocket(slot, flow)
        }
    }

    /// An event of the flow's one socket.
    func onStreamSocket(_ slot: UInt32, _ flow: UnsafeMutablePointer<Flow>, _ bits: UInt32) {
        if bits & EpollBits.error != 0 { return socketBroke(slot, flow, 0) }
        if bits & ~EpollBits.write != 0, let tunnel = tunnel(of: flow) {
            tunnel.http!.resume(flow.pointee.stream)
            schedule(flow.pointee.tunnel)
        }
        if bits & EpollBits.write != 0 { drainToSocket(slot, flow) }
    }

    /// The flow's socket is dead (RST). What it sent before that still goes to the peer, as it would without a proxy in between: the answer of a server
    /// that did not want the whole upload. Then the stream is cut too.
    private func socketBroke(_ slot: UInt32, _ flow: UnsafeMutablePointer<Flow>, _ errno: CInt) {
        let upwards = flow.pointee.direction == .tunnel
        if errno != 0 { flow.pointee.errno = errno }
        guard flow.pointee.phase == .relaying, !(upwards ? flow.pointee.down.ended : flow.pointee.up.ended), let tunnel = tunnel(of: flow) else {
            return finish(slot, flow, upwards ? .serverReset : .clientReset)
        }
        flow.pointee.broken = true
        if upwards { freeStash(&flow.pointee.up) } else { freeStash(&flow.pointee.down) }
        setDeadline(slot, flow, settings.timeouts.halfClosed)
        tunnel.http!.resume(flow.pointee.stream)
        schedule(flow.pointee.tunnel)
    }

    /// Both directions, when the relay starts or a turn was put off.
    func pumpStream(_ slot: UInt32, _ flow: UnsafeMutablePointer<Flow>) {
        if let tunnel = tunnel(of: flow) {
            tunnel.http!.resume(flow.pointee.stream)
            schedule(flow.pointee.tunnel)
        }
        drainToSocket(slot, flow)
    }

    /// Writes what waits for the socket, gives the credit back, and passes the end on.
    private func drainToSocket(_ slot: UInt32, _ flow: UnsafeMutablePointer<Flow>) {
        let upwards = flow.pointee.direction == .tunnel
        let fd = upwards ? flow.pointee.server : flow.pointee.client
        let before = upwards ? flow.pointee.up.stashCount : flow.pointee.down.stashCount
        let result = upwards ? flush(&flow.pointee.up, to: fd) : flush(&flow.pointee.down, to: fd)
        let written = before - (upwards ? flow.pointee.up.stashCount : flow.pointee.down.stashCount)
        if written > 0 {
            flow.pointee.active = now
            if let tunnel = tunnel(of: flow) {
                tunnel.http!.consume(flow.pointee.stream, written)
                schedule(flow.pointee.tunnel)
            }
        }
        if case .writeFailed(let error) = result { return socketBroke(slot, flow, error) }
        streamDone(slot, flow)
    }

    /// Passes the stream's end on to the socket once all is written, and ends the flow when both directions are over.
    private func streamDone(_ slot: UInt32, _ flow: UnsafeMutablePointer<Flow>) {
        let upwards = flow.pointee.direction == .tunnel
        let (over, told, waiting) = upwards
            ? (flow.pointee.up.ended, flow.pointee.up.finished, flow.pointee.up.stashCount)
            : (flow.pointee.down.ended, flow.pointee.down.finished, flow.pointee.down.stashCount)
        if over, !told, waiting == 0, !flow.pointee.broken {
            Socket.shutdownWrite(upwards ? flow.pointee.server : flow.pointee.client)
            if upwards { flow.pointee.up.finished = true } else { flow.pointee.down.finished = true }
        }
        if flow.pointee.up.finished && flow.pointee.down.finished { finish(slot, flow, .completed) }
    }

    /// Takes a flow off its tunnel: out of the list of waiting flows, or by a reset of its stream.
    func detachStream(_ slot: UInt32, _ flow: UnsafeMutablePointer<Flow>) {
        guard let tunnel = tunnel(of: flow) else { return }
        if flow.pointee.stream >= 0 {
            tunnel.http?.reset(flow.pointee.stream, code: HTTP2Code.cancel)
            schedule(flow.pointee.tunnel)
        } else {
            unlink(slot, tunnel)
        }
        flow.pointee.tunnel = Flow.none
        flow.pointee.stream = -1
    }

    private func unlink(_ slot: UInt32, _ tunnel: Tunnel) {
        var previous = Flow.none
        var current = tunnel.waitingHead
        while current != Flow.none, current != slot {
            previous = current
            current = flows[current].pointee.nextWaiting
        }
        guard current == slot else { return }
        let next = flows[slot].pointee.nextWaiting
        if previous == Flow.none { tunnel.waitingHead = next } else { flows[previous].pointee.nextWaiting = next }
        if tunnel.waitingTail == slot { tunnel.waitingTail = previous }
        flows[slot].pointee.nextWaiting = Flow.none
    }
}

/// Reads from the flow's socket straight into the frame: no buffer of ours in between. Called while a session makes output.
let pullFromSocket: HTTP2DataSource.Pull = { context, _, token, room, count in
    guard let context, let room, token != 0 else { return HTTP2Pull.reset(HTTP2Code.cancel).rawValue }
    return Unmanaged<Worker>.fromOpaque(context)._withUnsafeGuaranteedRef { $0.pull(Token(raw: token), room, count).rawValue }
}

extension Worker {
    @inline(__always)
    fileprivate func pull(_ token: Token, _ room: UnsafeMutablePointer<UInt8>, _ count: Int) -> HTTP2Pull {
        guard let flow = flows.get(token.slot, generation: token.generation) else { return .reset(HTTP2Code.cancel) }
        guard flow.pointee.phase == .relaying else { return .wouldBlock }
        let upwards = flow.pointee.direction != .tunnel
        switch Socket.read(upwards ? flow.pointee.client : flow.pointee.server, room, count) {
        case .bytes(let count):
            flow.pointee.active = now
            if upwards { flow.pointee.up.total &+= UInt64(count) } else { flow.pointee.down.total &+= UInt64(count) }
            return .bytes(count)
        case .wouldBlock: return flow.pointee.broken ? .reset(HTTP2Code.cancel) : .wouldBlock
        case .endOfStream:
            // The kernel reports a reset once; after that a dead socket reads as ended.
            if flow.pointee.broken { return .reset(HTTP2Code.cancel) }
            if upwards {
                flow.pointee.up.ended = true
                flow.pointee.up.finished = true
            } else {
                flow.pointee.down.ended = true
                flow.pointee.down.finished = true
            }
            setDeadline(token.slot, flow, settings.timeouts.halfClosed)
            return .endOfStream()
        // The `reset` event that follows ends the flow.
        case .failed(let error):
            flow.pointee.errno = error.code
            return .reset(HTTP2Code.cancel)
        }
    }
}
