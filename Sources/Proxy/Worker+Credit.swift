import HTTPWire
import Platform
import Reactor
import Traffic

/// Credit for what applications took of their streams, and windows that grow while they are what keeps a flow back.
///
/// A window covers what a flow moves in one round trip, or it slows the flow down. So it is looked at each time that two thirds of it were taken: if as much is
/// taken in a round trip, it doubles. A flow that moves less pays an addition for it and nothing else.
///
/// What had to wait for the application's socket says that the reader is the slower one, and the count begins anew.
///
/// Implementation: the round trip is that of a PING and not TCP's: a window has to cover the way through both agents too, and TCP ends at a load balancer
/// between the nodes. What the application's kernel took is not yet what the application took: what still lies in our socket does not count, or every flow that
/// is never read would have its window grow until the buffers of the kernel are full.
extension Worker {
    /// The least time between two PINGs of a tunnel for this. (RFC 9113 has no bound; peers have: see `HTTP2Limits.ping`.)
    private static let probeInterval: Duration = .seconds(1)
    /// No round trip through two agents is shorter.
    private static let shortestTrip: Duration = .microseconds(10)

    /// The application's socket took `count` bytes of its stream as they came.
    @inline(__always)
    func took(_ flow: UnsafeMutablePointer<Flow>, _ tunnel: TunnelPointer, _ count: Int) {
        tunnel.pointee.http!.consume(flow.pointee.stream, count)
        flow.pointee.taken += count
        if flow.pointee.taken >= flow.pointee.enough { look(flow, tunnel) }
    }

    /// What is taken now had to wait. The next look is a first one: what it compares with is too old.
    func forgetTaken(_ flow: UnsafeMutablePointer<Flow>) {
        flow.pointee.taken = 0
        flow.pointee.takenSince = MonotonicTime(nanoseconds: 0)
    }

    @inline(never)
    private func look(_ flow: UnsafeMutablePointer<Flow>, _ tunnel: TunnelPointer) {
        probe(tunnel)
        let queued = Socket.unacknowledged(flow.pointee.direction == .tunnel ? flow.pointee.server : flow.pointee.client)
        let read = flow.pointee.taken + flow.pointee.queuedThen - queued
        let elapsed = now - flow.pointee.takenSince
        flow.pointee.taken = 0
        flow.pointee.takenSince = now
        flow.pointee.queuedThen = queued
        guard let roundTrip = tunnel.pointee.roundTrip else { return }
        let window = flow.pointee.window
        let next = growWindow(flow, consumed: elapsed > roundTrip ? Int(Double(read) * (roundTrip / elapsed)) : read)
        if next > window { tunnel.pointee.http!.widen(flow.pointee.stream, by: next - window) }
    }

    /// Asks how long a round trip is, unless that was asked a short while ago.
    private func probe(_ tunnel: TunnelPointer) {
        guard !tunnel.pointee.probing, tunnel.pointee.roundTrip == nil || now - tunnel.pointee.probed >= Self.probeInterval else { return }
        tunnel.pointee.probing = true
        // Not the loop's time: PING and answer may come in one turn of it.
        tunnel.pointee.probed = .now()
        tunnel.pointee.http!.ping(tunnel.pointee.probed.nanoseconds)
    }

    /// The answer to a PING. The shortest time counts, since others have waited in queues that larger windows only make longer; but it is forgotten slowly, for
    /// the way may have become longer.
    func pingAnswered(_ tunnel: TunnelPointer, _ payload: UInt64) {
        guard tunnel.pointee.probing, payload == tunnel.pointee.probed.nanoseconds else { return }
        tunnel.pointee.probing = false
        let time = max(.now() - tunnel.pointee.probed, Self.shortestTrip)
        tunnel.pointee.roundTrip = tunnel.pointee.roundTrip.map { min(time, $0 + $0 / 8) } ?? time
    }
}
