import Platform

/// What a core is told once, at its making.
package struct SWIMConfiguration: Sendable {
    package var name: String
    /// Where others reach us, UDP and TCP.
    package var address: SocketAddress
    package var pool: PoolKind = .serf
    package var timers: SWIMTimers = .lan
    /// At most `SWIMLimits.metaBytes`.
    package var meta: [UInt8] = []
    /// Separates pools that share a network; 0–255 bytes, in clear on the wire.
    package var label: [UInt8] = []

    package init(name: String, address: SocketAddress) {
        self.name = name
        self.address = address
    }

    /// What is wrong with it, or nil.
    package var problem: String? {
        if !Wire.isPlausible(name: name) { return "the node name must have 1 to \(SWIMLimits.nameBytes) bytes and no control characters" }
        if !Wire.isReachable(address) { return "the advertised address \(address) is not one that others can reach" }
        if label.count > 255 { return "the gossip label must have at most 255 bytes" }
        if meta.count > SWIMLimits.metaBytes { return "the metadata must have at most \(SWIMLimits.metaBytes) bytes" }
        return nil
    }
}
