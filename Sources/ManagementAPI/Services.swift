/// A service's name as people write it: `reviews`, which is in namespace `default`, or `reviews.shop`.
package struct ServiceReference: Sendable, Hashable, CustomStringConvertible {
    package var name: String
    package var namespace: String
    package init(name: String, namespace: String = "default") {
        self.name = name
        self.namespace = namespace
    }
    /// Nil when it is not one or two DNS labels (RFC 1123).
    package init?(_ text: String) {
        let parts = text.split(separator: ".", omittingEmptySubsequences: false)
        guard (1...2).contains(parts.count), parts.allSatisfy(Self.isLabel) else { return nil }
        self.init(name: String(parts[0]), namespace: parts.count == 2 ? String(parts[1]) : "default")
    }
    package var description: String { "\(name).\(namespace)" }

    /// Lower case letters, digits and hyphens, 1–63 bytes, no hyphen at an end.
    package static func isLabel(_ text: some StringProtocol) -> Bool {
        let bytes = Array(text.utf8)
        guard let first = bytes.first, let last = bytes.last, bytes.count <= 63, first != 45, last != 45 else { return false }
        return bytes.allSatisfy { ($0 >= 97 && $0 <= 122) || ($0 >= 48 && $0 <= 57) || $0 == 45 }
    }
}

/// `GET /v1/services`.
package struct ServiceList: Codable, Sendable, Equatable {
    package var services: [ServiceSummary]
    package init(services: [ServiceSummary]) { self.services = services }
}

package struct ServiceSummary: Codable, Sendable, Equatable {
    package var name: String
    package var namespace: String
    /// The port that clients call.
    package var port: UInt16
    /// The virtual addresses, IPv4 first.
    package var addresses: [String]
    package var endpoints: Int
    /// Endpoints that may get traffic.
    package var usable: Int
    package init(name: String, namespace: String, port: UInt16, addresses: [String], endpoints: Int, usable: Int) {
        self.name = name
        self.namespace = namespace
        self.port = port
        self.addresses = addresses
        self.endpoints = endpoints
        self.usable = usable
    }
}

/// `GET /v1/services/{name}`: one entry in `ports` for each port that the service has.
package struct ServiceDetail: Codable, Sendable, Equatable {
    package var name: String
    package var namespace: String
    package var addresses: [String]
    package var ports: [UInt16]
    package var endpoints: [ServiceEndpoint]
    /// Versions that have a name and addresses of their own, as `v2.reviews`.
    package var subsets: [ServiceSubset]
    package init(
        name: String, namespace: String, addresses: [String], ports: [UInt16], endpoints: [ServiceEndpoint], subsets: [ServiceSubset] = []
    ) {
        self.name = name
        self.namespace = namespace
        self.addresses = addresses
        self.ports = ports
        self.endpoints = endpoints
        self.subsets = subsets
    }
}

package struct ServiceSubset: Codable, Sendable, Equatable {
    package var version: String
    /// IPv4 first.
    package var addresses: [String]
    package init(version: String, addresses: [String]) {
        self.version = version
        self.addresses = addresses
    }
}

package struct ServiceEndpoint: Codable, Sendable, Equatable {
    package var node: String
    /// The application's own address and port.
    package var address: String
    /// The service's port it serves.
    package var port: UInt16
    package var identity: String
    package var version: String
    package var weight: UInt32
    package var labels: [String: String]
    /// `healthy`, `unhealthy` or `unknown`, as its owner says.
    package var health: String
    /// May get traffic.
    package var usable: Bool
    /// Why not, or empty: `unhealthy`, `node dead`, `stale`.
    package var reason: String
    /// Known from before the agent's start, and not confirmed since.
    package var stale: Bool
    package var region: String
    package var zone: String
    /// How its health is found out: `tcp`, `http`, `grpc`, `exec`, `ttl` or `none`; empty for another node's endpoint, which that node checks.
    package var check: String
    /// Why the last check of this node's own endpoint failed; empty after one that passed.
    package var failure: String
    /// The end of what the last check's program printed, or the note of the last heartbeat.
    package var output: String
    package init(
        node: String, address: String, port: UInt16, identity: String, version: String = "", weight: UInt32 = 1, labels: [String: String] = [:],
        health: String, usable: Bool, reason: String = "", stale: Bool = false, region: String = "", zone: String = "", check: String = "",
        failure: String = "", output: String = ""
    ) {
        self.node = node
        self.address = address
        self.port = port
        self.identity = identity
        self.version = version
        self.weight = weight
        self.labels = labels
        self.health = health
        self.usable = usable
        self.reason = reason
        self.stale = stale
        self.region = region
        self.zone = zone
        self.check = check
        self.failure = failure
        self.output = output
    }
}

/// `POST /v1/services`: an endpoint of this node.
package struct ServiceRegistration: APIRequest {
    package enum CodingKeys: String, CodingKey, CaseIterable {
        case name, namespace, port, address, targetPort, account, version, weight, labels, healthCheck, check
    }
    package var name: String
    package var namespace: String
    /// The port that clients call.
    package var port: UInt16
    /// The application's IP address; nil: the node's own.
    package var address: String?
    /// The port that the application listens on; nil: `port`.
    package var targetPort: UInt16?
    /// The account in the workload's identity; nil: the service's name.
    package var account: String?
    package var version: String
    /// 1–1,000,000.
    package var weight: UInt32
    package var labels: [String: String]
    /// Connect to the application every few seconds and take it out of routing when that fails.
    package var healthCheck: Bool
    /// How the application is checked: `tcp`, `http:/path`, `grpc`, `grpc:service`, `ttl:30s` or `none`; nil: as `healthCheck` says.
    package var check: String?

    package init(
        name: String, namespace: String = "default", port: UInt16, address: String? = nil, targetPort: UInt16? = nil, account: String? = nil,
        version: String = "", weight: UInt32 = 1, labels: [String: String] = [:], healthCheck: Bool = true, check: String? = nil
    ) {
        self.name = name
        self.namespace = namespace
        self.port = port
        self.address = address
        self.targetPort = targetPort
        self.account = account
        self.version = version
        self.weight = weight
        self.labels = labels
        self.healthCheck = healthCheck
        self.check = check
    }
    package init(from decoder: any Decoder) throws {
        let keys = try decoder.container(keyedBy: CodingKeys.self)
        name = try keys.decode(String.self, forKey: .name)
        namespace = try keys.decodeIfPresent(String.self, forKey: .namespace) ?? "default"
        port = try keys.requiredWhole(forKey: .port)
        address = try keys.decodeIfPresent(String.self, forKey: .address)
        targetPort = try keys.whole(forKey: .targetPort)
        account = try keys.decodeIfPresent(String.self, forKey: .account)
        version = try keys.decodeIfPresent(String.self, forKey: .version) ?? ""
        weight = try keys.whole(forKey: .weight) ?? 1
        labels = try keys.decodeIfPresent([String: String].self, forKey: .labels) ?? [:]
        healthCheck = try keys.decodeIfPresent(Bool.self, forKey: .healthCheck) ?? true
        check = try keys.decodeIfPresent(String.self, forKey: .check)
    }
}

package struct RegistrationReport: Codable, Sendable, Equatable {
    package var service: ServiceSummary
    package var endpoint: ServiceEndpoint
    /// It took the place of one that was registered before.
    package var replaced: Bool
    package init(service: ServiceSummary, endpoint: ServiceEndpoint, replaced: Bool) {
        self.service = service
        self.endpoint = endpoint
        self.replaced = replaced
    }
}

/// `DELETE /v1/services/{name}`: this node's registered endpoints of a service, all or those that match.
package struct ServiceDeregistration: Sendable, Equatable {
    package var service: ServiceReference
    package var port: UInt16?
    /// `address:port` of the application.
    package var address: String?
    package init(service: ServiceReference, port: UInt16? = nil, address: String? = nil) {
        self.service = service
        self.port = port
        self.address = address
    }
}

package struct DeregistrationReport: Codable, Sendable, Equatable {
    /// The application addresses that were taken out.
    package var removed: [String]
    package init(removed: [String]) { self.removed = removed }
}
