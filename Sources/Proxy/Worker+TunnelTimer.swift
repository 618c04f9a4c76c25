import HTTPWire
import Platform
import Reactor
import TLS

/// The clocks of a tunnel: connect, handshake, silence, idleness, and the life of the peer's certificate.
extension Worker {
    /// The wheel names a deadline early that is more than a turn away; a tunnel looks at its clocks more often than that.
    private static let longestNap: Duration = .seconds(30)

    /// A tunnel from which nothing came for so long holds no buffers.
    private static let quiet: Duration = .seconds(5)

    /// Sets when the tunnel is looked at next. A timer of the wheel can't be taken back, so an earlier one that still comes is told by its time.
    func wake(_ slot: UInt32, _ tunnel: TunnelPointer, at deadline: MonotonicTime) {
        tunnel.pointee.wakeAt = min(deadline, now + Self.longestNap)
        wheel.set(Token(kind: TokenKind.tunnel, slot: slot, generation: tunnels.generation(slot)), at: tunnel.pointee.wakeAt)
    }

    /// When an open tunnel is looked at next.
    func nextLook() -> MonotonicTime { now + min(settings.timeouts.tunnelPing, settings.timeouts.tunnelIdle) }

    /// Called by the wheel.
    func tunnelTimer(_ slot: UInt32, _ tunnel: TunnelPointer) {
        guard now >= tunnel.pointee.wakeAt else { return }
        switch tunnel.pointee.phase {
        case .closed: return
        case .connecting, .handshaking:
            guard now >= tunnel.pointee.deadline else { return wake(slot, tunnel, at: tunnel.pointee.deadline) }
            if tunnel.pointee.phase == .handshaking {
                statistics.handshakeFailures["timeout", default: 0] &+= 1
                problem("tls_timeout", "the TLS handshake with \(tunnel.pointee.peer) took longer than timeouts.handshake")
            }
            closeTunnel(slot, tunnel, .tunnelConnectTimeout)
        case .open: openTimer(slot, tunnel)
        }
    }

    private func openTimer(_ slot: UInt32, _ tunnel: TunnelPointer) {
        let silence = now - tunnel.pointee.heard
        let ping = settings.timeouts.tunnelPing
        if tunnel.pointee.pinged && silence >= ping + ping {
            problem("tunnel_silent", "the tunnel with \(tunnel.pointee.peer) answered no ping and was closed")
            return closeTunnel(slot, tunnel, .tunnelLost)
        }
        if tunnel.pointee.activeStreams == 0 {
            // Clients close what they do not need. A server is more patient by half, and asks first: a request may be on its way.
            let idle = now - tunnel.pointee.idleSince
            let patience = tunnel.pointee.role == .client ? settings.timeouts.tunnelIdle : settings.timeouts.tunnelIdle + settings.timeouts.tunnelIdle
            if tunnel.pointee.role == .client ? (idle >= patience || tunnel.pointee.draining) : (idle >= patience && tunnel.pointee.draining) {
                return closeInOrder(slot, tunnel, .completed)
            }
            if idle >= patience { retire(slot, tunnel) }
        }
        // New streams would be opened in the name of a certificate that is no longer valid.
        if !tunnel.pointee.draining, let end = tunnel.pointee.peerNotAfter, WallTime.now() >= end { retire(slot, tunnel) }
        if silence >= ping && !tunnel.pointee.pinged {
            tunnel.pointee.pinged = true
            tunnel.pointee.http!.ping(now.nanoseconds)
            schedule(slot)
        }
        if !tunnel.pointee.writeBlocked { tunnel.pointee.freePending() }
        if silence >= Self.quiet { tunnel.pointee.tls!.releaseBuffers() }
        wake(slot, tunnel, at: nextLook())
    }

    /// No new streams; those that are open go on to their end.
    func retire(_ slot: UInt32, _ tunnel: TunnelPointer) {
        guard !tunnel.pointee.draining else { return }
        tunnel.pointee.draining = true
        leavePool(slot, tunnel)
        guard tunnel.pointee.phase == .open else { return }
        tunnel.pointee.http!.drain()
        schedule(slot)
    }

    /// Membership says that the node at this address is gone: do not wait for timeouts, and do not try it again.
    func forgetNode(_ address: SocketAddress) {
        for slot in tunnels.liveSlots {
            if let tunnel = tunnels[slot].pointee.tunnel, tunnel.pointee.key?.address == address { closeTunnel(slot, tunnel, .tunnelLost, again: false) }
        }
    }
}
