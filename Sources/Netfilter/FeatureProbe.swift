import Glibc
import Platform

/// What Weft needs of the kernel's nftables.
package enum KernelFeature: String, CaseIterable, Hashable, Sendable {
    case ownerTables = "tables with an owner"
    case socketCgroup = "socket cgroupv2"
    case redirectIPv4AndIPv6 = "redirect in inet tables"
    case fib = "fib daddr type"
    case reject = "reject in inet tables"
    case conntrack = "ct status and ct mark"
    case routeChain = "chains of type route"
    case intervalSets = "sets of networks"
    case tproxy = "tproxy in inet tables"
    case conntrackTimeouts = "ct timeout"

    /// The kernel module and the version of Linux that brought it.
    package var origin: String {
        switch self {
        case .ownerTables: "Linux 5.12"
        case .socketCgroup: "module nft_socket, Linux 5.13 with CONFIG_SOCK_CGROUP_DATA"
        case .redirectIPv4AndIPv6: "modules nft_chain_nat and nft_redir, Linux 5.2"
        case .fib: "module nft_fib_inet"
        case .reject: "module nft_reject_inet"
        case .conntrack: "module nft_ct"
        case .routeChain: "nf_tables with chains of type route in inet tables, Linux 5.2"
        case .intervalSets: "nf_tables with rbtree sets"
        case .tproxy: "module nft_tproxy, Linux 4.19 with CONFIG_NFT_TPROXY"
        case .conntrackTimeouts: "module nft_ct, Linux 4.19 with CONFIG_NF_CONNTRACK_TIMEOUT"
        }
    }

    /// Without which nothing works; the others make it better.
    package static let required = allCases.filter { $0 != .conntrackTimeouts }
}

/// Asks the kernel which features it has, by transactions that it checks and never makes.
package enum FeatureProbe {
    package struct Missing: Hashable, Sendable, CustomStringConvertible {
        package let feature: KernelFeature
        package let errno: Errno
        package init(feature: KernelFeature, errno: Errno) {
            self.feature = feature
            self.errno = errno
        }
        package var description: String { "the kernel lacks \"\(feature.rawValue)\" (\(feature.origin)): \(errno)" }
    }

    /// The features that the kernel of `tables`' network namespace lacks. Loads the kernel's modules where it may.
    ///
    /// - Throws: when nothing can be asked, as without CAP_NET_ADMIN.
    package static func missing(_ tables: NFTables, of wanted: [KernelFeature] = KernelFeature.allCases) throws(NetfilterError) -> [Missing] {
        var missing: [Missing] = []
        for feature in wanted {
            let errors = try tables.check(transaction(for: feature))
            guard let first = errors.first else { continue }
            if first.errno.code == EPERM { throw first }
            missing.append(Missing(feature: feature, errno: first.errno))
        }
        return missing
    }

    static func transaction(for feature: KernelFeature) -> NFTransaction {
        let table = NFTable(name: "weft-probe", flags: feature == .ownerTables ? .owner : [])
        var transaction = NFTransaction()
        transaction.add(table)
        func chain(_ kind: NFChain.Kind, _ hook: NFHook, _ clauses: [NFClause]) {
            let chain = table.baseChain("probe", kind, hook: hook, priority: 0)
            transaction.add(chain)
            transaction.add(NFRule(chain: chain, clauses: clauses, comment: "probe"))
        }
        switch feature {
        case .ownerTables: break
        case .socketCgroup: chain(.filter, .output, [.cgroup(level: 1, id: 1)])
        case .redirectIPv4AndIPv6: chain(.nat, .output, [.tcp, .redirect(to: 1)])
        case .fib: chain(.filter, .prerouting, [.destinationIsLocal()])
        case .reject: chain(.filter, .output, [.reject(.tcpReset)])
        case .conntrack: chain(.filter, .output, [.conntrackStatus(.destinationNAT), .setConntrackMark(1, mask: 1)])
        case .routeChain: chain(.route, .output, [.mark(1), .setMark(2)])
        case .intervalSets:
            let set = table.set("probe", key: .ipv4, flags: .interval)
            transaction.add(set)
            transaction.add([NFElement(IPAddress(v4: 1)...IPAddress(v4: 2))], to: set)
            chain(.filter, .output, [.destination(in: set)])
        case .tproxy:
            for address in [IPAddress.loopbackV4, .loopbackV6] { chain(.filter, .prerouting, [.tcp, .tproxy(to: SocketAddress(address, port: 1))]) }
        case .conntrackTimeouts:
            let policy = NFConntrackTimeouts(table: table.id, name: "probe", family: .ipv4)
            transaction.add(policy)
            chain(.filter, .output, [.timeouts(policy)])
        }
        return transaction
    }
}
