/// A service's name, `reviews.default`: a DNS label (RFC 1123) and the namespace it lives in.
package struct ServiceName: Hashable, Sendable, Comparable, CustomStringConvertible {
    package let name: String
    package let namespace: String

    /// Nil unless both are DNS labels: lower case letters, digits and hyphens, 1–63 bytes, no hyphen at an end.
    package init?(_ name: String, namespace: String) {
        guard Self.isLabel(name), Self.isLabel(namespace) else { return nil }
        self.name = name
        self.namespace = namespace
    }
    /// `name.namespace`.
    package init?(_ text: String) {
        let parts = text.split(separator: ".", omittingEmptySubsequences: false)
        guard parts.count == 2 else { return nil }
        self.init(String(parts[0]), namespace: String(parts[1]))
    }

    package static func isLabel(_ text: some StringProtocol) -> Bool {
        let bytes = Array(text.utf8)
        guard let first = bytes.first, let last = bytes.last, bytes.count <= 63, first != 45, last != 45 else { return false }
        return bytes.allSatisfy { ($0 >= 97 && $0 <= 122) || ($0 >= 48 && $0 <= 57) || $0 == 45 }
    }

    package var description: String { "\(name).\(namespace)" }
    package static func < (a: ServiceName, b: ServiceName) -> Bool { (a.namespace, a.name) < (b.namespace, b.name) }
}
