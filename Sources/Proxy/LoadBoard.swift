import Synchronization
import Traffic

/// What each worker has to do, for the others to see.
///
/// Function: each worker writes its own line as it goes; one that has accepted a connection reads the others' to find out who should serve it.
/// Implementation: only what is on its way to a worker is counted by others, before it is sent, so that two in a row do not both take the same worker for the idle one.
/// Everything is relaxed: a number that is a moment old makes a connection stay where it was good enough. `@unchecked Sendable` because lines are reached by
/// a raw pointer; they consist of atomics, and are never moved or freed while the board lives.
final class LoadBoard: @unchecked Sendable {
    private let memory: UnsafeMutableRawPointer
    private let count: Int
    /// So many others are asked for one connection, in turn: on a host of many cores, to ask all of them would cost more than it gains.
    private static let asked = 8

    init(workers: Int) {
        count = workers
        memory = .allocate(byteCount: workers * LoadLine.size, alignment: LoadLine.size)
        for worker in 0..<workers { self[worker].initialize(to: LoadLine()) }
    }

    deinit {
        for worker in 0..<count { self[worker].deinitialize(count: 1) }
        memory.deallocate()
    }

    /// A worker's own line, or one that something is sent to.
    @inline(__always)
    subscript(worker: Int) -> UnsafeMutablePointer<LoadLine> {
        (memory + worker * LoadLine.size).assumingMemoryBound(to: LoadLine.self)
    }

    /// The worker that is to serve a connection instead of the one that has accepted it. Nil when that one may as well keep it.
    /// - Parameters:
    ///   - passing: see `AcceptBalance.prefers`.
    ///   - start: where to begin among the others; the caller's count of connections will do.
    func better(than own: Int, for kind: AcceptBalance, at now: UInt64, passing: Int, start: Int) -> Int? {
        guard count > 1 else { return nil }
        var best: (worker: Int, load: AcceptBalance.Load)?
        for step in 0..<(kind == .tunnels ? count - 1 : min(count - 1, Self.asked)) {
            let worker = (own + 1 + (start + step) % (count - 1)) % count
            guard self[worker].pointee.takesMore else { continue }
            let load = self[worker].pointee.load(kind, at: now)
            if best == nil || load.connections < best!.load.connections { best = (worker, load) }
        }
        guard let best, kind.prefers(best.load, to: self[own].pointee.load(kind, at: now), passing: passing) else { return nil }
        return best.worker
    }
}
