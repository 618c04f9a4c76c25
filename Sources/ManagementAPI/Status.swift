/// `GET /v1/status`: how the agent is, in one look.
package struct Status: Codable, Sendable, Equatable {
    package enum State: String, Codable, Sendable, CaseIterable {
        /// Neither `weft init` nor `weft join` has been done.
        case uninitialised
        /// Joining, or waiting for the first certificates or snapshot.
        case joining
        case ready
        /// Works, but not wholly; `reasons` says why.
        case degraded
    }
    package struct Capture: Codable, Sendable, Equatable {
        /// The kernel's redirect table is in force.
        package var active: Bool
        package var workloads: Int
        /// Cgroups in the kernel's set.
        package var cgroups: Int
        /// `bypass` or `block`, for each direction: what happens while no agent runs.
        package var onExitOutbound: String
        package var onExitInbound: String
        package init(active: Bool, workloads: Int, cgroups: Int, onExitOutbound: String, onExitInbound: String) {
            self.active = active
            self.workloads = workloads
            self.cgroups = cgroups
            self.onExitOutbound = onExitOutbound
            self.onExitInbound = onExitInbound
        }
    }
    package struct Members: Codable, Sendable, Equatable {
        package var alive: Int
        package var suspect: Int
        package var dead: Int
        package init(alive: Int, suspect: Int, dead: Int) {
            self.alive = alive
            self.suspect = suspect
            self.dead = dead
        }
    }
    package struct Services: Codable, Sendable, Equatable {
        package var total: Int
        package var endpoints: Int
        /// Endpoints that may get traffic.
        package var usable: Int
        package init(total: Int, endpoints: Int, usable: Int) {
            self.total = total
            self.endpoints = endpoints
            self.usable = usable
        }
    }
    package struct Flows: Codable, Sendable, Equatable {
        package var open: Int
        /// Since the agent's start.
        package var total: UInt64
        package var failed: UInt64
        package init(open: Int, total: UInt64, failed: UInt64) {
            self.open = open
            self.total = total
            self.failed = failed
        }
    }
    package struct Certificates: Codable, Sendable, Equatable {
        package var total: Int
        /// The one that ends first: RFC 3339, and seconds from now (negative when it has ended). Nil without certificates.
        package var nextExpiry: String?
        package var nextExpirySeconds: Int64?
        package init(total: Int, nextExpiry: String?, nextExpirySeconds: Int64?) {
            self.total = total
            self.nextExpiry = nextExpiry
            self.nextExpirySeconds = nextExpirySeconds
        }
    }
    /// The kernel's connection table, which every connection of the host shares.
    package struct Conntrack: Codable, Sendable, Equatable {
        package var count: Int
        package var maximum: Int
        package init(count: Int, maximum: Int) {
            self.count = count
            self.maximum = maximum
        }
    }

    package var version: String
    package var node: String
    /// Nil until the node belongs to a mesh.
    package var trustDomain: String?
    package var state: State
    /// Why the state is not `ready`, one sentence each with the remedy.
    package var reasons: [String]
    /// This node holds the mesh's certificate authority.
    package var authority: Bool
    package var startedAt: String
    package var uptimeSeconds: Int64
    package var workers: Int
    package var capture: Capture
    package var members: Members
    package var services: Services
    package var flows: Flows
    package var certificates: Certificates
    /// Nil when the kernel does not tell.
    package var conntrack: Conntrack?
    /// What works now but will hurt, one sentence each: nss-resolve before dns, conntrack table 80 % full.
    package var warnings: [String]

    package init(
        version: String, node: String, trustDomain: String?, state: State, reasons: [String] = [], authority: Bool, startedAt: String,
        uptimeSeconds: Int64, workers: Int, capture: Capture, members: Members, services: Services, flows: Flows, certificates: Certificates,
        conntrack: Conntrack? = nil, warnings: [String] = []
    ) {
        self.version = version
        self.node = node
        self.trustDomain = trustDomain
        self.state = state
        self.reasons = reasons
        self.authority = authority
        self.startedAt = startedAt
        self.uptimeSeconds = uptimeSeconds
        self.workers = workers
        self.capture = capture
        self.members = members
        self.services = services
        self.flows = flows
        self.certificates = certificates
        self.conntrack = conntrack
        self.warnings = warnings
    }
}

/// `GET /v1/version`.
package struct VersionReport: Codable, Sendable, Equatable {
    /// The agent's, as `0.1.0`.
    package var version: String
    /// The newest path prefix it serves, `v1`.
    package var api: String
    package init(version: String, api: String = "v1") {
        self.version = version
        self.api = api
    }
}

/// `POST /v1/reload`.
package struct ReloadReport: Codable, Sendable, Equatable {
    /// Keys whose new values are in force.
    package var changed: [String]
    /// Keys that changed in the file but hold until the agent restarts.
    package var needsRestart: [String]
    /// `path:line:column: what is wrong`. When there are any, nothing was changed.
    package var errors: [String]
    package init(changed: [String], needsRestart: [String], errors: [String]) {
        self.changed = changed
        self.needsRestart = needsRestart
        self.errors = errors
    }
}
