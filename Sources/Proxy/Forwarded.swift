import Platform

/// The `forwarded` header (RFC 7239), of which tunnels use only `for`.
enum Forwarded {
    /// The address in `for="192.0.2.7:1234"` or `for="[2001:db8::7]:1234"`; a missing port is 0. Nil for anything else, as `for=unknown`.
    static func source(_ header: String) -> SocketAddress? {
        for pair in header.split(separator: ",").first?.split(separator: ";") ?? [] {
            let parts = pair.split(separator: "=", maxSplits: 1)
            guard parts.count == 2, parts[0].trimmed.lowercased() == "for" else { continue }
            var value = parts[1].trimmed
            if value.count >= 2, value.hasPrefix("\""), value.hasSuffix("\"") { value = value.dropFirst().dropLast() }
            if let address = SocketAddress(String(value)) { return address }
            if value.hasPrefix("["), value.hasSuffix("]") { value = value.dropFirst().dropLast() }
            return IPAddress(String(value)).map { SocketAddress($0, port: 0) }
        }
        return nil
    }
}

extension Substring {
    fileprivate var trimmed: Substring {
        var result = self
        while result.first == " " { result = result.dropFirst() }
        while result.last == " " { result = result.dropLast() }
        return result
    }
}
