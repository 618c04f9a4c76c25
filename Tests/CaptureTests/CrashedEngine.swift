import Platform
import Reactor

@testable import Capture

extension CaptureEngine {
    /// What the kernel sees when the agent is killed: its sockets close, and nothing is tidied up.
    func crash() -> MonotonicTime {
        guard let running else { return .now() }
        for watch in running.watches { ControlLoop.shared.unwatch(watch) }
        if let timer = running.pendingCheck { ControlLoop.shared.cancel(timer) }
        running.tree.stop()
        let now = MonotonicTime.now()
        self.running = nil
        return now
    }
}
