import MeshModel

/// Which workload identities a node may ask for: `ns/<namespace>/sa/<account>`, where `*` stands for any text within one part.
///
/// A pattern never matches a node's identity, and never an identity of another trust domain (it has none of its own).
package struct IdentityPattern: Hashable, Sendable, Comparable, CustomStringConvertible, Codable {
    package let namespace: String
    package let account: String

    /// Every workload: what the authority's own node may ask for.
    package static let any = IdentityPattern(namespace: "*", account: "*")

    private init(namespace: String, account: String) {
        self.namespace = namespace
        self.account = account
    }

    /// Text as above, or a whole SPIFFE ID of `trustDomain`.
    package init(_ text: String, trustDomain: String) throws(MeshError) {
        var path = Substring(text)
        let prefix = "spiffe://\(trustDomain)/"
        if path.hasPrefix(prefix) { path = path.dropFirst(prefix.count) }
        guard let pattern = IdentityPattern(path: path) else {
            throw MeshError(
                .configuration, code: "allow_pattern", "\"\(text)\" does not say which workload identities are allowed",
                remedy: "write ns/<namespace>/sa/<account>, with * for any, as in ns/shop/sa/*")
        }
        self = pattern
    }

    private init?(path: Substring) {
        let parts = path.split(separator: "/", omittingEmptySubsequences: false)
        guard parts.count == 4, parts[0] == "ns", parts[2] == "sa", Self.isPart(parts[1]), Self.isPart(parts[3]) else { return nil }
        self.init(namespace: String(parts[1]), account: String(parts[3]))
    }

    private static func isPart(_ text: Substring) -> Bool {
        text.utf8.count <= 200 && SPIFFEID.isSegment(String(text.map { $0 == "*" ? "x" : $0 }))
    }

    package func matches(_ identity: SPIFFEID) -> Bool {
        guard let (namespace, account) = identity.workload else { return false }
        return Self.matches(self.namespace, namespace) && Self.matches(self.account, account)
    }

    /// `*` in the pattern stands for any bytes, none included. Linear in the text for each star: a star only ever moves on.
    private static func matches(_ pattern: String, _ text: String) -> Bool {
        let pattern = Array(pattern.utf8)
        let text = Array(text.utf8)
        var p = 0
        var t = 0
        var star: (p: Int, t: Int)?
        while t < text.count {
            if p < pattern.count, pattern[p] == UInt8(ascii: "*") {
                star = (p, t)
                p += 1
            } else if p < pattern.count, pattern[p] == text[t] {
                p += 1
                t += 1
            } else if let last = star {
                star = (last.p, last.t + 1)
                p = last.p + 1
                t = last.t + 1
            } else {
                return false
            }
        }
        return pattern[p...].allSatisfy { $0 == UInt8(ascii: "*") }
    }

    package var description: String { "ns/\(namespace)/sa/\(account)" }
    package static func < (a: Self, b: Self) -> Bool { (a.namespace, a.account) < (b.namespace, b.account) }

    package init(from decoder: any Decoder) throws {
        let text = try decoder.singleValueContainer().decode(String.self)
        guard let value = IdentityPattern(path: Substring(text)) else {
            throw DecodingError.dataCorrupted(.init(codingPath: decoder.codingPath, debugDescription: "\"\(text)\" is no identity pattern"))
        }
        self = value
    }
    package func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(description)
    }
}
