import Platform

/// What `resolv.conf(5)` says, as the C library reads it.
package struct ResolvConf: Hashable, Sendable {
    /// At most three, as in glibc (MAXNS). Without any it is the host itself.
    package var nameservers: [IPAddress] = []
    /// Without their final dots.
    package var search: [String] = []
    package var options: [String] = []
    /// Lines with a `nameserver` that is no address we can use (one with an interface's scope, as `fe80::1%eth0`).
    package var unusable: [String] = []

    package static let maximumNameservers = 3
    package static let maximumSearch = 32

    package init() {}

    package init(_ text: String) {
        for line in text.split(whereSeparator: \.isNewline) {
            if line.hasPrefix("#") || line.hasPrefix(";") { continue }
            let words = line.split(whereSeparator: \.isWhitespace)
            guard let keyword = words.first else { continue }
            let values = words.dropFirst()
            switch keyword {
            case "nameserver":
                guard let value = values.first else { continue }
                guard let address = IPAddress(String(value)) else {
                    unusable.append(String(value))
                    continue
                }
                if nameservers.count < Self.maximumNameservers { nameservers.append(address) }
            // The last of these lines counts.
            case "search", "domain":
                let names = keyword == "domain" ? values.prefix(1) : values.prefix(Self.maximumSearch)
                search = names.map { $0.hasSuffix(".") ? String($0.dropLast()) : String($0) }.filter { !$0.isEmpty }
            case "options": options += values.map(String.init)
            default: continue
            }
        }
        if nameservers.isEmpty, unusable.isEmpty { nameservers = [.loopbackV4] }
    }

    /// Port 53 at each name server; `0.0.0.0` and `::` mean this host.
    package var upstreams: [SocketAddress] {
        nameservers.map { SocketAddress($0.isUnspecified ? ($0.isV4 ? .loopbackV4 : .loopbackV6) : $0, port: 53) }
    }
}
