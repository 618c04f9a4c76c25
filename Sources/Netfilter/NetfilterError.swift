import Platform

/// What the kernel refused, why, and what to do about it.
package struct NetfilterError: Error, Equatable, Sendable, CustomStringConvertible {
    package enum Action: String, Sendable {
        case add, delete, flush, replace, commit, list
        case look = "look up"
        case open, watch
    }
    package enum Kind: String, Sendable {
        case table, chain, set, element, rule, transaction
        case timeouts = "ct timeout"
        case route
        case policyRule = "ip rule"
        case link, address
        case conntrack = "conntrack entry"
        case socket
        case netlinkSocket = "netlink socket"
    }

    package let action: Action
    package let kind: Kind
    /// The object, as `inet weft output "dns"`; empty where there is none.
    package let name: String
    package let errno: Errno
    /// The kernel's own explanation, when it gave one (NETLINK_EXT_ACK).
    package let kernelText: String?

    package init(_ action: Action, _ kind: Kind, _ name: String, _ errno: Errno, kernelText: String? = nil) {
        self.action = action
        self.kind = kind
        self.name = name
        self.errno = errno
        self.kernelText = kernelText
    }

    package var description: String {
        let object = name.isEmpty ? kind.rawValue : "\(kind.rawValue) \(name)"
        return
            "cannot \(action.rawValue) \(object): \(cause) (errno \(errno.code))\(kernelText.map { ", the kernel says \"\($0)\"" } ?? ""); \(remedy)"
    }
}
