/// The endpoints of a service that have one version, as a name of its own: `v2.reviews.default`.
package struct Subset: Hashable, Sendable, Comparable, CustomStringConvertible {
    package let service: ServiceName
    package let version: String

    /// The versions of one service that get a name, the first ones in their order.
    package static let perService = 32

    /// Nil unless the version can stand in a name: a DNS label, as `v2` and not `1.2`.
    package init?(_ version: String, of service: ServiceName) {
        guard ServiceName.isLabel(version) else { return nil }
        self.service = service
        self.version = version
    }

    package var description: String { "\(version).\(service)" }
    package static func < (a: Subset, b: Subset) -> Bool { (a.service, a.version) < (b.service, b.version) }
}
