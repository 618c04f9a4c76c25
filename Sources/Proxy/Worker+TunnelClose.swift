import HTTPWire
import Platform
import Reactor
import TLS

/// Ends of tunnels.
extension Worker {
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
        handshakeOver(tunnel)
        if tunnel.role == .server { acceptedTunnels -= 1 }
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
            streamGone(flow)
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
