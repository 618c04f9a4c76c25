import Platform
import Settings

/// The command that runs a check's program as a transient unit of systemd, with its bounds.
struct ExecCommand {
    static let launcher = "/usr/bin/systemd-run"
    /// systemd's own statuses (systemd.exec(5), "Process exit codes"), and that of `systemd-run` for a program that a signal ended.
    static let (execStatus, userStatus, signalStatus): (CInt, CInt, CInt) = (203, 217, 255)
    static let memory = "256M"
    static let tasks = 64

    /// What is run, the launcher first.
    ///
    /// - Parameters:
    ///   - unit: its name without the suffix, another one each time.
    ///   - timeout: systemd ends the unit then, with everything that it started.
    static func arguments(_ check: ExecCheck, unit: String, timeout: Duration) -> [String] {
        let limits = [
            "RuntimeMaxSec=\(timeout.milliseconds)ms", "TimeoutStopSec=1s", "MemoryMax=\(memory)", "TasksMax=\(tasks)", "NoNewPrivileges=yes",
            "ProtectSystem=strict", "CapabilityBoundingSet=",
        ]
        return [launcher, "--quiet", "--wait", "--collect", "--pipe", "--unit=\(unit)", "--uid=\(check.user)"]
            + limits.map { "--property=\($0)" } + ["--"] + check.command
    }

    /// What an exit status says; nil when the program is content.
    static func failure(_ check: ExecCheck, status: CInt, elapsed: Duration, timeout: Duration) -> String? {
        if status == 0 { return nil }
        let program = check.command[0]
        if elapsed >= timeout { return "\(program) did not end within \(timeout.milliseconds) ms" }
        switch status {
        case execStatus: return "\(program) could not be executed: is it a program, and may user \(check.user) run it?"
        case userStatus: return "\(program) could not be run as user \(check.user): is there such a user?"
        case signalStatus: return "\(program) was ended by a signal, or ended with status 255"
        default: return "\(program) ended with status \(status)"
        }
    }
}
