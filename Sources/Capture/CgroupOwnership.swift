/// What the file system says of one cgroup directory.
package struct CgroupFacts: Equatable, Sendable {
    package var id: UInt64
    package var owner: UInt32
    /// Group or others may write, so create children.
    package var writableByOthers: Bool
    /// systemd handed the subtree to the unit (`trusted.delegate` or `user.delegate` is 1).
    package var delegated: Bool

    package init(id: UInt64, owner: UInt32 = 0, writableByOthers: Bool = false, delegated: Bool = false) {
        self.id = id
        self.owner = owner
        self.writableByOthers = writableByOthers
        self.delegated = delegated
    }
}

/// Why a cgroup that a selector matches is not captured.
package enum CaptureRefusal: Equatable, Sendable, CustomStringConvertible {
    /// A component of the path belongs to somebody else, who can name anything in it.
    case owned(component: String, uid: UInt32)
    case writable(component: String)
    case delegated(component: String)
    case otherNetworkNamespace
    case tooDeep

    package var description: String {
        switch self {
        case .owned(let component, let uid):
            "\(component) belongs to uid \(uid), who can name anything in it; allowDelegated on the workload accepts that"
        case .writable(let component):
            "others than root may write to \(component); allowDelegated on the workload accepts that"
        case .delegated(let component):
            "it lies in \(component), which systemd has delegated; allowDelegated on the workload accepts that"
        case .otherNetworkNamespace:
            "its processes live in another network namespace, which this agent's rules do not reach; capture it as a pod"
        case .tooDeep:
            "it lies deeper than \(SelectorMatcher.maximumDepth) levels, which the kernel rules cannot name; select one of its parents"
        }
    }
}

/// The rule on who may name a captured cgroup: every component is root's, and none of the parents is delegated.
package enum CgroupOwnership {
    /// - Parameter components: from the first directory below the mount to the cgroup itself, with what is known of each.
    package static func refusal(_ components: [(name: String, facts: CgroupFacts)], allowDelegated: Bool) -> CaptureRefusal? {
        if components.count > SelectorMatcher.maximumDepth { return .tooDeep }
        if allowDelegated { return nil }
        for (index, component) in components.enumerated() {
            if component.facts.owner != 0 { return .owned(component: component.name, uid: component.facts.owner) }
            if component.facts.writableByOthers { return .writable(component: component.name) }
            // A delegated unit names itself by root's hand; what is below it does not.
            if index < components.count - 1, component.facts.delegated || isUserManager(component.name) {
                return .delegated(component: component.name)
            }
        }
        return nil
    }

    /// `user@<uid>.service`: a user's own service manager, delegated whether or not the attribute can be read.
    private static func isUserManager(_ name: String) -> Bool { name.hasPrefix("user@") && name.hasSuffix(".service") }
}
