/// What Istio's DestinationRule of that name says of a service, as far as Weft acts on it.
package struct DestinationRule: Hashable, Sendable {
    package var service: ServiceName
    /// In the order of the document, no name twice.
    package var subsets: [SubsetRule]

    package init(service: ServiceName, subsets: [SubsetRule]) {
        self.service = service
        self.subsets = subsets
    }
}

/// Names the endpoints of a service that carry some labels: `canary.reviews` are those with `track: canary`.
package struct SubsetRule: Hashable, Sendable {
    /// A DNS label.
    package var name: String
    /// All of them must be on the endpoint. `version` is the endpoint's version.
    package var labels: [String: String]

    package init(name: String, labels: [String: String]) {
        self.name = name
        self.labels = labels
    }

    package func matches(_ endpoint: Endpoint) -> Bool {
        labels.allSatisfy { key, value in endpoint.labels[key] == value || (key == Self.versionLabel && endpoint.version == value) }
    }

    /// The label that stands for `Endpoint.version`.
    package static let versionLabel = "version"
}
