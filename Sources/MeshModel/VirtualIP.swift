import Platform

/// The addresses that names resolve to. They exist on no wire: the kernel hands what is sent to them to the proxy.
///
/// An address is a stable hash of the service's name, so every node and every restart gives the same one without asking anybody.
/// Two names can fall on one IPv4 address (of 65,000 usable ones); `assign` moves the later name on by one.
package enum VirtualIP {
    /// Class E space, never routed (RFC 1112 section 4).
    package static let v4Network = IPNetwork(IPAddress(v4: 0xf0f0_0000), prefixLength: 16)!
    /// A unique local prefix (RFC 4193) spelling "weft".
    package static let v6Network = IPNetwork(IPAddress(high: 0xfd77_6566_7400_0000, low: 0), prefixLength: 48)!

    package struct Pair: Hashable, Sendable {
        package var v4: IPAddress
        package var v6: IPAddress
        package init(v4: IPAddress, v6: IPAddress) {
            self.v4 = v4
            self.v6 = v6
        }
    }

    package static func isVirtual(_ address: IPAddress) -> Bool { v4Network.contains(address) || v6Network.contains(address) }

    /// Addresses for all names. Independent of the order given; the smaller name keeps a contested address.
    package static func assign(_ names: some Sequence<ServiceName>) -> [ServiceName: Pair] {
        var taken = Taken()
        let names = Set(names).sorted()
        return Dictionary(uniqueKeysWithValues: zip(names, names.map { taken.pair(for: StableHash.of($0.description)) }).compactMap { name, pair in pair.map { (name, $0) } })
    }

    /// An address for each subset, in what the services leave: a subset never moves a service. Nil when none is left.
    /// - Parameter subsets: in their order, which decides who keeps a contested address, and each once.
    package static func assign(_ subsets: some Sequence<Subset>, beside services: some Sequence<Pair>) -> [Pair?] {
        var taken = Taken()
        for pair in services { taken.insert(UInt16(truncatingIfNeeded: pair.v4.v4Number)) }
        return subsets.map { taken.pair(for: StableHash.of($0.description)) }
    }

    /// The last halves of the addresses that somebody has, a bit for each.
    private struct Taken {
        private var bits = [UInt64](repeating: 0, count: 1 << 10)
        private var count = 0

        func contains(_ host: UInt16) -> Bool { bits[Int(host >> 6)] & 1 << UInt64(host & 63) != 0 }
        mutating func insert(_ host: UInt16) {
            if !contains(host) { count += 1 }
            bits[Int(host >> 6)] |= 1 << UInt64(host & 63)
        }
        mutating func pair(for hash: UInt64) -> Pair? {
            guard count < usable else { return nil }
            var host = UInt16(truncatingIfNeeded: hash)
            while host == 0 || host == 0xffff || contains(host) { host &+= 1 }
            insert(host)
            return Pair(v4: IPAddress(v4: v4Network.base.v4Number | UInt32(host)), v6: IPAddress(high: v6Network.base.high, low: hash | 1))
        }
    }

    /// The most services and subsets that can have an address; `assign` gives the rest none.
    package static let usable = 65_534
}
