/// What runs on a node and owns traffic: a systemd unit or any cgroup.
package struct Workload: Hashable, Sendable {
    /// Its name on this node, unique there.
    package var name: String
    package var namespace: String
    /// The account in its identity; several workloads may share one.
    package var account: String
    package var selector: Selector
    /// Lets the selector match below cgroups that root does not own. Whoever owns such a cgroup can name anything in it.
    package var allowDelegated: Bool

    package init(name: String, namespace: String, account: String, selector: Selector, allowDelegated: Bool = false) {
        self.name = name
        self.namespace = namespace
        self.account = account
        self.selector = selector
        self.allowDelegated = allowDelegated
    }

    /// Which processes are the workload's. Globs (`*`, `?`, `[…]`) match within one path segment, as in `fnmatch(3)` with `FNM_PATHNAME`.
    package enum Selector: Hashable, Sendable, CustomStringConvertible {
        /// A unit's name, `reviews.service` or `worker@*.service`, wherever its slice is.
        case unit(String)
        /// A slice's name, `shop.slice`, with everything below it.
        case slice(String)
        /// A path below the cgroup v2 mount, `/shop.slice/web.service`, with everything below it.
        case cgroup(String)

        package var description: String {
            switch self {
            case .unit(let name): "unit \(name)"
            case .slice(let name): "slice \(name)"
            case .cgroup(let path): "cgroup \(path)"
            }
        }
    }

    package func identity(trustDomain: String) -> SPIFFEID? {
        SPIFFEID(trustDomain: trustDomain, namespace: namespace, account: account)
    }
}
