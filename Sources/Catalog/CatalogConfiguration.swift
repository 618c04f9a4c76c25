import MeshModel
import Platform

/// What the catalog of one node needs to know.
package struct CatalogConfiguration: Sendable {
    /// This node as it describes itself; its name and tunnel address are what the certificate and the listener are.
    package var info: NodeInfo
    package var trustDomain: String
    /// For its files; made with mode 0700 when it is not there.
    package var directory: String
    /// SO_MARK of its sockets, so that capture skips them; 0 for none.
    package var mark: UInt32
    package var limits = CatalogLimits()
    /// How long local changes are collected before they are signed and sent.
    package var batch: Duration = .milliseconds(5)
    /// How long changes are collected between one view and the next. The first after a quiet time is published at once, and so is one of local health.
    package var debounce: Duration = .milliseconds(10)
    /// The most that grows to while a view costs much, so that publishing takes a fifth of the control loop's time at most.
    package var longestDebounce: Duration = .milliseconds(100)
    /// The most that a view waits, besides its pace, which only gives more than the one before: in a small mesh a node that is back says meanwhile what it has.
    package var improvement: Duration = .milliseconds(400)
    /// How often digests are compared with one random peer.
    package var exchange: Duration = .seconds(5)
    /// How long after a change what is known of other nodes is saved, give or take a half. A stop saves it, too; what a crash loses, others know.
    package var save: Duration = .seconds(10)
    /// The most bytes of other nodes' records that are saved.
    package var savedBytes = 64 << 20

    package init(info: NodeInfo, trustDomain: String, directory: String, mark: UInt32) {
        self.info = info
        self.trustDomain = trustDomain
        self.directory = directory
        self.mark = mark
    }
}
