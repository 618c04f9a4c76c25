import Platform

/// An identity: `spiffe://<trust domain>/<path>` (SPIFFE-ID, sections 2.1–2.3).
///
/// Trust domains are lower case letters, digits, `.`, `-` and `_`, at most 255 bytes; the whole is at most 2,048 bytes; a path
/// segment is letters, digits, `.`, `-` and `_`, never empty, `.` or `..`.
package struct SPIFFEID: Hashable, Sendable, Comparable, CustomStringConvertible, LosslessStringConvertible, Codable {
    package let trustDomain: String
    /// With its leading slash, or empty for the trust domain itself.
    package let path: String

    package init?(_ text: String) {
        let scheme = "spiffe://".utf8
        guard text.utf8.count <= 2048, text.utf8.starts(with: scheme) else { return nil }
        let rest = text.utf8.dropFirst(scheme.count)
        let slash = rest.firstIndex(of: Self.slash) ?? rest.endIndex
        self.init(trustDomain: String(Substring(rest[..<slash])), path: String(Substring(rest[slash...])))
    }

    package init?(trustDomain: String, path: String) {
        guard Self.isTrustDomain(trustDomain), Self.isPath(path) else { return nil }
        self.trustDomain = trustDomain
        self.path = path
    }

    /// `spiffe://<td>/ns/<namespace>/sa/<account>`.
    package init?(trustDomain: String, namespace: String, account: String) {
        guard Self.isSegment(namespace), Self.isSegment(account) else { return nil }
        self.init(trustDomain: trustDomain, path: "/ns/\(namespace)/sa/\(account)")
    }
    /// `spiffe://<td>/node/<name>`.
    package init?(trustDomain: String, node: String) {
        guard Self.isSegment(node) else { return nil }
        self.init(trustDomain: trustDomain, path: "/node/\(node)")
    }

    package static func isTrustDomain(_ text: String) -> Bool {
        !text.isEmpty && text.utf8.count <= 255
            && text.utf8.allSatisfy { ($0 >= 97 && $0 <= 122) || ($0 >= 48 && $0 <= 57) || $0 == 45 || $0 == 46 || $0 == 95 }
    }

    /// Whether the text may stand as one path segment: a namespace, an account, a node name.
    package static func isSegment(_ text: some StringProtocol) -> Bool { isSegment(bytes: text.utf8) }

    /// Bytes and not characters: every record that a node reads has an identity.
    private static func isSegment(bytes: some Collection<UInt8>) -> Bool {
        !bytes.isEmpty && !(bytes.count <= 2 && bytes.allSatisfy { $0 == UInt8(ascii: ".") })
            && bytes.allSatisfy { ($0 >= 97 && $0 <= 122) || ($0 >= 65 && $0 <= 90) || ($0 >= 48 && $0 <= 57) || $0 == 45 || $0 == 46 || $0 == 95 }
    }
    private static let slash = UInt8(ascii: "/")

    private static func isPath(_ path: String) -> Bool {
        if path.isEmpty { return true }
        guard path.utf8.first == slash else { return false }
        return path.utf8.dropFirst().split(separator: slash, omittingEmptySubsequences: false).allSatisfy { isSegment(bytes: $0) }
    }

    private var segments: [Substring] { path.utf8.split(separator: Self.slash).map { Substring($0) } }
    /// The node's name when this is a node's identity.
    package var node: String? { segments.count == 2 && segments[0] == "node" ? String(segments[1]) : nil }
    /// The namespace and account when this is a workload's identity.
    package var workload: (namespace: String, account: String)? {
        let segments = self.segments
        guard segments.count == 4, segments[0] == "ns", segments[2] == "sa" else { return nil }
        return (String(segments[1]), String(segments[3]))
    }

    package var description: String { "spiffe://\(trustDomain)\(path)" }
    package static func < (a: SPIFFEID, b: SPIFFEID) -> Bool { (a.trustDomain, a.path) < (b.trustDomain, b.path) }

    package init(from decoder: any Decoder) throws {
        let text = try decoder.singleValueContainer().decode(String.self)
        guard let value = SPIFFEID(text) else {
            throw DecodingError.dataCorrupted(.init(codingPath: decoder.codingPath, debugDescription: "\"\(text)\" is not a SPIFFE ID"))
        }
        self = value
    }
    package func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(description)
    }
}
