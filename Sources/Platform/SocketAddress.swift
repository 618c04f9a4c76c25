import CLinux
import Glibc

/// An address and a port, as `192.0.2.7:80` or `[2001:db8::7]:80`.
public struct SocketAddress: Hashable, Sendable, Comparable, CustomStringConvertible, LosslessStringConvertible {
    public var ip: IPAddress
    public var port: UInt16

    public init(_ ip: IPAddress, port: UInt16) {
        self.ip = ip
        self.port = port
    }

    /// `address:port`; IPv6 in brackets. The port is required.
    public init?(_ text: String) {
        guard let colon = text.lastIndex(of: ":"), let port = UInt16(text[text.index(after: colon)...]) else { return nil }
        var host = text[..<colon]
        if host.hasPrefix("["), host.hasSuffix("]") {
            host = host.dropFirst().dropLast()
            guard let ip = IPAddress(String(host)), !ip.isV4 else { return nil }
            self.init(ip, port: port)
        } else {
            guard let ip = IPAddress(String(host)), ip.isV4 else { return nil }
            self.init(ip, port: port)
        }
    }

    public var description: String { ip.isV4 ? "\(ip):\(port)" : "[\(ip)]:\(port)" }

    public static func < (a: SocketAddress, b: SocketAddress) -> Bool { (a.ip, a.port) < (b.ip, b.port) }

    /// Calls `body` with the kernel's form, `sockaddr_in` or `sockaddr_in6`, and its length.

    public func withSockaddr<R>(_ body: (UnsafePointer<sockaddr>, socklen_t) -> R) -> R {
        if ip.isV4 {
            var raw = sockaddr_in()
            raw.sin_family = sa_family_t(AF_INET)
            raw.sin_port = port.bigEndian
            raw.sin_addr.s_addr = ip.v4Number.bigEndian
            return withUnsafePointer(to: &raw) {
                $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { body($0, socklen_t(MemoryLayout<sockaddr_in>.size)) }
            }
        }
        var raw = sockaddr_in6()
        raw.sin6_family = sa_family_t(AF_INET6)
        raw.sin6_port = port.bigEndian
        withUnsafeMutableBytes(of: &raw.sin6_addr) {
            $0.storeBytes(of: ip.high.bigEndian, as: UInt64.self)
            $0.storeBytes(of: ip.low.bigEndian, toByteOffset: 8, as: UInt64.self)
        }
        return withUnsafePointer(to: &raw) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { body($0, socklen_t(MemoryLayout<sockaddr_in6>.size)) }
        }
    }

    /// From the kernel's form; nil for other families. IPv4-mapped addresses become IPv4.

    public init?(storage: borrowing sockaddr_storage) {
        let copy = copy storage
        let family = Int32(copy.ss_family)
        let value: SocketAddress? = withUnsafeBytes(of: copy) { raw in
            let port = UInt16(bigEndian: raw.loadUnaligned(fromByteOffset: 2, as: UInt16.self))
            if family == AF_INET {
                return SocketAddress(IPAddress(v4: UInt32(bigEndian: raw.loadUnaligned(fromByteOffset: 4, as: UInt32.self))), port: port)
            }
            if family == AF_INET6 {
                let high = UInt64(bigEndian: raw.loadUnaligned(fromByteOffset: 8, as: UInt64.self))
                let low = UInt64(bigEndian: raw.loadUnaligned(fromByteOffset: 16, as: UInt64.self))
                return SocketAddress(IPAddress(high: high, low: low).unmapped, port: port)
            }
            return nil
        }
        guard let value else { return nil }
        self = value
    }

    /// Lets the kernel fill an address (`getsockname`, `getpeername`, `accept4` …); nil when the call fails or the family is another.

    public static func filled(by call: (UnsafeMutablePointer<sockaddr>, UnsafeMutablePointer<socklen_t>) -> CInt) -> SocketAddress? {
        var storage = sockaddr_storage()
        var length = socklen_t(MemoryLayout<sockaddr_storage>.size)
        let result = withUnsafeMutablePointer(to: &storage) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { call($0, &length) }
        }
        return result < 0 ? nil : SocketAddress(storage: storage)
    }
}

extension SocketAddress {
    /// Appends `description` without making it.
    public func append(to bytes: inout [UInt8]) {
        if ip.isV4 {
            let number = ip.v4Number
            var shift: UInt32 = 32
            while shift > 0 {
                shift -= 8
                DecimalText.append(UInt64(number >> shift & 255), to: &bytes)
                bytes.append(shift == 0 ? UInt8(ascii: ":") : UInt8(ascii: "."))
            }
        } else {
            bytes.append(UInt8(ascii: "["))
            bytes += ip.description.utf8
            bytes.append(UInt8(ascii: "]"))
            bytes.append(UInt8(ascii: ":"))
        }
        DecimalText.append(UInt64(port), to: &bytes)
    }
}
