import Synchronization

/// Counts requests that are being answered, so that a stop can wait for them.
final class InFlight: Sendable {
    private struct State {
        var count = 0
        var stopping = false
    }
    private let state = Mutex(State())

    /// False when the server is stopping: the request must be refused.
    func begin() -> Bool {
        state.withLock { state in
            guard !state.stopping else { return false }
            state.count += 1
            return true
        }
    }
    func end() {
        state.withLock { $0.count -= 1 }
    }

    var isStopping: Bool { state.withLock { $0.stopping } }

    /// Refuses new requests and waits for the others, at most this long. True when none is left.
    func drain(within bound: Duration) async -> Bool {
        state.withLock { $0.stopping = true }
        let deadline = ContinuousClock.now + bound
        while state.withLock({ $0.count }) > 0 {
            guard ContinuousClock.now < deadline else { return false }
            do { try await Task.sleep(for: .milliseconds(10)) } catch { return false }
        }
        return true
    }
}
