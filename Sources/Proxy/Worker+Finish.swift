import Glibc
import HTTPWire
import MeshModel
import Platform
import Reactor

/// Ends of flows, their timers, and what is said about them.
extension Worker {
    /// Ends a flow: sockets, stream, buffers and slot are given back, and the record is written. Nothing of the flow may be touched after.
    func finish(_ slot: UInt32, _ flow: UnsafeMutablePointer<Flow>, _ end: FlowEnd, errno: CInt = 0) {
        guard flow.pointee.phase != .free else { return }
        countOpened(flow)
        if flow.pointee.direction == .tunnel, flow.pointee.phase != .relaying, flow.pointee.stream >= 0, let tunnel = tunnel(of: flow) {
            // The answer was not sent yet, so the caller's node can be told why and try elsewhere.
            respondRefusal(tunnel, flow.pointee.stream, end, 503)
            schedule(flow.pointee.tunnel)
            flow.pointee.tunnel = Flow.none
            flow.pointee.stream = -1
        }
        let orderly = end == .completed
        // A stream that ended in order needs no reset, though its last frame may still be on its way out.
        if !orderly { detachStream(slot, flow) }
        for fd in [flow.pointee.client, flow.pointee.server] where fd >= 0 {
            if !orderly { Socket.resetOnClose(fd) }
            _ = close(fd)
        }
        if flow.pointee.up.stash != nil { freeStash(&flow.pointee.up) }
        if flow.pointee.down.stash != nil { freeStash(&flow.pointee.down) }
        releasePipe(&flow.pointee.up)
        releasePipe(&flow.pointee.down)
        leaveTenant(flow)
        countBytes(flow, closed: 1)
        note(end, record(flow, end, errno != 0 ? errno : flow.pointee.errno))
        flows.release(slot)
        finished &+= 1
    }

    /// Counts an end, and keeps its record for the report of this turn.
    func note(_ end: FlowEnd, _ record: @autoclosure () -> FlowRecord) {
        statistics.ends[Int(end.rawValue)] &+= 1
        if ended.count < Self.recordsPerTurn { ended.append(record()) } else { statistics.reportsDropped &+= 1 }
    }

    /// Records beyond this in one turn are dropped and counted.
    static let recordsPerTurn = 4096

    func closeEverything(_ reason: FlowEnd) {
        for slot in flows.liveSlots { finish(slot, flows[slot], reason) }
        for slot in tunnels.liveSlots {
            if let tunnel = tunnels[slot].pointee.tunnel { closeInOrder(slot, tunnel, reason) }
        }
        listeners.removeAll()
        report()
    }

    // MARK: Timers

    func setDeadline(_ slot: UInt32, _ flow: UnsafeMutablePointer<Flow>, _ delay: Duration) {
        let deadline = now + delay
        // The wheel is told only when it would otherwise ask too late.
        if !flow.pointee.timed || deadline < flow.pointee.deadline {
            wheel.set(Token(kind: TokenKind.client, slot: slot, generation: flows.generation(slot)), at: deadline)
            flow.pointee.timed = true
        }
        flow.pointee.deadline = deadline
    }

    func advanceTimers() {
        wheel.advance(to: now, due: &due)
        if due.isEmpty { return }
        for token in due {
            switch token.kind {
            case TokenKind.mailbox: resumeAccepting()
            case TokenKind.tunnel:
                if let tunnel = tunnels.get(token.slot, generation: token.generation)?.pointee.tunnel { tunnelTimer(token.slot, tunnel) }
            default:
                if let flow = flows.get(token.slot, generation: token.generation) { flowTimer(token, flow) }
            }
        }
        due.removeAll(keepingCapacity: true)
    }

    private func flowTimer(_ token: Token, _ flow: UnsafeMutablePointer<Flow>) {
        flow.pointee.timed = false
        switch flow.pointee.phase {
        case .free: return
        case .connecting, .opening:
            guard now >= flow.pointee.deadline else { return rearm(token, flow, flow.pointee.deadline) }
            if flow.pointee.phase == .connecting { return retry(token.slot, flow, .connectTimeout) }
            retry(token.slot, flow, .tunnelConnectTimeout)
        case .relaying:
            // Also when both sides have ended: then a reader that takes nothing is what the flow waits for.
            let closing = flow.pointee.isClosing
            let limit = closing ? settings.timeouts.halfClosed : settings.timeouts.idle
            if !flow.pointee.settled { settle(flow) }
            guard limit > .zero else { return }
            let due = flow.pointee.active + limit
            guard now >= due else { return rearm(token, flow, due) }
            finish(token.slot, flow, closing ? .halfClosedTimeout : .idleTimeout)
        }
    }

    private func rearm(_ token: Token, _ flow: UnsafeMutablePointer<Flow>, _ deadline: MonotonicTime) {
        wheel.set(token, at: deadline)
        flow.pointee.timed = true
        flow.pointee.deadline = deadline
    }

    // MARK: Reports

    func countOpened(_ flow: UnsafeMutablePointer<Flow>) {
        guard flow.pointee.tally < 0 else { return }
        flow.pointee.tally = tally.index(of: labels(flow))
        tally.count(flow.pointee.tally, opened: 1)
    }

    private func countBytes(_ flow: UnsafeMutablePointer<Flow>, closed: UInt64 = 0) {
        tally.count(
            flow.pointee.tally, closed: closed, sent: flow.pointee.up.total &- flow.pointee.countedSent,
            received: flow.pointee.down.total &- flow.pointee.countedReceived)
        flow.pointee.countedSent = flow.pointee.up.total
        flow.pointee.countedReceived = flow.pointee.down.total
    }

    private func labels(_ flow: UnsafeMutablePointer<Flow>) -> FlowLabels {
        FlowLabels(
            direction: flow.pointee.direction, security: flow.pointee.security, sourceIdentity: flow.pointee.sourceIdentity,
            destinationIdentity: flow.pointee.destinationIdentity, service: flow.pointee.service)
    }

    private func record(_ flow: UnsafeMutablePointer<Flow>, _ end: FlowEnd, _ errno: CInt) -> FlowRecord {
        FlowRecord(
            direction: flow.pointee.direction, security: flow.pointee.security, end: end, source: flow.pointee.source, destination: flow.pointee.destination,
            endpoint: flow.pointee.endpoint, sourceIdentity: flow.pointee.sourceIdentity, destinationIdentity: flow.pointee.destinationIdentity,
            workload: flow.pointee.workload, service: flow.pointee.service, node: flow.pointee.node, bytesSent: flow.pointee.up.total,
            bytesReceived: flow.pointee.down.total, duration: now - flow.pointee.opened, attempts: flow.pointee.attempts, errno: errno)
    }

    /// Tells the control loop about the flows that ended in this turn.
    func report() {
        if ended.isEmpty { return }
        if !reports.post(.flows(ended)) { statistics.reportsDropped &+= UInt64(ended.count) }
        ended = []
    }

    func scrape() -> WorkerStatistics {
        for slot in flows.liveSlots where flows[slot].pointee.tally >= 0 { countBytes(flows[slot]) }
        statistics.flows = tally.counters
        statistics.liveFlows = flows.count
        statistics.liveTunnels = tunnels.count
        statistics.acceptedTunnels = acceptedTunnels
        statistics.bufferedBytes = bufferedBytes
        return statistics
    }

    func list(_ limit: Int) -> [FlowRecord] {
        flows.liveSlots.prefix(limit).map { record(flows[$0], .completed, 0) }
    }
}
