import MeshModel

/// How an endpoint's health is found out. Every kind looks at the endpoint's own address or at this host, and at nothing else.
package struct HealthCheck: Hashable, Sendable {
    package enum Kind: Hashable, Sendable {
        /// Connects.
        case tcp
        /// Asks with `GET` and judges the answer.
        case http(HTTPCheck)
        /// Asks the health service, `grpc.health.v1.Health/Check`; an empty service is the server as a whole.
        case grpc(service: String)
        /// Runs a program of this host.
        case exec(ExecCheck)
        /// The application says so itself, at least as often as this.
        case ttl(Duration)

        package var word: String {
            switch self {
            case .tcp: "tcp"
            case .http: "http"
            case .grpc: "grpc"
            case .exec: "exec"
            case .ttl: "ttl"
            }
        }
    }

    package var kind = Kind.tcp
    /// Nil: the endpoint's own port.
    package var port: UInt16?
    package var interval = Duration.seconds(5)
    /// Each wait is longer or shorter by up to this share of the interval, 0–0.5.
    package var jitter = 0.1
    package var timeout = Duration.seconds(1)
    /// Successes in a row that make it healthy.
    package var healthy = 1
    /// Failures in a row that make it unhealthy.
    package var unhealthy = 3
    /// What it is taken for until checks say otherwise. The first result decides on an `unknown` one, which gets traffic meanwhile.
    package var initial = Health.unknown

    package init() {}

    /// A check of this kind with what is usual for it.
    package init(_ kind: Kind) {
        self.kind = kind
        switch kind {
        case .tcp, .http, .grpc: break
        case .exec:
            // A process of its own every time.
            interval = .seconds(30)
            timeout = .seconds(10)
        case .ttl:
            // What the application says counts at once.
            unhealthy = 1
        }
    }
}

/// What is asked over HTTP, and what the answer must be.
package struct HTTPCheck: Hashable, Sendable {
    /// With the query.
    package var path: String
    /// For the `Host` field; nil: the endpoint's address.
    package var host: String?
    package var statuses: [ClosedRange<UInt16>] = [200...299]
    /// Fields that must be there with exactly these values; names in lower case.
    package var headers: [String: String] = [:]
    /// A text that must be in the body.
    package var body: String?

    package init(path: String) { self.path = path }

    /// The bounds of what a declaration can ask for.
    package static let maximumPath = 1024
    package static let maximumRanges = 16
    package static let maximumHeaders = 8
    package static let maximumBody = 256
}

/// A program of this host that says with its exit status whether an endpoint is well.
package struct ExecCheck: Hashable, Sendable {
    /// The program's absolute path and its arguments.
    package var command: [String]
    /// Who it runs as.
    package var user: String

    package init(command: [String], user: String) {
        self.command = command
        self.user = user
    }

    package static let maximumWords = 32
    package static let directory = "/etc/weft"

    /// Why a file may not name programs: only this host's own configuration may, never what came over the API or the mesh.
    static func obstacle(declaredIn path: String) -> String? {
        path.hasPrefix(directory + "/") && !path.split(separator: "/").contains("..") ? nil : "\(path) is not under \(directory)"
    }
}
