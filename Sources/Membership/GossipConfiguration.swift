import Platform
import SWIM

/// How this node takes part in gossip. Plain values; `Gossip.start` checks them.
package struct GossipConfiguration: Sendable {
    package var name: String
    /// UDP and TCP, same address and port.
    package var bind: SocketAddress
    /// What others are told; needed when `bind` is the unspecified address.
    package var advertise: SocketAddress?
    /// `SO_MARK` of every socket, so that capture leaves them alone; zero for none.
    package var mark: UInt32 = 0
    package var pool: PoolKind = .serf
    package var timers: SWIMTimers = .lan
    package var tags: Tags = Tags()
    /// Separates pools on one network; empty for none.
    package var label: String = ""
    /// Empty: no encryption.
    package var keyring: Keyring = Keyring()

    package init(name: String, bind: SocketAddress) {
        self.name = name
        self.bind = bind
    }

    var core: SWIMConfiguration {
        var core = SWIMConfiguration(name: name, address: advertise ?? bind)
        core.pool = pool
        core.timers = timers
        core.meta = tags.isEmpty ? [] : tags.meta
        core.label = Array(label.utf8)
        return core
    }

    /// What is wrong with it, or nil.
    var problem: String? {
        if advertise == nil && bind.ip.isUnspecified { return "it listens on every address (\(bind)), so it needs an address to advertise" }
        return core.problem
    }
}
