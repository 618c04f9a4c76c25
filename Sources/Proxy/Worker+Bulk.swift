import Platform
import Reactor

/// Flows and tunnels that move much have their turn after all others, and not more often than pays.
///
/// Without the first, a namespace's bulk transfers would stand before everybody's small messages in each batch of events. Without the second, a fast relay
/// wakes for every 64 KiB that arrive; what gathers in a tenth of a millisecond costs little more to move.
extension Worker {
    /// The least time between two turns of a tunnel, in nanoseconds. (24 Gbit/s bring 300 KB meanwhile, and socket buffers hold several MB.)
    private static let tunnelInterval: UInt64 = 100_000
    /// The same for a flow: of four that share a core each brings a fourth.
    private static let flowInterval: UInt64 = 300_000
    /// After so long the others are asked again, in nanoseconds.
    private static let slice: UInt64 = 500_000
    /// A tunnel that moved so many bytes in one turn has its next one here.
    static let bulkTurn = 32 << 10
    /// For so long after a small message there may be another, in nanoseconds; and what moved much so lately does not become small by one short turn.
    private static let sociable: UInt64 = 20_000_000

    /// Bytes that a tunnel may move in its turn. While there are small messages it is less: they wait for the turn to end, and where all processors are busy also until
    /// the kernel lets this thread end it.
    var portion: Int { isMixed ? settings.limits.bytesPerTurn / 4 : settings.limits.bytesPerTurn }
    private var isMixed: Bool { now.nanoseconds &- smallSeen < Self.sociable }

    /// Something was moved in a turn that was not one of bulk.
    /// - Parameter last: when the same flow or tunnel had one of bulk, in nanoseconds.
    @inline(__always)
    func sawSmall(lastBulk last: UInt64) {
        if now.nanoseconds &- last >= Self.sociable { smallSeen = now.nanoseconds }
    }

    /// A flow of two sockets that moves much has an event, or more to do.
    func deferBulk(_ slot: UInt32, _ flow: UnsafeMutablePointer<Flow>) {
        guard !flow.pointee.queued else { return }
        flow.pointee.queued = true
        bulkPause = 0
        bulk.append(Token(kind: TokenKind.client, slot: slot, generation: flows.generation(slot)))
    }

    /// The same of a tunnel.
    func deferBulk(_ slot: UInt32, _ tunnel: UnsafeMutablePointer<TunnelSlot>) {
        guard !tunnel.pointee.queued else { return }
        tunnel.pointee.queued = true
        bulkPause = 0
        bulk.append(Token(kind: TokenKind.tunnel, slot: slot, generation: tunnels.generation(slot)))
    }

    func runBulk() {
        swap(&bulk, &bulkNow)
        bulkPause = Self.flowInterval
        let start = now.nanoseconds
        let slice = isMixed ? Self.slice / 5 : Self.slice
        var time = start
        // By index: to go through the array itself would count a reference.
        for index in 0..<bulkNow.count {
            let token = bulkNow[index]
            guard let due = due(token) else { continue }
            if time < due {
                bulkPause = min(bulkPause, due - time)
                bulk.append(token)
            } else if time - start >= slice {
                bulkPause = 0
                bulk.append(token)
            } else {
                turn(token, time)
                time = MonotonicTime.now().nanoseconds
            }
        }
        bulkNow.removeAll(keepingCapacity: true)
    }

    /// When it has its turn; nil when it is gone.
    @inline(__always)
    private func due(_ token: Token) -> UInt64? {
        token.kind == TokenKind.tunnel
            ? tunnels.get(token.slot, generation: token.generation).map { $0.pointee.lastTurn &+ Self.tunnelInterval }
            : flows.get(token.slot, generation: token.generation).map { $0.pointee.lastTurn &+ Self.flowInterval }
    }

    @inline(__always)
    private func turn(_ token: Token, _ time: UInt64) {
        if token.kind == TokenKind.tunnel {
            let tunnel = tunnels[token.slot]
            tunnel.pointee.lastTurn = time
            again(token.slot, tunnel)
        } else {
            let flow = flows[token.slot]
            flow.pointee.queued = false
            flow.pointee.lastTurn = time
            pumpAll(token.slot, flow)
        }
    }
}
