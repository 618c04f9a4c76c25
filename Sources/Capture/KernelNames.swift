/// Names that others may rely on: operators' eyes, systemd's `NFTSet=`, and the clean-up of what another version left.
package enum KernelNames {
    /// Every redirect. It lives as long as the agent's netlink socket.
    package static let table = "weft"
    /// Refusals only. It outlives the agent.
    package static let guardTable = "weft-guard"
    /// In both tables: cgroup ids. In the guard: of cgroups that must not call out by themselves.
    package static let cgroupSet = "cgroups"
    package static let blockedSet = "blocked"
}
