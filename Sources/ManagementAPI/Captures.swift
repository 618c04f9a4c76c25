/// `GET /v1/workloads`.
package struct WorkloadList: Codable, Sendable, Equatable {
    package var workloads: [WorkloadEntry]
    package init(workloads: [WorkloadEntry]) { self.workloads = workloads }
}

package struct WorkloadEntry: Codable, Sendable, Equatable {
    package var name: String
    package var namespace: String
    package var account: String
    /// Its SPIFFE identity; nil until the node belongs to a mesh.
    package var identity: String?
    /// `unit reviews.service`.
    package var selector: String
    /// The cgroups that are captured now, as paths below the mount.
    package var cgroups: [String]
    /// The services it serves, `reviews.default`.
    package var services: [String]
    /// `valid`, `expiring`, `expired`, `pending` or `none`.
    package var certificate: String
    package init(
        name: String, namespace: String, account: String, identity: String?, selector: String, cgroups: [String] = [], services: [String] = [],
        certificate: String
    ) {
        self.name = name
        self.namespace = namespace
        self.account = account
        self.identity = identity
        self.selector = selector
        self.cgroups = cgroups
        self.services = services
        self.certificate = certificate
    }
}

/// What a capture selects.
package enum CaptureKind: String, Codable, Sendable, CaseIterable { case unit, slice, cgroup }

/// `GET /v1/captures`.
package struct CaptureList: Codable, Sendable, Equatable {
    package var captures: [CaptureEntry]
    package init(captures: [CaptureEntry]) { self.captures = captures }
}

package struct CaptureEntry: Codable, Sendable, Equatable {
    package enum State: String, Codable, Sendable, CaseIterable {
        /// At least one cgroup is in the kernel's set.
        case captured
        /// Nothing that matches runs.
        case waiting
        /// Something matches but may not be captured; `reason` says why.
        case refused
    }
    package enum Origin: String, Codable, Sendable, CaseIterable {
        /// Declared in the configuration file; only an edit takes it away.
        case configuration
        /// Added through this API; kept across restarts.
        case api
    }
    package var kind: CaptureKind
    package var selector: String
    package var workload: String
    package var namespace: String
    package var account: String
    package var allowDelegated: Bool
    package var origin: Origin
    package var state: State
    package var reason: String
    package var cgroups: [String]
    package init(
        kind: CaptureKind, selector: String, workload: String, namespace: String, account: String, allowDelegated: Bool = false, origin: Origin,
        state: State, reason: String = "", cgroups: [String] = []
    ) {
        self.kind = kind
        self.selector = selector
        self.workload = workload
        self.namespace = namespace
        self.account = account
        self.allowDelegated = allowDelegated
        self.origin = origin
        self.state = state
        self.reason = reason
        self.cgroups = cgroups
    }
}

/// `POST /v1/captures`.
package struct CaptureRequest: APIRequest {
    package enum CodingKeys: String, CodingKey, CaseIterable { case kind, selector, namespace, account, workload, allowDelegated, dryRun }
    package var kind: CaptureKind
    /// A unit's or slice's name or a cgroup's path; globs allowed.
    package var selector: String
    package var namespace: String
    /// The account in its identity; nil: from the selector, `reviews.service` gives `reviews`.
    package var account: String?
    /// The workload's name on this node; nil: the account.
    package var workload: String?
    package var allowDelegated: Bool
    /// Check and report only.
    package var dryRun: Bool

    package init(
        kind: CaptureKind, selector: String, namespace: String = "default", account: String? = nil, workload: String? = nil,
        allowDelegated: Bool = false, dryRun: Bool = false
    ) {
        self.kind = kind
        self.selector = selector
        self.namespace = namespace
        self.account = account
        self.workload = workload
        self.allowDelegated = allowDelegated
        self.dryRun = dryRun
    }
    package init(from decoder: any Decoder) throws {
        let keys = try decoder.container(keyedBy: CodingKeys.self)
        kind = try keys.decode(CaptureKind.self, forKey: .kind)
        selector = try keys.decode(String.self, forKey: .selector)
        namespace = try keys.decodeIfPresent(String.self, forKey: .namespace) ?? "default"
        account = try keys.decodeIfPresent(String.self, forKey: .account)
        workload = try keys.decodeIfPresent(String.self, forKey: .workload)
        allowDelegated = try keys.decodeIfPresent(Bool.self, forKey: .allowDelegated) ?? false
        dryRun = try keys.decodeIfPresent(Bool.self, forKey: .dryRun) ?? false
    }
}

/// `DELETE /v1/captures`.
package struct CaptureRemoval: Sendable, Equatable {
    package var kind: CaptureKind
    package var selector: String
    package init(kind: CaptureKind, selector: String) {
        self.kind = kind
        self.selector = selector
    }
}

/// What a change of captures came to. The agent writes no unit files: the command line installs the drop-in.
package struct CaptureReport: Codable, Sendable, Equatable {
    package struct DropIn: Codable, Sendable, Equatable {
        /// The unit whose drop-in it is.
        package var unit: String
        /// The file's name in `<unit>.d`.
        package var fileName: String
        package var text: String
        package init(unit: String, fileName: String, text: String) {
            self.unit = unit
            self.fileName = fileName
            self.text = text
        }
    }
    package var capture: CaptureEntry
    /// For a unit that must wait for its capture; nil for slices, cgroups and globs.
    package var dropIn: DropIn?
    /// One sentence each, as "connections that exist now are left alone".
    package var notes: [String]
    package init(capture: CaptureEntry, dropIn: DropIn? = nil, notes: [String] = []) {
        self.capture = capture
        self.dropIn = dropIn
        self.notes = notes
    }
}

/// `GET /v1/captures/ready`.
package struct CaptureReadyRequest: Sendable, Equatable {
    package static let defaultTimeoutSeconds = 10
    package static let maximumTimeoutSeconds = 300
    package var unit: String
    package var timeoutSeconds: Int
    /// The process that asks, as the kernel says (SO_PEERCRED): it runs in the unit's cgroup when systemd started it. 0: unknown.
    package var callerPID: Int32
    package init(unit: String, timeoutSeconds: Int = Self.defaultTimeoutSeconds, callerPID: Int32 = 0) {
        self.unit = unit
        self.timeoutSeconds = timeoutSeconds
        self.callerPID = callerPID
    }
}

package struct CaptureReadyReport: Codable, Sendable, Equatable {
    package var unit: String
    package var cgroups: [String]
    package init(unit: String, cgroups: [String]) {
        self.unit = unit
        self.cgroups = cgroups
    }
}
