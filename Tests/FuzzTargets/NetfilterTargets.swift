import Platform

@testable import Netfilter

private func attribute(_ type: UInt16, _ value: [UInt8]) -> [UInt8] {
    let padding = (4 - value.count % 4) % 4
    return host(UInt16(4 + value.count)) + host(type) + value + [UInt8](repeating: 0, count: padding)
}
private func message(_ type: UInt16, flags: UInt16 = 0, _ payload: [UInt8]) -> [UInt8] {
    host(UInt32(16 + payload.count)) + host(type) + host(flags) + host(7 as UInt32) + host(0 as UInt32) + payload
}
private func host<T: FixedWidthInteger>(_ value: T) -> [UInt8] { withUnsafeBytes(of: value) { Array($0) } }
private func big<T: FixedWidthInteger>(_ value: T) -> [UInt8] { host(value.bigEndian) }

private let flow = FlowTuple(source: SocketAddress("192.0.2.1:4000")!, destination: SocketAddress("192.0.2.2:80")!)

extension FuzzTarget {
    /// Datagrams from netlink, through everything that reads them. They come from the kernel, and still nothing outside of them may be read.
    static let netlink = FuzzTarget(
        name: "netlink", seeds: { netlinkSeeds },
        run: { bytes in
            // A block of exactly this size, so that a read beyond its end is seen.
            let block = UnsafeMutableRawBufferPointer.allocate(byteCount: bytes.count, alignment: 16)
            defer { block.deallocate() }
            block.copyBytes(from: bytes)
            var messages = 0
            NetlinkMessage.forEach(in: UnsafeRawBufferPointer(block)) { message in
                messages += 1
                read(message)
                return true
            }
            require(messages <= bytes.count / 16, "\(messages) messages in \(bytes.count) bytes")
        })

    private static func read(_ message: NetlinkMessage) {
        _ = message.errorCode
        _ = message.extendedError
        _ = RouteMonitor.event(message)
        _ = Route(message)
        _ = PolicyRule(message)
        _ = NFMonitor.event(message)
        _ = Conntrack.parse(message)
        _ = SocketDiagnostics.parse(message, .tcp, flow)
        _ = SocketDiagnostics.parse(message, .udp, flow)
        for attribute in message.attributes(after: 4) {
            _ = NFElementEntry(NFAttributeTable(attribute.nested))
            _ = NFUserData.comment(in: attribute.value)
            for item in attribute.nested {
                let parts = NFAttributeTable(item.nested)
                guard let name = parts.text(1), let data = parts[2]?.nested else { continue }
                for family in [NFFamily.inet, .ipv4, .ipv6] { _ = NFExpression(name: name, data: data, in: family) }
            }
        }
    }

    private static var netlinkSeeds: [[UInt8]] {
        let tuple = attribute(1, attribute(1, [192, 0, 2, 1]) + attribute(2, [192, 0, 2, 2])) + attribute(2, attribute(1, [6]) + attribute(2, big(4000 as UInt16)) + attribute(3, big(80 as UInt16)))
        let names = [
            "meta", "payload", "ct", "socket", "cmp", "range", "bitwise", "lookup", "immediate", "redir", "tproxy", "reject", "fib", "limit", "counter", "objref",
        ]
        let expressions = names.map { name in
            let numbers = (1...6 as ClosedRange<UInt16>).flatMap { attribute($0, big(UInt32($0))) }
            return attribute(1, attribute(1, Array(name.utf8) + [0]) + attribute(2, numbers))
        }
        let value = attribute(1, [1, 2, 3, 4])
        let compare = attribute(1, attribute(1, Array("cmp".utf8) + [0]) + attribute(2, attribute(1, big(1 as UInt32)) + attribute(2, big(0 as UInt32)) + attribute(3, value)))
        let rules = (expressions + [compare]).map { expression in
            message(10 << 8 | 6, [1, 0, 0, 0] + attribute(1, Array("weft\0".utf8)) + attribute(2, Array("output\0".utf8)) + attribute(3, big(9 as UInt64)) + attribute(4, expression))
        }
        let routing: [[UInt8]] = [
            message(24, [2, 32, 0, 0, 254, 3, 0, 1] + host(0 as UInt32) + attribute(1, [192, 0, 2, 0]) + attribute(4, host(2 as UInt32)) + attribute(5, [192, 0, 2, 1])),
            message(32, [2, 0, 0, 0, 254, 0, 0, 1] + host(0 as UInt32) + attribute(10, host(5 as UInt32)) + attribute(6, host(9 as UInt32)) + attribute(16, host(0xff as UInt32))),
            message(20, [2, 24, 0, 0] + host(2 as UInt32) + attribute(2, [192, 0, 2, 1])),
            message(16, [0, 0, 1, 0] + host(2 as UInt32) + host(1 as UInt32) + host(0 as UInt32) + attribute(3, Array("eth0\0".utf8))),
            message(2, flags: 0x200, host(-2 as Int32) + host(20 as UInt32) + [UInt8](repeating: 0, count: 16) + attribute(1, Array("no such table\0".utf8)) + attribute(2, host(20 as UInt32))),
        ]
        let conntrack = message(1 << 8, [2, 0, 0, 0] + attribute(1, tuple) + attribute(3, big(0x28 as UInt32)) + attribute(8, big(1 as UInt32)))
        let socket = message(20, [2, 1, 0, 0] + big(4000 as UInt16) + big(80 as UInt16) + [UInt8](repeating: 0, count: 64) + attribute(21, host(99 as UInt64)))
        let element = message(10 << 8 | 12, [1, 0, 0, 0] + attribute(3, attribute(1, attribute(1, value) + attribute(3, big(1 as UInt32)))))
        return rules + routing + [conntrack, socket, element, conntrack + socket, message(10 << 8 | 15, [0, 0, 0, 0] + attribute(1, big(4 as UInt32)) + attribute(3, Array("nft\0".utf8)))]
    }
}
