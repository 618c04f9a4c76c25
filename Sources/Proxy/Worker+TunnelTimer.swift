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
    func wake(_ slot: UInt32, _ tunnel: Tunnel, at deadline: MonotonicTime) {
        tunnel.wakeAt = min(deadline, now + Self.longestNap)
        wheel.set(Token(kind: TokenKind.tunnel, slot: slot, generation: tunnels.generation(slot)), at: tunnel.wakeAt)
    }

    /// When an open tunnel is looked at next.
    func nextLook() -> MonotonicTime { now + min(settings.timeouts.tunnelPing, settings.timeouts.tunnelIdle) }

    /// Called by the wheel.
    func tunnelTimer(_ slot: UInt32, _ tunnel: Tunnel) {
        guard now >= tunnel.wakeAt else { return }
        switch tunnel.phase {
        case .closed: return
        case .connecting, .handshaking:
            guard now >= tunnel.deadline else { return wake(slot, tunnel, at: tunnel.deadline) }
            if tunnel.phase == .handshaking {
                statistics.handshakeFailures["timeout", default: 0] &+= 1
                problem("tls_timeout", "the TLS handshake with \(tunnel.peer) took longer than timeouts.handshake")
            }
            closeTunnel(slot, tunnel, .tunnelConnectTimeout)
        case .open: openTimer(slot, tunnel)
        }
    }

    private func openTimer(_ slot: UInt32, _ tunnel: Tunnel) {
        let silence = now - tunnel.heard
        let ping = settings.timeouts.tunnelPing
        if tunnel.pinged && silence >= ping + ping {
            problem("tunnel_silent", "the tunnel with \(tunnel.peer) answered no ping and was closed")
            return closeTunnel(slot, tunnel, .tunnelLost)
        }
        if tunnel.http!.activeStreams == 0 {
            // Clients close what they do not need. A server is more patient by half, and asks first: a request may be on its way.
            let idle = now - tunnel.idleSince
            let patience = tunnel.role == .client ? settings.timeouts.tunnelIdle : settings.timeouts.tunnelIdle + settings.timeouts.tunnelIdle
            if tunnel.role == .client ? (idle >= patience || tunnel.draining) : (idle >= patience && tunnel.draining) {
                return closeInOrder(slot, tunnel, .completed)
            }
            if idle >= patience { retire(slot, tunnel) }
        }
        // New streams would be opened in the name of a certificate that is no longer valid.
        if !tunnel.draining, let end = tunnel.peerNotAfter, WallTime.now() >= end { retire(slot, tunnel) }
        if silence >= ping && !tunnel.pinged {
            tunnel.pinged = true
            tunnel.http!.ping(now.nanoseconds)
            schedule(slot)
        }
        if !tunnel.writeBlocked { tunnel.freePending() }
        if silence >= Self.quiet { tunnel.tls!.releaseBuffers() }
        wake(slot, tunnel, at: nextLook())
    }

    /// No new streams; those that are open go on to their end.
    func retire(_ slot: UInt32, _ tunnel: Tunnel) {
        guard !tunnel.draining else { return }
        tunnel.draining = true
        leavePool(slot, tunnel)
        guard tunnel.phase == .open else { return }
        tunnel.http!.drain()
        schedule(slot)
    }

    /// Membership says that the node at this address is gone: do not wait for timeouts, and do not try it again.
    func forgetNode(_ address: SocketAddress) {
        for slot in tunnels.liveSlots {
            if let tunnel = tunnels[slot].pointee.tunnel, tunnel.key?.address == address { closeTunnel(slot, tunnel, .tunnelLost, again: false) }
        }
    }
}
