import Glibc
import Platform
import Reactor
import Settings

/// A check that runs a program. Whether the program is root's alone to change is looked at every time.
@Control
final class ExecProbe: Probe {
    /// The end of what the program printed, which is kept.
    static let outputBytes = 4096
    /// How long after its own end a unit may take to be reported.
    private static let grace = Duration.seconds(5)
    private static var number: UInt64 = 0

    private let check: ExecCheck
    private let timeout: Duration
    private let done: @Control (ProbeResult) -> Void
    private let started = MonotonicTime.now()
    private var child: ChildProcess?
    private var timer: TimerID?

    /// Begins at once; `done` is called once, and perhaps before this returns, unless `cancel` came first.
    static func start(_ check: ExecCheck, timeout: Duration, done: @escaping @Control (ProbeResult) -> Void) -> ExecProbe {
        let probe = ExecProbe(check, timeout, done)
        probe.run()
        return probe
    }

    private init(_ check: ExecCheck, _ timeout: Duration, _ done: @escaping @Control (ProbeResult) -> Void) {
        self.check = check
        self.timeout = timeout
        self.done = done
    }

    func cancel() { end() }

    private func run() {
        if let obstacle = RootOwned.obstacle(check.command[0]) {
            return done(ProbeResult(failure: "\(check.command[0]) is not run: \(obstacle)"))
        }
        Self.number += 1
        let arguments = ExecCommand.arguments(check, unit: "weft-check-\(getpid())-\(Self.number)", timeout: timeout)
        do throws(Errno) {
            child = try ChildProcess(arguments, outputBytes: Self.outputBytes) { [weak self] status, output in self?.ended(status, output) }
        } catch {
            return done(ProbeResult(failure: "\(ExecCommand.launcher) cannot be started, which runs \(check.command[0]): \(Errno.message(error.code))"))
        }
        timer = ControlLoop.shared.after(timeout + Self.grace) { [weak self] in self?.gaveUp() }
    }

    private func ended(_ status: CInt, _ output: String) {
        end()
        let failure = ExecCommand.failure(check, status: status, elapsed: MonotonicTime.now() - started, timeout: timeout)
        done(ProbeResult(failure: failure, output: output))
    }

    private func gaveUp() {
        end()
        done(ProbeResult(failure: "\(check.command[0]) did not end within \(timeout.milliseconds) ms, and systemd does not say what became of it"))
    }

    private func end() {
        if let timer { ControlLoop.shared.cancel(timer) }
        timer = nil
        // The unit ends by its own limit, whatever becomes of who waits for it.
        child?.kill()
        child = nil
    }
}
