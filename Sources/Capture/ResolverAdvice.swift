/// What the host's name lookup means for capture of DNS.
///
/// nss-resolve talks to systemd-resolved over a Unix socket, so a process that uses it never sends a packet to port 53 that could be redirected.
package enum ResolverAdvice: Equatable, Sendable {
    /// Lookups reach port 53.
    case fine
    /// `resolve` comes before `dns` in /etc/nsswitch.conf.
    case resolveSocketFirst

    /// - Parameter nsswitch: the text of `/etc/nsswitch.conf` (nsswitch.conf(5)); empty when there is none.
    package static func of(nsswitch: String) -> ResolverAdvice {
        for line in nsswitch.split(separator: "\n") {
            let text = line.prefix { $0 != "#" }
            guard let colon = text.firstIndex(of: ":"),
                text[..<colon].split(whereSeparator: \.isWhitespace) == ["hosts"]
            else { continue }
            for word in text[text.index(after: colon)...].split(whereSeparator: \.isWhitespace) {
                if word == "resolve" { return .resolveSocketFirst }
                if word == "dns" { return .fine }
            }
        }
        return .fine
    }

    /// For `weft status`; nil when there is nothing to do.
    package var advice: String? {
        switch self {
        case .fine: nil
        case .resolveSocketFirst:
            "/etc/nsswitch.conf asks systemd-resolved's socket before DNS, so mesh names are not seen on port 53; "
                + "install the shipped resolved drop-in (resolved-weft.conf), or put \"dns\" before \"resolve\""
        }
    }
}
