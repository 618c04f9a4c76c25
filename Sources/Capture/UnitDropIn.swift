import MeshModel

/// The drop-in that makes systemd wait for capture before a unit's first process runs: inotify alone would come later than its first connect.
package enum UnitDropIn {
    package static let fileName = "50-weft.conf"

    /// The text for `/etc/systemd/system/<unit>.d/50-weft.conf`.
    ///
    /// - Parameters:
    ///   - systemdVersion: as `systemctl --version` gives it. From 255 on, systemd itself can put the unit's cgroup into the guard's set (`NFTSet=`),
    ///     so that in `block` mode even a unit that was started around this drop-in's command is refused while no agent runs. systemd takes
    ///     names of letters, digits, `_`, `.` and `/` only (`nft_identifier_valid` in its parse-util.c), so not for every `guardTable`.
    ///   - outboundOnAgentExit: with `block` the unit does not start unless it is captured; with `bypass` a dead agent does not keep it from
    ///     starting.
    /// - Returns: nil for a slice: it keeps its cgroup when its units restart and needs none.
    package static func text(
        unit: String, systemdVersion: Int, outboundOnAgentExit: CaptureSettings.OnAgentExit, guardTable: String = KernelNames.guardTable
    ) -> String? {
        guard !unit.hasSuffix(".slice") else { return nil }
        var lines = [
            "# Written by \"weft capture add \(unit)\"; \"weft capture remove \(unit)\" takes it away.",
            "[Unit]",
            "Wants=weft.service",
            "After=weft.service",
            "",
            "[Service]",
            // In bypass mode neither a dead agent nor a removed package keeps the unit from starting, while a refused capture does.
            outboundOnAgentExit == .bypass
                ? "ExecStartPre=+/bin/sh -c '[ ! -x /usr/bin/weft ] || exec /usr/bin/weft capture ready --allow-without-agent %n'"
                : "ExecStartPre=+/usr/bin/weft capture ready %n",
        ]
        if systemdVersion >= 255, outboundOnAgentExit == .block, isSystemdIdentifier(guardTable) {
            lines.append("NFTSet=cgroup:inet:\(guardTable):\(KernelNames.blockedSet)")
        }
        return lines.joined(separator: "\n") + "\n"
    }

    private static func isSystemdIdentifier(_ name: String) -> Bool {
        name.utf8.allSatisfy { ($0 >= 97 && $0 <= 122) || ($0 >= 65 && $0 <= 90) || ($0 >= 48 && $0 <= 57) || [46, 47, 95].contains($0) }
    }

    /// Whether the name is one that `weft capture add` may write a file for: a service or a slice, no path, no glob, no drop-in of another kind.
    package static func isUnitName(_ name: String) -> Bool {
        guard name.hasSuffix(".service") || name.hasSuffix(".slice"), name.utf8.count <= 255, !name.hasPrefix("."), !name.hasPrefix("-") else {
            return false
        }
        return name.utf8.allSatisfy {
            ($0 >= 97 && $0 <= 122) || ($0 >= 65 && $0 <= 90) || ($0 >= 48 && $0 <= 57) || [45, 46, 95, 58, 64, 92].contains($0)
        }
    }
}
