import Platform
import Reactor

/// Waiting for a descriptor in straight-line code.
enum Wait {
    /// Until `fd` is ready for `interest` or failed; false at the deadline.
    @Control
    static func ready(_ fd: CInt, _ interest: Interest, until deadline: MonotonicTime) async throws(Errno) -> Bool {
        let left = deadline - MonotonicTime.now()
        guard left > .zero else { return false }
        let result: Result<Bool, Errno> = await withCheckedContinuation { continuation in
            let loop = ControlLoop.shared
            let pending = Pending()
            do throws(Errno) {
                pending.watch = try loop.watch(fd, interest) { _ in
                    pending.end()
                    continuation.resume(returning: .success(true))
                }
                pending.timer = loop.after(left) {
                    pending.end()
                    continuation.resume(returning: .success(false))
                }
            } catch {
                continuation.resume(returning: .failure(error))
            }
        }
        return try result.get()
    }

    /// The two of which one comes first.
    @Control
    private final class Pending {
        var watch: WatchID?
        var timer: TimerID?

        func end() {
            if let watch { ControlLoop.shared.unwatch(watch) }
            if let timer { ControlLoop.shared.cancel(timer) }
        }
    }
}
