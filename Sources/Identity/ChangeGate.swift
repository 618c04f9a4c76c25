import Reactor

/// Lets one change of the state directory happen at a time, in the order asked. A lock that is awaited, for the control thread only.
@Control
final class ChangeGate {
    private var isTaken = false
    private var waiting: [CheckedContinuation<Void, Never>] = []

    func enter() async {
        guard isTaken else {
            isTaken = true
            return
        }
        await withCheckedContinuation { waiting.append($0) }
    }

    func leave() {
        // Handed on without being free in between, so nobody overtakes.
        if waiting.isEmpty { isTaken = false } else { waiting.removeFirst().resume() }
    }
}
