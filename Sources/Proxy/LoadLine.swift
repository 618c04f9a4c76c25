import Synchronization
import Traffic

/// What one worker has to do: a line of the `LoadBoard`.
struct LoadLine: ~Copyable {
    /// Two cache lines: processors fetch them in pairs.
    static let size = 128
    /// After so long without news a worker was not busy, in nanoseconds.
    private static let fresh: UInt64 = 2 * Worker.busyWindow

    private let accepts = Atomic<Bool>(false)
    private let flows = Atomic<Int>(0)
    private let tunnels = Atomic<Int>(0)
    private let flowsComing = Atomic<Int>(0)
    private let tunnelsComing = Atomic<Int>(0)
    /// When the worker last looked, in nanoseconds, and the percent of a core that it had used. Two words: one that is newer than the other is no harm.
    private let looked = Atomic<UInt64>(0)
    private let busy = Atomic<Int>(0)

    // MARK: The owner's side

    func set(flows: Int, tunnels: Int) {
        self.flows.store(flows, ordering: .relaxed)
        self.tunnels.store(tunnels, ordering: .relaxed)
    }

    /// Whether the worker takes connections: it has its snapshot, and does not stop.
    func set(accepts: Bool) { self.accepts.store(accepts, ordering: .relaxed) }

    func set(busy: Int, at now: UInt64) {
        self.busy.store(busy, ordering: .relaxed)
        looked.store(now, ordering: .relaxed)
    }

    // MARK: Everybody's side

    var takesMore: Bool { accepts.load(ordering: .relaxed) }

    /// One more is sent to the worker, or one that was sent is there.
    func coming(_ kind: AcceptBalance, _ change: Int) {
        switch kind {
        case .flows: flowsComing.wrappingAdd(change, ordering: .relaxed)
        case .tunnels: tunnelsComing.wrappingAdd(change, ordering: .relaxed)
        }
    }

    func load(_ kind: AcceptBalance, at now: UInt64) -> AcceptBalance.Load {
        let connections =
            switch kind {
            case .flows: flows.load(ordering: .relaxed) + flowsComing.load(ordering: .relaxed)
            case .tunnels: tunnels.load(ordering: .relaxed) + tunnelsComing.load(ordering: .relaxed)
            }
        let looked = looked.load(ordering: .relaxed)
        return AcceptBalance.Load(connections: connections, busy: now < looked &+ Self.fresh ? busy.load(ordering: .relaxed) : 0)
    }
}
