import Glibc
import ManagementAPI

enum Systemctl {
    /// Makes systemd read changed unit files; does nothing where it does not run (sd_booted(3)) or other files than its own were changed.
    static func reload(_ units: UnitFiles) async throws(Failure) {
        guard units.directory == UnitFiles.systemDirectory, access("/run/systemd/system", F_OK) == 0 else { return }
        var pid = pid_t()
        let arguments: [UnsafeMutablePointer<CChar>?] = [strdup("systemctl"), strdup("daemon-reload"), nil]
        defer { for argument in arguments { free(argument) } }
        var status: CInt = 0
        let error = posix_spawnp(&pid, "systemctl", nil, nil, arguments, environ)
        guard error == 0 else { throw failure(String(cString: strerror(error))) }
        while waitpid(pid, &status, 0) < 0 {
            guard errno == EINTR else { throw failure(String(cString: strerror(errno))) }
        }
        guard status == 0 else { throw failure("exit status \((status >> 8) & 0xff)") }
    }

    private static func failure(_ reason: String) -> Failure {
        Failure(
            .failed, code: "daemon_reload", "the drop-in is changed, but systemd did not read it: \(reason)", remedy: "run `systemctl daemon-reload`")
    }
}
