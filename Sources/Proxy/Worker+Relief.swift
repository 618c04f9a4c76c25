import HTTPWire
import Platform
import Reactor
import Traffic

/// What is done about a tunnel that carries much: flows that come later go beside it.
extension Worker {
    /// After another tunnel was dialled for it, a crowded one is not helped again for so long: the peer may take no more.
    private static let patience: Duration = .seconds(5)

    /// The end of a tunnel's turn. Only who dials can do something about it.
    @inline(__always)
    func weigh(_ slot: UInt32, _ tunnel: TunnelPointer, _ place: UnsafeMutablePointer<TunnelSlot>) {
        guard tunnel.pointee.pooled, place.pointee.pressure.turn(moved: tunnel.pointee.moved, at: now, much: settings.limits.crowdedTunnel, busy: busy) else { return }
        relieve(slot, tunnel, place)
    }

    /// A crowded tunnel is the last that gets more flows; and when all of its kind are, there is one more, in the background: nothing waits for it.
    /// One flow alone needs none: it can't be in two.
    private func relieve(_ slot: UInt32, _ tunnel: TunnelPointer, _ place: UnsafeMutablePointer<TunnelSlot>) {
        guard let key = tunnel.pointee.key else { return }
        if now >= place.pointee.notRelievedBefore, mayHaveAnother(tunnel, key) {
            place.pointee.notRelievedBefore = now + Self.patience
            // No flow waits for it: when it fails there is nothing to tell anybody, and the next try is some seconds away.
            _ = try? dialTunnel(key)
        }
        guard let first = pool[key]?.firstIndex(of: slot) else { return }
        pool[key]!.remove(at: first)
        pool[key]!.append(slot)
    }

    private func mayHaveAnother(_ tunnel: TunnelPointer, _ key: TunnelKey) -> Bool {
        guard stopAt == nil, tunnel.pointee.activeStreams > 1, let kind = pool[key], kind.count < settings.limits.tunnelsPerPeer else { return false }
        return kind.allSatisfy { tunnels[$0].pointee.pressure.isCrowded(at: now) }
    }
}
