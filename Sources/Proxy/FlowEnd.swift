/// Why a flow ended: the one list behind the access log, the metric label `reason` and `weft connections`.
package enum FlowEnd: UInt8, CaseIterable, Sendable {
    case completed
    case clientReset, serverReset
    case idleTimeout, halfClosedTimeout
    case unknownCaller, noOriginalDestination, loop
    case noSuchPort, noEndpoint
    case connectRefused, connectTimeout, connectFailed
    case tunnelConnectFailed, tunnelConnectTimeout, tunnelTLSFailed, tunnelIdentityMismatch, tunnelRefused, tunnelLost, noCertificate
    case notLocalEndpoint, wrongIdentity, malformedRequest
    case flowLimit, tunnelLimit, descriptorLimit, memoryLimit
    case namespaceFlowLimit, namespaceRateLimit, namespaceMemoryLimit
    case agentStopping
    case notReady

    /// The word for metrics and logs.
    package var code: String {
        switch self {
        case .completed: "completed"
        case .clientReset: "client_reset"
        case .serverReset: "server_reset"
        case .idleTimeout: "idle_timeout"
        case .halfClosedTimeout: "half_closed_timeout"
        case .unknownCaller: "unknown_caller"
        case .noOriginalDestination: "no_original_destination"
        case .loop: "loop"
        case .noSuchPort: "no_such_port"
        case .noEndpoint: "no_endpoint"
        case .connectRefused: "connect_refused"
        case .connectTimeout: "connect_timeout"
        case .connectFailed: "connect_failed"
        case .tunnelConnectFailed: "tunnel_connect_failed"
        case .tunnelConnectTimeout: "tunnel_connect_timeout"
        case .tunnelTLSFailed: "tunnel_tls_failed"
        case .tunnelIdentityMismatch: "tunnel_identity_mismatch"
        case .tunnelRefused: "tunnel_refused"
        case .tunnelLost: "tunnel_lost"
        case .noCertificate: "no_certificate"
        case .notLocalEndpoint: "not_local_endpoint"
        case .wrongIdentity: "wrong_identity"
        case .malformedRequest: "malformed_request"
        case .flowLimit: "flow_limit"
        case .tunnelLimit: "tunnel_limit"
        case .descriptorLimit: "descriptor_limit"
        case .memoryLimit: "memory_limit"
        case .namespaceFlowLimit: "namespace_flow_limit"
        case .namespaceRateLimit: "namespace_rate_limit"
        case .namespaceMemoryLimit: "namespace_memory_limit"
        case .agentStopping: "agent_stopping"
        case .notReady: "not_ready"
        }
    }

    /// What happened and what to do, for people. Empty for ordinary ends.
    package var hint: String {
        switch self {
        case .completed, .clientReset, .serverReset: ""
        case .idleTimeout: "nothing moved in either direction for timeouts.idle"
        case .halfClosedTimeout: "one side had closed and nothing came from the other for timeouts.halfClosed"
        case .unknownCaller: "the process that made this connection could not be found in a captured cgroup; it may have exited, or moved to another cgroup"
        case .noOriginalDestination: "the kernel has no redirected connection for this one; nothing but captured traffic may use the proxy's ports"
        case .loop: "the connection was made to the proxy's own port; call the service by its name instead"
        case .noSuchPort: "the service exists but not on this port; `weft services` lists its ports"
        case .noEndpoint: "no endpoint of this service is healthy and reachable; see `weft services NAME` and `weft members`"
        case .connectRefused: "the application did not accept the connection; is it listening at the registered address?"
        case .connectTimeout: "the application did not answer within timeouts.connect"
        case .connectFailed: "the connection could not be made; the kernel's reason is in the log"
        case .tunnelConnectFailed: "the other node refused port 15008 or cannot be reached; is weftd running there?"
        case .tunnelConnectTimeout: "port 15008 of the other node did not answer; is a firewall between the nodes?"
        case .tunnelTLSFailed: "the TLS handshake with the other node failed; `weft certs` on both nodes shows the certificates"
        case .tunnelIdentityMismatch: "the other node presented another workload's certificate than the endpoint's"
        case .tunnelRefused: "the other node refused the request; its access log has the reason"
        case .tunnelLost: "the tunnel to the other node broke while the flow was open"
        case .noCertificate: "this workload has no certificate yet; `weft certs` shows why"
        case .notLocalEndpoint: "the requested address is not an endpoint of this node; only registered endpoints can be reached through a tunnel"
        case .wrongIdentity: "the requested endpoint belongs to another workload than the one whose certificate was presented"
        case .malformedRequest: "the tunnel request was not a CONNECT with an address and a port"
        case .flowLimit: "limits.flows is reached"
        case .tunnelLimit: "limits.tunnelsPerPeer tunnels to the endpoint's node are open and full; raise it or limits.streamsPerTunnel"
        case .descriptorLimit: "the open-files limit is reached; raise LimitNOFILE"
        case .memoryLimit: "the buffer bound is reached"
        case .namespaceFlowLimit: "the namespace has as many flows as it may; raise limits.namespace.flows, or give it a number of its own in limits.namespaces"
        case .namespaceRateLimit:
            "the namespace opens flows faster than it may; raise limits.namespace.newFlowsPerSecond, or give it a rate of its own in limits.namespaces"
        case .namespaceMemoryLimit:
            "the namespace's slow readers and open streams take all the memory that it may have; raise limits.namespace.memory, or give it a bound of its own in limits.namespaces"
        case .agentStopping: "the agent is stopping"
        case .notReady: "the agent has not loaded its configuration yet"
        }
    }

    /// Who is at fault, as in the design's one-error rule.
    package var source: String {
        switch self {
        case .completed: "-"
        case .clientReset, .unknownCaller, .noOriginalDestination, .loop, .malformedRequest: "downstream"
        case .serverReset, .connectRefused, .connectTimeout, .connectFailed, .noEndpoint: "upstream"
        case .tunnelConnectFailed, .tunnelConnectTimeout, .tunnelTLSFailed, .tunnelIdentityMismatch, .tunnelRefused, .tunnelLost: "peer"
        case .noSuchPort, .notLocalEndpoint, .wrongIdentity, .namespaceFlowLimit, .namespaceRateLimit, .namespaceMemoryLimit: "policy"
        case .idleTimeout, .halfClosedTimeout, .noCertificate, .flowLimit, .tunnelLimit, .descriptorLimit, .memoryLimit, .agentStopping, .notReady: "internal"
        }
    }
}
