import Platform
import Settings

/// The command that runs a check's program as a transient unit of systemd, with its bounds.
struct ExecCommand {
    static let launcher = "/usr/bin/systemd-run"
    /// systemd's own, beyond those of the program (systemd.exec(5), "Process exit codes").
    static let userStatus: CInt = 217
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
        return [launcher, "--quiet", "--wait", "--collect", "--pipe", "--service-type=exec", "--unit=\(unit)", "--uid=\(check.user)"]
            + limits.map { "--property=\($0)" } + ["--"] + check.command
    }

    /// What an exit status says; nil when the program is content.
    static func failure(_ check: ExecCheck, status: CInt, elapsed: Duration, timeout: Duration) -> String? {
        if status == 0 { return nil }
        let program = check.command[0]
        if elapsed >= timeout { return "\(program) did not end within \(timeout.milliseconds) ms" }
        if status == userStatus { return "\(program) could not be run as user \(check.user): is there such a user?" }
        return status > 128 ? "\(program) was ended by signal \(status - 128)" : "\(program) ended with status \(status)"
    }
}
