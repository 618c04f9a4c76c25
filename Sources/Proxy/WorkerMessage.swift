import Platform
import Synchronization
import TLS

/// To a worker: from the control loop, and connections from other workers.
enum WorkerMessage: Sendable {
    /// There is a new snapshot, or the order to stop: see `Worker.offer`.
    case orders
    /// The first snapshot is late: refuse what waits.
    case release
    /// Answer with counters.
    case scrape(Reply<WorkerStatistics>)
    /// Answer with up to so many live flows.
    case list(Int, Reply<[FlowRecord]>)
    /// Prove that the loop turns.
    case beat(UInt64)
    /// Close tunnels to this address: membership says that its node is gone.
    case forget(SocketAddress)
    /// Serve this connection: another worker has accepted it, and has more to do.
    case serve(AcceptedConnection)
}

/// A one-shot answer across threads.
package final class Reply<Value: Sendable>: Sendable {
    private let body: @Sendable (Value) -> Void
    package init(_ body: @escaping @Sendable (Value) -> Void) { self.body = body }
    func callAsFunction(_ value: Value) { body(value) }
}

/// From a worker to the control loop.
package enum WorkerReport: Sendable {
    case flows([FlowRecord])
    /// A connection on the tunnel port that is not a tunnel: plane or join, by its ALPN. The handshake is done.
    case handoff(Handoff)
    case problem(WorkerProblem)
    /// The worker has loaded its first snapshot and accepts.
    case ready(worker: Int)
    case stopped(worker: Int)
}

/// A TLS connection on its way to the control loop.
///
/// `@unchecked Sendable`: the lock guards the only state, and the connection is taken out once, by its new owner.
package final class Handoff: @unchecked Sendable {
    package let alpn: String
    package let peer: SocketAddress
    private var connection: TLSConnection?
    private let lock = Mutex(())

    init(_ connection: consuming TLSConnection, alpn: String, peer: SocketAddress) {
        self.connection = consume connection
        self.alpn = alpn
        self.peer = peer
    }

    /// The connection, the first time; nil after.
    package func take() -> TLSConnection? { lock.withLock { _ in connection.take() } }
}

/// Something that an operator should hear about once in a while, not per flow.
package struct WorkerProblem: Sendable {
    package var code: String
    package var message: String
    package init(code: String, message: String) {
        self.code = code
        self.message = message
    }
}

/// A worker's counters at one moment.
package struct WorkerStatistics: Sendable {
    package var worker = 0
    package var flows: [FlowLabels: FlowCounters] = [:]
    package var ends: [UInt64] = Array(repeating: 0, count: FlowEnd.allCases.count)
    package var liveFlows = 0
    package var liveTunnels = 0
    /// Of these, those that other nodes opened.
    package var acceptedTunnels = 0
    package var tunnelsOpened: UInt64 = 0
    package var handshakeFailures: [String: UInt64] = [:]
    package var floods: [String: UInt64] = [:]
    package var bufferedBytes = 0
    package var acceptsPaused: UInt64 = 0
    /// Accepted connections that were given to another worker.
    package var handovers: UInt64 = 0
    package var reportsDropped: UInt64 = 0
    package var turns: UInt64 = 0
}
