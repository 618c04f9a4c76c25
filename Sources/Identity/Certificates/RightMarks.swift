import MeshModel
import X509

/// How the rights of a node stand in its certificate: organisation names of the subject, as `weft:admin` (what Kubernetes does with groups).
///
/// The subject is otherwise empty, and X509-SVID leaves it to the issuer. Only the root's holder can write it.
enum RightMarks {
    private static let prefix = "weft:"

    static func subject(_ rights: [ConfigurationRight]) -> DistinguishedName {
        DistinguishedName(rights.sorted().map { right in
            RelativeDistinguishedName([.init(type: .RDNAttributeType.organizationName, utf8String: prefix + right.description)])
        })
    }

    /// Those that this version knows.
    static func rights(of subject: DistinguishedName) -> [ConfigurationRight] {
        subject.flatMap { $0 }.compactMap { attribute in
            guard attribute.type == .RDNAttributeType.organizationName, let text = String(attribute.value), text.hasPrefix(prefix) else { return nil }
            return ConfigurationRight(String(text.dropFirst(prefix.count)))
        }.sorted()
    }
}
