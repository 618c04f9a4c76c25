import Platform

/// One element of a set or map. The key is in the bytes that the kernel compares (see `NFType.isHostOrder`).
package struct NFElement: Hashable, Sendable {
    package enum Data: Hashable, Sendable {
        case value([UInt8])
        case verdict(NFVerdict)
    }

    package let key: [UInt8]
    /// The last key of a range, inclusive; nil for a single key. Only in sets with the `interval` flag.
    package let end: [UInt8]?
    package let data: Data?
    /// Cut to 120 bytes; `nft list` shows it.
    package let comment: String?

    package init(key: [UInt8], end: [UInt8]? = nil, data: Data? = nil, comment: String? = nil) {
        self.key = key
        self.end = end == key ? nil : end
        self.data = data
        self.comment = NFUserData.fitting(comment)
    }

    /// - Parameter id: the inode number of the cgroup's directory.
    package init(cgroup id: UInt64, data: Data? = nil, comment: String? = nil) {
        self.init(key: NFBytes.host(id), data: data, comment: comment)
    }
    package init(_ address: IPAddress, data: Data? = nil, comment: String? = nil) {
        self.init(key: address.bytes, data: data, comment: comment)
    }
    package init(_ network: IPNetwork, data: Data? = nil, comment: String? = nil) {
        self.init(network.range, data: data, comment: comment)
    }
    package init(_ range: ClosedRange<IPAddress>, data: Data? = nil, comment: String? = nil) {
        self.init(key: range.lowerBound.bytes, end: range.upperBound.bytes, data: data, comment: comment)
    }
    package init(port: UInt16, data: Data? = nil, comment: String? = nil) {
        self.init(key: NFBytes.network(port), data: data, comment: comment)
    }
    package init(ports: ClosedRange<UInt16>, data: Data? = nil, comment: String? = nil) {
        self.init(key: NFBytes.network(ports.lowerBound), end: NFBytes.network(ports.upperBound), data: data, comment: comment)
    }
    package init(mark: UInt32, data: Data? = nil, comment: String? = nil) {
        self.init(key: NFBytes.host(mark), data: data, comment: comment)
    }
    /// For keys `address . port`.
    package init(_ address: SocketAddress, data: Data? = nil, comment: String? = nil) {
        self.init(key: address.ip.bytes + NFBytes.network(address.port) + [0, 0], data: data, comment: comment)
    }
    /// For interval keys `address . port`.
    package init(_ network: IPNetwork, ports: ClosedRange<UInt16>, data: Data? = nil, comment: String? = nil) {
        let range = network.range
        self.init(
            key: range.lowerBound.bytes + NFBytes.network(ports.lowerBound) + [0, 0],
            end: range.upperBound.bytes + NFBytes.network(ports.upperBound) + [0, 0], data: data, comment: comment)
    }

    /// Elements for an interval set of `family` from networks in any order; others are left out.
    ///
    /// The kernel refuses ranges that overlap, so those that overlap or touch become one.
    package static func networks(_ networks: some Sequence<IPNetwork>, family: IPAddress.Family) -> [NFElement] {
        var ranges: [ClosedRange<IPAddress>] = []
        for range in networks.lazy.filter({ $0.base.family == family }).map(\.range).sorted(by: { $0.lowerBound < $1.lowerBound }) {
            if let last = ranges.last, last.upperBound >= range.lowerBound || last.upperBound.successor == range.lowerBound {
                ranges[ranges.count - 1] = last.lowerBound...max(last.upperBound, range.upperBound)
            } else {
                ranges.append(range)
            }
        }
        return ranges.map { NFElement($0) }
    }
}

extension IPAddress {
    /// The next address of the same family; nil after the last.
    var successor: IPAddress? {
        NFBytes.successor(bytes).flatMap { IPAddress(bytes: $0) }
    }
}

/// Numbers as the bytes that the kernel compares.
package enum NFBytes {
    package static func host<T: FixedWidthInteger>(_ value: T) -> [UInt8] { withUnsafeBytes(of: value) { Array($0) } }
    package static func network<T: FixedWidthInteger>(_ value: T) -> [UInt8] { host(value.bigEndian) }
    /// A name of an interface, padded with zeros to sixteen bytes.
    package static func interfaceName(_ name: String) -> [UInt8] {
        let bytes = Array(name.utf8.prefix(15))
        return bytes + [UInt8](repeating: 0, count: 16 - bytes.count)
    }
    /// The bytes as a big-endian number plus one; nil when that overflows.
    static func successor(_ bytes: [UInt8]) -> [UInt8]? {
        var next = bytes
        for index in next.indices.reversed() {
            next[index] &+= 1
            if next[index] != 0 { return next }
        }
        return nil
    }
    /// The bytes as a big-endian number minus one; nil below zero.
    static func predecessor(_ bytes: [UInt8]) -> [UInt8]? {
        var next = bytes
        for index in next.indices.reversed() {
            next[index] &-= 1
            if next[index] != 0xff { return next }
        }
        return nil
    }
}
