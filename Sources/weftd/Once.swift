import Synchronization

/// A continuation that several may try to resume.
final class Once<Value: Sendable>: Sendable {
    private let continuation: Mutex<CheckedContinuation<Value, Never>?>
    init(_ continuation: CheckedContinuation<Value, Never>) { self.continuation = Mutex(continuation) }

    /// False when somebody was first.
    @discardableResult
    func resume(_ value: Value) -> Bool {
        let waiting = continuation.withLock { continuation in
            let waiting = continuation
            continuation = nil
            return waiting
        }
        waiting?.resume(returning: value)
        return waiting != nil
    }
}
