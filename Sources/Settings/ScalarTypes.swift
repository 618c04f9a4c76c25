import MeshModel
import Platform
import YAML

// What single values can be beyond the plain types of the YAML module.

extension ScalarType where Value == IPAddress {
    package static var address: ScalarType { ScalarType("an IP address", parse: IPAddress.init) }
    package static var addressV4: ScalarType { address.checked("an IPv4 address") { $0.isV4 } }
    package static var addressV6: ScalarType { address.checked("an IPv6 address") { !$0.isV4 } }
    /// One that can stand in a packet to this host from another.
    package static var unicastV4: ScalarType { addressV4.checked("an IPv4 address of this host") { !$0.isUnspecified && !$0.isMulticast } }
    package static var unicastV6: ScalarType {
        addressV6.checked("an IPv6 address of this host") { !$0.isUnspecified && !$0.isMulticast && !$0.isLinkLocal }
    }
}

extension ScalarType where Value == IPNetwork {
    /// Host bits must be zero: `10.1.2.3/8` is a slip, and which of the two was meant is not ours to guess.
    package static var network: ScalarType {
        ScalarType("a network, as 10.0.0.0/8 or fd00::/8") { (scalar) throws(Mismatch) in
            guard let network = IPNetwork(scalar.text) else { throw Mismatch() }
            let address = scalar.text.prefix { $0 != "/" }
            guard IPAddress(String(address)) == network.base else { throw Mismatch(hint: "did you mean \(network)?") }
            return network
        }
    }
}

extension ScalarType where Value == SocketAddress {
    package static var socketAddress: ScalarType {
        ScalarType("an address and a port, as 192.0.2.7:80 or [2001:db8::7]:80") { SocketAddress($0).flatMap { $0.port == 0 ? nil : $0 } }
    }
    /// The port may be left out.
    package static func socketAddress(defaultPort: UInt16) -> ScalarType {
        ScalarType("an IP address, with or without a port (\(defaultPort) otherwise), as 192.0.2.7 or [2001:db8::7]:\(defaultPort)") { text in
            if let address = SocketAddress(text) { return address.port == 0 ? nil : address }
            let bare = text.hasPrefix("[") && text.hasSuffix("]") ? String(text.dropFirst().dropLast()) : text
            return IPAddress(bare).map { SocketAddress($0, port: defaultPort) }
        }
    }
}

extension ScalarType where Value == UInt16 {
    package static var port: ScalarType { integer("a port from 1 to 65535", 1...65535) }
}

extension ScalarType where Value == String {
    /// A DNS label: what services and namespaces are called.
    package static var label: ScalarType {
        ScalarType("a DNS label (1–63 lower case letters, digits and hyphens)") { (scalar) throws(Mismatch) in
            guard ServiceName.isLabel(scalar.text) else {
                let folded = String(scalar.text.lowercased().map { $0 == "_" || $0 == "." ? "-" : $0 })
                throw Mismatch(hint: folded != scalar.text && ServiceName.isLabel(folded) ? "did you mean \(folded)?" : nil)
            }
            return scalar.text
        }
    }
    /// One segment of a SPIFFE path: accounts and node names.
    package static var segment: ScalarType {
        ScalarType("a name (letters, digits, `.`, `-` and `_`, at most 128)") { $0.utf8.count <= 128 && SPIFFEID.isSegment($0) ? $0 : nil }
    }
    package static var absolutePath: ScalarType {
        ScalarType("an absolute path") { text in
            guard text.hasPrefix("/"), !text.utf8.contains(0), text.utf8.count < 4096 else { return nil }
            return text.count > 1 && text.hasSuffix("/") ? String(text.dropLast()) : text
        }
    }
    /// A Unix socket's path fits `sun_path` (unix(7)).
    package static var socketPath: ScalarType { absolutePath.checked("an absolute path of at most 107 bytes") { $0.utf8.count <= 107 } }
    /// A group's name or number.
    package static var group: ScalarType {
        ScalarType("a group's name or number") { text in
            text.utf8.count <= 32 && !text.isEmpty && !text.utf8.contains { $0 <= 32 || $0 == 58 || $0 == 44 || $0 >= 127 } ? text : nil
        }
    }
    /// Labels on endpoints, as versions are: short and printable.
    package static var labelText: ScalarType {
        ScalarType("a text of at most 128 printable characters") { text in
            text.utf8.count <= 128 && !text.unicodeScalars.contains { $0.value < 0x20 || (0x7f...0x9f).contains($0.value) } ? text : nil
        }
    }
}

extension ScalarType where Value == UInt32 {
    /// Marks are easier to read in hexadecimal; both are taken.
    package static var mark: ScalarType { integer("a mark from 0x1 to 0xffffffff", 1...UInt32.max) }
}
