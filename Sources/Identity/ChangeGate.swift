import Reactor

/// Lets one change of the state directory happen at a time, in the order asked. A lock that is awaited, for the control thread only.
@Control
final class ChangeGate {
    private var isTaken = false
    private var waiting: [CheckedContinuation<Void, Never>] = []

    func enter() async {
        // Asked and taken inside: other jobs may run between the `await` and the closure, and a gate that was left meanwhile wakes nobody.
        await withCheckedContinuation { continuation in
            if isTaken {
                waiting.append(continuation)
            } else {
                isTaken = true
                continuation.resume()
            }
        }
    }

    func leave() {
        // Handed on without being free in between, so nobody overtakes.
        if waiting.isEmpty { isTaken = false } else { waiting.removeFirst().resume() }
    }
}
