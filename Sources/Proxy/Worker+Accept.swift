import CLinux
import Glibc
import Platform
import Reactor

/// Taking connections from the listeners.
extension Worker {
    private static let acceptsPerTurn = 64
    private static let problemsPerSecond = 20
    private static let acceptPause: Duration = .milliseconds(100)

    /// From now on queued connections are taken: with the first snapshot, or without one when they have waited long enough to be refused.
    func startListening() {
        isListening = true
        board[index].pointee.set(accepts: stopAt == nil)
        for (index, listener) in listeners.enumerated() {
            // Level-triggered: what one turn leaves in the queue comes again.
            _ = try? epoll.add(listener.fd.fd.raw, events: EpollBits.read, data: Token(kind: listener.kind, slot: UInt32(index), generation: 0).raw)
        }
    }

    func accept(_ index: Int) {
        guard index < listeners.count else { return }
        let listener = listeners[index]
        // Who comes at the limit sees an end and not silence; how many a second is bounded by the pause that follows.
        var isFull = false
        loop: for _ in 0..<Self.acceptsPerTurn {
            switch Socket.accept(listener.fd.fd.raw) {
            case .accepted(let fd, let peer):
                // The kernel gives the lowest free number, so a high one says how many are open.
                guard fd.raw < settings.limits.descriptors else {
                    statistics.ends[Int(FlowEnd.descriptorLimit.rawValue)] &+= 1
                    Socket.resetOnClose(fd.raw)
                    isFull = true
                    continue
                }
                place(fd, peer, index, listener)
            case .wouldBlock: break loop
            case .failed: break loop
            case .gone: continue
            case .exhausted: return shed(listener)
            }
        }
        if isFull { pauseAccepting() }
    }

    /// A connection is this worker's from now on.
    func accepted(_ fd: consuming OwnedFD, _ peer: SocketAddress, _ listener: Listener) {
        defer { publishLoad() }
        if listener.kind == TokenKind.tunnelListener { return acceptTunnel(fd, peer) }
        guard let (slot, generation) = flows.allocate() else {
            statistics.ends[Int(FlowEnd.flowLimit.rawValue)] &+= 1
            Socket.resetOnClose(fd.raw)
            return
        }
        let flow = flows[slot]
        flow.pointee.phase = .opening
        flow.pointee.opened = now
        flow.pointee.active = now
        flow.pointee.client = fd.release()
        flow.pointee.source = peer
        flow.pointee.direction = listener.kind == TokenKind.inboundListener ? .inbound : .outbound
        guard watch(flow.pointee.client, Token(kind: TokenKind.client, slot: slot, generation: generation)) else { return finish(slot, flow, .descriptorLimit) }
        switch listener.kind {
        case TokenKind.outboundListener: startOutbound(slot, flow, listener)
        case TokenKind.inboundListener: startInbound(slot, flow, listener)
        default: startExplicit(slot, flow, listener.number)
        }
    }

    /// Adds a socket once, for both directions, edge-triggered: no further system call changes the registration.
    /// - Returns: false when the kernel has no room for it (`fs.epoll.max_user_watches`): no event would ever come.
    func watch(_ fd: CInt, _ token: Token) -> Bool {
        do {
            try epoll.add(fd, events: EpollBits.read | EpollBits.write | EpollBits.readHangup | EpollBits.edge, data: token.raw)
            return true
        } catch {
            problem("epoll", "a connection cannot be watched: \(error); raise fs.epoll.max_user_watches")
            return false
        }
    }

    /// Descriptors have run out: end one caller's connection with the reserve, so that it sees an end instead of silence, and rest a little.
    private func shed(_ listener: Listener) {
        reserve = nil
        if case .accepted(let fd, _) = Socket.accept(listener.fd.fd.raw) {
            statistics.ends[Int(FlowEnd.descriptorLimit.rawValue)] &+= 1
            Socket.resetOnClose(fd.raw)
        }
        let fresh = clinux_open("/dev/null", O_RDONLY | O_CLOEXEC, 0)
        reserve = fresh >= 0 ? OwnedFD(consuming: fresh) : nil
        pauseAccepting()
    }

    private func pauseAccepting() {
        statistics.acceptsPaused &+= 1
        pipes.closeIdle()
        if acceptsPausedUntil == nil {
            for listener in listeners { epoll.remove(listener.fd.fd.raw) }
            problem("descriptor_limit", "no file descriptor is left: new connections wait; raise LimitNOFILE of weft.service")
        }
        acceptsPausedUntil = now + Self.acceptPause
        wheel.set(Token(kind: TokenKind.mailbox, slot: 0, generation: 0), at: now + Self.acceptPause)
    }

    /// Called by the wheel.
    func resumeAccepting() {
        guard let until = acceptsPausedUntil, now >= until, stopAt == nil else { return }
        acceptsPausedUntil = nil
        startListening()
    }

    /// Tells the operator, at most some times a second for each code: a flood of bad connections must not cost a message each.
    func problem(_ code: String, _ message: @autoclosure () -> String) {
        if now - problemsSince >= .seconds(1) {
            problemsSince = now
            problems.removeAll(keepingCapacity: true)
        }
        guard problems[code, default: 0] < Self.problemsPerSecond else { return }
        problems[code, default: 0] += 1
        let message = message()
        if !reports.post(.problem(WorkerProblem(code: code, message: message))) { statistics.reportsDropped &+= 1 }
    }
}
