import MeshModel

/// Which resource: its kind, and its name within a namespace. The version of its API is not part of it: one resource can be written in several.
package struct ResourceKey: Hashable, Comparable, Sendable, CustomStringConvertible {
    /// As `DestinationRule`.
    package let kind: String
    /// The part of `apiVersion` before the slash, as `networking.istio.io`.
    package let group: String
    /// Empty for what concerns the whole mesh.
    package let namespace: String
    package let name: String

    /// Nil when a part is no name: kinds are letters and digits, groups and names lower case DNS names, namespaces DNS labels.
    package init?(kind: String, group: String, namespace: String, name: String) {
        guard Self.isKind(kind), Self.isName(group), Self.isName(name), namespace.isEmpty || ServiceName.isLabel(namespace) else { return nil }
        self.kind = kind
        self.group = group
        self.namespace = namespace
        self.name = name
    }

    private static func isKind(_ text: String) -> Bool {
        (1...63).contains(text.utf8.count) && text.utf8.allSatisfy { ($0 | 0x20 >= 97 && $0 | 0x20 <= 122) || ($0 >= 48 && $0 <= 57) }
    }

    /// A DNS name (RFC 1123) of at most 253 bytes.
    package static func isName(_ text: String) -> Bool {
        text.utf8.count <= 253 && text.split(separator: ".", omittingEmptySubsequences: false).allSatisfy(ServiceName.isLabel)
    }

    /// One text for each key: none of the parts may contain a slash.
    var path: String { "\(group)/\(kind)/\(namespace)/\(name)" }

    package var description: String { namespace.isEmpty ? "\(kind) \(name)" : "\(kind) \(namespace)/\(name)" }
    package static func < (a: Self, b: Self) -> Bool { (a.kind, a.group, a.namespace, a.name) < (b.kind, b.group, b.namespace, b.name) }
}

/// Which writing of a resource. Of two, the later counts; at the same time, that of the author whose name is greater.
package struct ResourceVersion: Hashable, Comparable, Sendable, CustomStringConvertible, LosslessStringConvertible {
    package let time: HybridTime
    /// The node that wrote it.
    package let author: String

    package init(time: HybridTime, author: String) {
        self.time = time
        self.author = author
    }

    /// As `1764224096123-0-node-a`: milliseconds since 1970, counter, author.
    package init?(_ text: String) {
        let parts = text.split(separator: "-", maxSplits: 2, omittingEmptySubsequences: false)
        guard parts.count == 3, let milliseconds = UInt64(parts[0]), milliseconds < 1 << 48, let counter = UInt16(parts[1]), SPIFFEID.isSegment(parts[2])
        else { return nil }
        self.init(time: HybridTime(milliseconds: milliseconds, counter: counter), author: String(parts[2]))
    }

    package var description: String { "\(time.milliseconds)-\(time.counter)-\(author)" }
    package static func < (a: Self, b: Self) -> Bool { (a.time, a.author) < (b.time, b.author) }
}
