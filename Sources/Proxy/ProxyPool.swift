import CLinux
import Glibc
import MeshModel
import Platform
import Reactor
import Synchronization

/// The workers, seen from the control loop.
///
/// Function: starts them, gives them snapshots, collects counters and reports. `@Control`, so nothing here races with the rest of the control code.
@Control
package final class ProxyPool {
    package let settings: ProxySettings
    /// What each namespace has and may have. Snapshots name namespaces by its numbers.
    package let tenants = Tenants()
    private let workers: [Worker]
    private let reports: Mailbox<WorkerReport>
    private var watch: WatchID?
    private var beats: UInt64 = 0
    private var readyWorkers: Set<Int> = []
    private var stoppedWorkers: Set<Int> = []
    private var onStopped: [@Control () -> Void] = []
    /// How long after the grace a worker may take to end what it was doing.
    private static let stopPatience: Duration = .seconds(2)

    /// Called with everything that workers report, but readiness and stopping.
    package var onReport: (@Control (WorkerReport) -> Void)?
    /// Called once, when every worker has its first snapshot and accepts.
    package var onReady: (@Control () -> Void)?

    /// Reports that wait for the control loop; more are dropped and counted.
    private static let reportBound = 65_536

    /// Opens the listeners and starts one thread for each worker.
    /// - Throws: what is wrong with a port or the kernel, for the operator.
    package init(settings: ProxySettings) throws(MeshError) {
        self.settings = settings
        do {
            reports = try Mailbox(bound: Self.reportBound)
        } catch {
            throw MeshError(.kernel, code: "eventfd", "the proxy cannot start: \(error)")
        }
        var workers: [Worker] = []
        let board = LoadBoard(workers: max(1, settings.workers))
        for index in 0..<max(1, settings.workers) { workers.append(try Worker(index: index, settings: settings, reports: reports, tenants: tenants, board: board)) }
        for worker in workers { worker.mailboxes = workers.map(\.mailbox) }
        self.workers = workers
        do {
            watch = try ControlLoop.shared.watch(reports.fd, .read) { [weak self] _ in self?.takeReports() }
        } catch {
            throw MeshError(.kernel, code: "epoll", "the proxy cannot start: \(error)")
        }
        for worker in workers { try Self.start(worker) }
        ControlLoop.shared.after(settings.timeouts.hold) { [weak self] in self?.post(.release) }
    }

    /// Nonisolated: a closure made in `@Control` code would be bound to it, and trap on the new thread.
    private nonisolated static func start(_ worker: Worker) throws(MeshError) {
        var thread = pthread_t()
        let raw = Unmanaged.passRetained(worker).toOpaque()
        let result = pthread_create(
            &thread, nil,
            { raw in
                Unmanaged<Worker>.fromOpaque(raw!).takeRetainedValue().run()
                return nil
            }, raw)
        guard result == 0 else {
            Unmanaged<Worker>.fromOpaque(raw).release()
            throw MeshError(.kernel, code: "thread", "worker \(worker.index) cannot start: \(Errno(result))")
        }
        pthread_detach(thread)
    }

    /// Gives every worker its next snapshot. A worker that is behind takes the last one only; none is ever lost.
    package func apply(_ snapshot: Snapshot) { for worker in workers { worker.offer(snapshot) } }

    /// Closes tunnels to a node that is gone.
    package func forget(_ tunnel: SocketAddress) { post(.forget(tunnel)) }

    private func post(_ message: WorkerMessage) {
        for worker in workers { worker.mailbox.post(message) }
    }

    /// Whether every worker answered the beat before this one: what the watchdog is fed with. Call it at a steady pace.
    package func beat() -> Bool {
        let answered = workers.allSatisfy { $0.beat.load(ordering: .acquiring) == beats }
        beats += 1
        post(.beat(beats))
        return answered
    }

    /// The counters of all workers; those that do not answer within a second are left out.
    package func statistics() async -> [WorkerStatistics] {
        await gather { .scrape($0) }.sorted { $0.worker < $1.worker }
    }

    /// Up to `limit` live flows.
    package func flows(limit: Int) async -> [FlowRecord] {
        Array(await gather { .list(limit, $0) }.joined().prefix(limit))
    }

    /// Stops accepting, lets flows finish for `grace`, cuts the rest, and returns when all workers have stopped: at the latest some seconds after the
    /// grace, for a worker that is stuck must not keep the agent from stopping.
    package func drain(grace: Duration) async {
        let deadline = MonotonicTime.now() + grace
        // First, so that none is given a connection by another that has not heard of the end yet.
        for worker in workers { worker.takesNoMore() }
        for worker in workers { worker.stop(at: deadline) }
        await withCheckedContinuation { continuation in
            onStopped.append { continuation.resume() }
            checkStopped()
            if !onStopped.isEmpty { ControlLoop.shared.after(grace + Self.stopPatience) { [weak self] in self?.resumeStopped() } }
        }
        if let watch { ControlLoop.shared.unwatch(watch) }
        watch = nil
    }

    private func gather<Value: Sendable>(_ make: (Reply<Value>) -> WorkerMessage) async -> [Value] {
        let (stream, continuation) = AsyncStream<Value?>.makeStream()
        for worker in workers { worker.mailbox.post(make(Reply { continuation.yield($0) })) }
        let timeout = ControlLoop.shared.after(.seconds(1)) { continuation.finish() }
        var values: [Value] = []
        for await value in stream {
            if let value { values.append(value) }
            if values.count == workers.count { break }
        }
        ControlLoop.shared.cancel(timeout)
        return values
    }

    private func takeReports() {
        for report in reports.take() {
            switch report {
            case .ready(let worker):
                readyWorkers.insert(worker)
                if readyWorkers.count == workers.count { onReady?() }
            case .stopped(let worker):
                stoppedWorkers.insert(worker)
                checkStopped()
            default: onReport?(report)
            }
        }
    }

    private func checkStopped() {
        if stoppedWorkers.count == workers.count { resumeStopped() }
    }

    private func resumeStopped() {
        let waiting = onStopped
        onStopped = []
        for body in waiting { body() }
    }
}
