import CLinux
import Glibc
import Platform
import Synchronization

/// What to wait for on a descriptor.
public struct Interest: OptionSet, Sendable {
    public let rawValue: UInt32
    public init(rawValue: UInt32) { self.rawValue = rawValue }
    public static let read = Interest(rawValue: EpollBits.read)
    public static let write = Interest(rawValue: EpollBits.write)
}

/// What a descriptor is ready for.
public struct Readiness: OptionSet, Sendable {
    public let rawValue: UInt32
    public init(rawValue: UInt32) { self.rawValue = rawValue }
    public static let readable = Readiness(rawValue: EpollBits.read)
    public static let writable = Readiness(rawValue: EpollBits.write)
    public static let error = Readiness(rawValue: EpollBits.error)
    /// Both directions are closed.
    public static let hangup = Readiness(rawValue: EpollBits.hangup)
}

/// Names one watch; never used again after `unwatch`.
public struct WatchID: Hashable, Sendable { fileprivate let number: UInt64 }
/// Names one timer; never used again after it fired or was cancelled.
public struct TimerID: Hashable, Sendable { fileprivate let number: UInt64 }

/// The control thread: an epoll loop that is also the executor of `@Control`.
///
/// Overview: one thread for gossip, plane, DNS, health checks, kernel tables and certificates. Its jobs may await, never block.
/// Function: level-triggered watches and timers call `@Control` closures; Swift jobs run between two waits.
/// Implementation: `@unchecked Sendable` because `inner` is only touched on the loop's own thread (its callers are `@Control`), and `jobs` has a lock.
public final class ControlLoop: SerialExecutor, TaskExecutor, @unchecked Sendable {
    /// Its thread starts with the first use.
    public static let shared = ControlLoop()

    private let jobs = Mutex<[UnownedJob]>([])
    private let wakeup: Wakeup
    private var inner: Inner
    private let thread = Atomic<UInt>(0)

    private struct Inner: ~Copyable {
        let epoll: Epoll
        let events = UnsafeMutableBufferPointer<epoll_event>.allocate(capacity: 128)
        var watches: [UInt64: (fd: CInt, handler: @Control (Readiness) -> Void)] = [:]
        var timers = TimerQueue<@Control () -> Void>()
        var next: UInt64 = 1
    }

    private init() {
        do {
            wakeup = try Wakeup()
            let epoll = try Epoll()
            try epoll.add(wakeup.raw, events: EpollBits.read, data: 0)
            inner = Inner(epoll: epoll)
        } catch {
            fatalError("the control loop cannot start: \(error)")
        }
        var thread = pthread_t()
        let raw = Unmanaged.passRetained(self).toOpaque()
        let result = pthread_create(&thread, nil, { raw in
            Unmanaged<ControlLoop>.fromOpaque(raw!).takeUnretainedValue().run()
            return nil
        }, raw)
        precondition(result == 0, "the control thread cannot start: \(Errno(result))")
        pthread_detach(thread)
    }

    // MARK: Executor

    public func enqueue(_ job: consuming ExecutorJob) {
        let job = UnownedJob(job)
        let first = jobs.withLock { jobs in
            jobs.append(job)
            return jobs.count == 1
        }
        if first { wakeup.signal() }
    }
    public func asUnownedSerialExecutor() -> UnownedSerialExecutor { UnownedSerialExecutor(ordinary: self) }
    public func isIsolatingCurrentContext() -> Bool? { thread.load(ordering: .acquiring) == UInt(pthread_self()) }
    public func checkIsolated() { precondition(isIsolatingCurrentContext() == true, "not on the control thread") }

    // MARK: Watches and timers

    /// Calls `handler` again and again while the descriptor is ready (level-triggered). Errors and hang-ups are always reported.
    @Control
    public func watch(_ fd: CInt, _ interest: Interest, _ handler: @escaping @Control (Readiness) -> Void) throws(Errno) -> WatchID {
        let number = inner.next
        try inner.epoll.add(fd, events: interest.rawValue, data: number)
        inner.next += 1
        inner.watches[number] = (fd, handler)
        return WatchID(number: number)
    }

    @Control
    public func update(_ id: WatchID, _ interest: Interest) {
        guard let watch = inner.watches[id.number] else { return }
        _ = try? inner.epoll.modify(watch.fd, events: interest.rawValue, data: id.number)
    }

    /// Ends a watch. Call it before the descriptor is closed; calling it twice does nothing.
    @Control
    public func unwatch(_ id: WatchID) {
        guard let watch = inner.watches.removeValue(forKey: id.number) else { return }
        inner.epoll.remove(watch.fd)
    }

    @Control @discardableResult
    public func after(_ delay: Duration, _ body: @escaping @Control () -> Void) -> TimerID {
        let number = inner.next
        inner.next += 1
        inner.timers.insert(number, at: MonotonicTime.now() + delay, body)
        return TimerID(number: number)
    }

    /// Calls `body` every `interval`, first after one interval. Missed rounds are not made up.
    @Control @discardableResult
    public func every(_ interval: Duration, _ body: @escaping @Control () -> Void) -> TimerID {
        let number = inner.next
        inner.next += 1
        repeating(number, interval, body)
        return TimerID(number: number)
    }

    @Control
    private func repeating(_ number: UInt64, _ interval: Duration, _ body: @escaping @Control () -> Void) {
        inner.timers.insert(number, at: MonotonicTime.now() + interval) { [unowned self] in
            repeating(number, interval, body)
            body()
        }
    }

    @Control
    public func cancel(_ id: TimerID) { inner.timers.remove(id.number) }

    /// Resumes on the loop after `delay`. Not cancellable: for waits of at most some seconds.
    @Control
    public func sleep(_ delay: Duration) async {
        await withCheckedContinuation { continuation in
            after(delay) { continuation.resume() }
        }
    }

    // MARK: The loop

    private func run() {
        thread.store(UInt(pthread_self()), ordering: .releasing)
        clinux_name_thread("weft-control")
        while true {
            Control.assumeIsolated { turn() }
            runJobs()
        }
    }

    @Control
    private func turn() {
        let events = inner.events
        let count = inner.epoll.wait(events, milliseconds: inner.timers.milliseconds(from: .now()))
        for index in 0..<count {
            let number = events[index].data.u64
            if number == 0 {
                wakeup.drain()
            } else if let watch = inner.watches[number] {
                watch.handler(Readiness(rawValue: events[index].events))
            }
        }
        // One time for the round: a timer that sets itself again at once waits for the next, or descriptors and jobs would starve.
        let now = MonotonicTime.now()
        while let body = inner.timers.popDue(now) { body() }
    }

    private func runJobs() {
        let batch = jobs.withLock { jobs in
            let batch = jobs
            jobs = []
            return batch
        }
        for job in batch { job.runSynchronously(isolatedTo: asUnownedSerialExecutor(), taskExecutor: asUnownedTaskExecutor()) }
    }
}
