import HTTPWire
import Platform
import Reactor
import TLS

/// Ends of tunnels.
extension Worker {
    /// The turn is over: nobody is in the middle of a tunnel that was closed in it.
    func freeBuried() {
        for tunnel in buried {
            tunnel.deinitialize(count: 1)
            tunnel.deallocate()
        }
        buried.removeAll(keepingCapacity: true)
    }

    /// The agent stops: idle tunnels close, the others when their streams have ended.
    func drainTunnel(_ slot: UInt32, _ tunnel: TunnelPointer) {
        switch tunnel.pointee.phase {
        case .closed: return
        // Flows that were accepted before wait for it.
        case .connecting where tunnel.pointee.waitingHead != Flow.none, .handshaking where tunnel.pointee.waitingHead != Flow.none: return
        case .connecting, .handshaking: closeTunnel(slot, tunnel, .agentStopping)
        case .open where tunnel.pointee.activeStreams == 0: closeInOrder(slot, tunnel, .agentStopping)
        case .open: retire(slot, tunnel)
        }
    }

    /// Says what is left to say, GOAWAY too, as far as the socket takes it, and ends the tunnel.
    func closeInOrder(_ slot: UInt32, _ tunnel: TunnelPointer, _ reason: FlowEnd) {
        if tunnel.pointee.phase == .open {
            tunnel.pointee.http!.goaway(code: HTTP2Code.noError)
            flushTunnel(slot, tunnel)
        }
        closeTunnel(slot, tunnel, reason)
    }

    /// From now on the tunnel gets no new streams.
    func leavePool(_ slot: UInt32, _ tunnel: TunnelPointer) {
        guard tunnel.pointee.pooled, let key = tunnel.pointee.key else { return }
        tunnel.pointee.pooled = false
        pool[key]?.removeAll { $0 == slot }
        if pool[key]?.isEmpty == true { pool[key] = nil }
    }

    /// Ends a tunnel and what hangs on it: flows that wait try another endpoint, flows that run are cut.
    /// - Parameter again: flows whose request was not answered may ask the same node once more.
    func closeTunnel(_ slot: UInt32, _ tunnel: TunnelPointer, _ reason: FlowEnd, errno: CInt = 0, again: Bool = true) {
        guard tunnel.pointee.phase != .closed else { return }
        let wasOpen = tunnel.pointee.phase == .open
        handshakeOver(tunnel)
        if tunnel.pointee.role == .server { acceptedTunnels -= 1 }
        tunnel.pointee.phase = .closed
        leavePool(slot, tunnel)
        var waiting = tunnel.pointee.waitingHead
        tunnel.pointee.waitingHead = Flow.none
        tunnel.pointee.waitingTail = Flow.none
        if tunnel.pointee.tls != nil { _ = tunnel.pointee.tls!.shutdown() }
        tunnel.pointee.tls = nil
        tunnel.pointee.socket = nil
        tunnel.pointee.http = nil
        tunnels[slot].pointee.tunnel = nil
        tunnels.release(slot)
        buried.append(tunnel)
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
                askAgain(flowSlot, flow, tunnel.pointee.key, reason, errno: errno)
            } else {
                retry(flowSlot, flow, reason, errno: errno)
            }
        }
    }
}
