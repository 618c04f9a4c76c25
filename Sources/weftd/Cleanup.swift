import ArgumentParser
import Capture
import Glibc
import MeshModel
import Settings

/// `weftd --cleanup`: what ExecStopPost calls, after a stop and after a crash.
enum Cleanup {
    /// systemd says how the service ended in `SERVICE_RESULT` (systemd.exec(5)); without it, as after a crash.
    static func run(config: String, purge: Bool) throws {
        let orderly = environment("SERVICE_RESULT") == "success"
        let mode: Leftovers.Mode
        if purge || orderly {
            mode = .purge
        } else {
            // A configuration that cannot be read must not keep leftovers alive: refusals stay only where they were asked for.
            let capture = (try? AgentConfiguration.load(path: config))?.capture
            mode = .crash(keepBlock: capture.map { $0.onExitOutbound == .block || $0.onExitInbound == .block } ?? false)
        }
        do throws(MeshError) {
            try Leftovers.remove(mode)
        } catch {
            Weftd.complain("\(error)")
            throw ExitCode(1)
        }
    }

    static func environment(_ name: String) -> String? { getenv(name).map { String(cString: $0) } }
}
