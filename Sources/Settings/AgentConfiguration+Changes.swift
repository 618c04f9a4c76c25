import YAML

/// What a reload changes, by the full names of the keys.
package struct ConfigurationChanges: Hashable, Sendable {
    /// Taken over at once.
    package var reloadable: [String] = []
    /// Kept as they were until the agent starts again.
    package var restart: [String] = []

    package var isEmpty: Bool { reloadable.isEmpty && restart.isEmpty }
}

extension AgentConfiguration {
    /// Keys (or sections, with all below them) that a running agent cannot take over: listeners, directories, threads and what peers or
    /// the kernel already know it by. Every other key can be reloaded.
    package static let restartKeys = [
        "node", "state", "runtime", "workers", "listeners", "capture.enabled", "capture.marks", "capture.routingTable", "capture.rulePriority", "ports", "tunnel", "balancing", "gossip.bind",
        "gossip.advertise", "gossip.timers", "gossip.label", "management", "metrics", "limits.flows", "limits.streamWindow", "limits.tunnelWindow",
        "log.format",
    ]

    /// Which keys differ between this, the running configuration, and `new`. Every key that `rendered` writes is compared.
    package func changes(to new: AgentConfiguration) -> ConfigurationChanges {
        let old = Dictionary(uniqueKeysWithValues: output.flattened())
        let new = Dictionary(uniqueKeysWithValues: new.output.flattened())
        var changes = ConfigurationChanges()
        for key in Set(old.keys).union(new.keys).sorted() where old[key] != new[key] {
            if Self.restartKeys.contains(where: { key == $0 || key.hasPrefix($0 + ".") }) {
                changes.restart.append(key)
            } else {
                changes.reloadable.append(key)
            }
        }
        return changes
    }
}
