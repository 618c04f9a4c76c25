/// Every operation of the management API: one list for the server, the command line and the check of `Documentation/openapi.yaml`.
package enum Route: String, CaseIterable, Sendable {
    case getStatus, getVersion, getMetrics
    case initialise, listTokens, createToken, deleteToken, join, leave, listMembers, watchMembers, getGossip, diffCatalog
    case listGossipKeys, addGossipKey, useGossipKey, removeGossipKey
    case listServices, getService, registerService, deregisterService, heartbeat
    case listWorkloads, listCaptures, addCapture, removeCapture, captureReady
    case listResources, applyResources, deleteResource, getRollout, listNodes, changeRights
    case listConnections, listCertificates, renewCertificates, reload

    package enum Method: String, Sendable, CaseIterable { case get = "GET", post = "POST", delete = "DELETE" }
    /// What a caller needs: root may do everything, the groups' names are configurable.
    package enum Access: Sendable {
        case read, change
        /// A process that may read may do it for what its own workload serves; who may change anything, for all.
        case own
    }

    package var method: Method {
        switch self {
        case .getStatus, .getVersion, .getMetrics, .listTokens, .listMembers, .watchMembers, .getGossip, .listGossipKeys, .diffCatalog, .listServices, .getService,
            .listWorkloads, .listCaptures, .captureReady, .listResources, .getRollout, .listNodes, .listConnections, .listCertificates:
            .get
        case .initialise, .createToken, .join, .leave, .registerService, .heartbeat, .addCapture, .applyResources, .changeRights, .renewCertificates, .reload,
            .addGossipKey, .useGossipKey: .post
        case .deleteToken, .deregisterService, .removeCapture, .deleteResource, .removeGossipKey: .delete
        }
    }

    /// The path; a part in braces is a parameter, as in OpenAPI.
    package var path: String {
        switch self {
        case .getStatus: "/v1/status"
        case .getVersion: "/v1/version"
        case .getMetrics: "/metrics"
        case .initialise: "/v1/init"
        case .listTokens, .createToken: "/v1/tokens"
        case .deleteToken: "/v1/tokens/{id}"
        case .join: "/v1/join"
        case .leave: "/v1/leave"
        case .listMembers: "/v1/members"
        case .watchMembers: "/v1/members/changes"
        case .getGossip: "/v1/gossip"
        case .listGossipKeys, .addGossipKey: "/v1/gossip/keys"
        case .removeGossipKey: "/v1/gossip/keys/{fingerprint}"
        case .useGossipKey: "/v1/gossip/primary"
        case .diffCatalog: "/v1/catalog/diff/{node}"
        case .listServices, .registerService: "/v1/services"
        case .getService, .deregisterService: "/v1/services/{name}"
        case .heartbeat: "/v1/heartbeats/{name}"
        case .listWorkloads: "/v1/workloads"
        case .listCaptures, .addCapture, .removeCapture: "/v1/captures"
        case .captureReady: "/v1/captures/ready"
        case .listResources, .applyResources, .deleteResource: "/v1/resources"
        case .getRollout: "/v1/rollout"
        case .listNodes: "/v1/nodes"
        case .changeRights: "/v1/rights"
        case .listConnections: "/v1/connections"
        case .listCertificates, .renewCertificates: "/v1/certificates"
        case .reload: "/v1/reload"
        }
    }

    /// The parameters that may stand after `?`; any other is refused.
    package var query: [String] {
        switch self {
        case .deregisterService: ["port", "address"]
        case .removeCapture: ["kind", "selector"]
        case .captureReady: ["unit", "timeoutSeconds"]
        case .listConnections: ["limit"]
        case .listResources, .getRollout: ["kind", "namespace", "name"]
        case .deleteResource: ["kind", "namespace", "name", "version"]
        case .watchMembers: ["after", "timeoutSeconds"]
        case .removeGossipKey: ["force"]
        case .getStatus, .getVersion, .getMetrics, .initialise, .listTokens, .createToken, .deleteToken, .join, .leave, .listMembers, .getGossip, .diffCatalog,
            .listServices, .getService, .registerService, .heartbeat, .listWorkloads, .listCaptures, .addCapture, .applyResources, .listNodes,
            .changeRights, .listCertificates, .renewCertificates, .reload, .listGossipKeys, .addGossipKey,
            .useGossipKey:
            []
        }
    }

    package var access: Access { self == .heartbeat ? .own : method == .get ? .read : .change }
}
