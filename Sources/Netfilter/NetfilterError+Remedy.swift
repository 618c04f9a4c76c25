import Glibc
import Platform

extension NetfilterError {
    /// Without CAP_NET_ADMIN the kernel refuses a transaction as a whole, so EPERM for one object in it means that the table has another owner.
    private var isOwnedByOther: Bool {
        errno.code == EPERM && action != .list && [.table, .chain, .set, .element, .rule, .timeouts].contains(kind)
    }

    /// Why, in plain words, as far as the error number says it for this kind of object.
    package var cause: String {
        switch (errno.code, kind) {
        case (EPERM, _): isOwnedByOther ? "the table belongs to another process" : "the capability CAP_NET_ADMIN is missing"
        case (ENOENT, .element), (ENOENT, .chain), (ENOENT, .set), (ENOENT, .table):
            action == .delete || action == .flush || action == .list
                ? "there is no such \(kind.rawValue)" : "something it needs does not exist, or the kernel lacks a feature"
        case (ENOENT, .rule):
            action == .delete || action == .replace
                ? "there is no such rule" : "a set or chain that it names does not exist, or the kernel lacks an expression of it"
        case (ESRCH, .route), (ENOENT, .policyRule), (ENOENT, .route): "there is none"
        case (EEXIST, .element), (ENOTEMPTY, .element): "the set has such an element already, or a range that overlaps it"
        case (EEXIST, .set): "there is one of another type"
        case (EEXIST, _): "there is one already"
        case (EBUSY, .set), (EBUSY, .chain): "rules still use it"
        case (EOPNOTSUPP, .chain): "the kernel cannot make such a chain, or the existing one is of another type"
        case (EOPNOTSUPP, .table): "the table exists with other flags, or the kernel does not know these flags"
        case (EOPNOTSUPP, _), (EPROTONOSUPPORT, _), (EAFNOSUPPORT, _): "this kernel does not support it"
        case (EMLINK, _): "the limit on objects or jumps is reached"
        case (ELOOP, _): "chains call each other in a circle"
        case (ENOSPC, _), (ENFILE, .set), (ENFILE, .element): "the set is full"
        case (ENODATA, _): "the kernel gave no answer"
        case (ENOBUFS, _): "the netlink socket's buffer overflowed"
        case (EMSGSIZE, _): "the transaction is larger than the netlink socket's buffer"
        case (ENODEV, _): "there is no such network interface"
        case (ENETUNREACH, _): "its source address or interface is not there or not up"
        case (EINTR, _): "others kept changing it while it was read"
        case (EINVAL, _): "the kernel found it invalid"
        case (ENOMEM, _): "the kernel is out of memory"
        default: Errno.message(errno.code)
        }
    }

    /// What an operator can do.
    package var remedy: String {
        switch errno.code {
        case EPERM where isOwnedByOther: "see `nft list tables` for its owner: is a second agent running on this host?"
        case EPERM: "run the agent as root or with CAP_NET_ADMIN"
        case EOPNOTSUPP, EPROTONOSUPPORT, EAFNOSUPPORT:
            "Linux 5.13 with nf_tables, nft_socket, nft_nat, nft_tproxy, nft_fib and nft_reject is needed: load the modules or update the kernel"
        case ENOENT where action != .delete && action != .list:
            "load the kernel modules nf_tables, nft_socket, nft_redir, nft_tproxy, nft_fib, nft_reject and nft_ct, or update to Linux 5.13"
        case EBUSY: "remove the rules that use it first"
        case EEXIST: "remove the existing one, or rename ours in the configuration"
        case EMSGSIZE, ENOBUFS: "grant CAP_NET_ADMIN, or raise net.core.wmem_max and net.core.rmem_max"
        case ENODEV, ENETUNREACH: "check the interface with `ip address`"
        case EMLINK, ENOSPC, ENFILE: "reduce what is captured or excluded"
        case EINTR: "try again; if it persists, look for a program that rewrites rules or routes in a loop"
        case ENOMEM: "free memory, or check vm.max_map_count and the cgroup's memory limit"
        default: "compare with `nft list ruleset`, `ip rule` and `ip route`"
        }
    }
}
