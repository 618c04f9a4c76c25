import ManagementAPI

/// A request that has passed the access check, in parts.
struct Call: Sendable {
    var route: Route
    /// The path's parameter, decoded; empty when it has none.
    var parameter: String
    var query: [String: String]
    var body: [UInt8]
    /// The caller's process, 0 when unknown.
    var pid: Int32
    var standing: AccessPolicy.Standing = .reader
}

enum Answer: Sendable {
    case json([UInt8])
    /// Prometheus's text format.
    case metrics(String)
}

/// Turns calls into the agent's operations. Knows nothing of HTTP but its words.
struct Dispatcher: Sendable {
    let agent: any AgentControl

    func answer(_ call: Call) async throws(APIError) -> Answer {
        if !call.body.isEmpty, call.route.method != .post {
            throw invalid("\(call.route.method.rawValue) \(call.route.path) takes no body", "leave the body out")
        }
        switch call.route {
        case .getStatus: return try json(await agent.status())
        case .getVersion: return try json(await agent.version())
        case .getMetrics: return .metrics(await agent.metrics())
        case .initialise: return try json(try await agent.initialise(try body(call)))
        case .listTokens: return try json(try await agent.tokens())
        case .createToken: return try json(try await agent.createToken(try body(call)))
        case .deleteToken: return try json(try await agent.deleteToken(id: call.parameter))
        case .join: return try json(try await agent.join(try body(call)))
        case .leave: return try json(try await agent.leave(try body(call)))
        case .listMembers: return try json(try await agent.members())
        case .watchMembers: return try json(try await agent.memberChanges(try watch(call)))
        case .getGossip: return try json(try await agent.gossip())
        case .listGossipKeys: return try json(try await agent.gossipKeys())
        case .addGossipKey: return try json(try await agent.addGossipKey(try body(call)))
        case .useGossipKey: return try json(try await agent.useGossipKey(try body(call)))
        case .removeGossipKey:
            return try json(try await agent.removeGossipKey(GossipKeyRemoval(fingerprint: call.parameter, force: try flag(call, "force"))))
        case .diffCatalog: return try json(try await agent.catalogDiff(node: call.parameter))
        case .listServices: return try json(try await agent.services())
        case .getService: return try json(try await agent.service(try service(call)))
        case .registerService: return try json(try await agent.registerService(try registration(call)))
        case .deregisterService: return try json(try await agent.deregisterService(try deregistration(call)))
        case .heartbeat: return try json(try await agent.heartbeat(try service(call), try heartbeat(call), from: call.standing == .administrator ? nil : call.pid))
        case .listWorkloads: return try json(try await agent.workloads())
        case .listCaptures: return try json(try await agent.captures())
        case .addCapture: return try json(try await agent.addCapture(try body(call)))
        case .removeCapture: return try json(try await agent.removeCapture(try removal(call)))
        case .captureReady: return try json(try await agent.captureReady(try readiness(call)))
        case .listConnections: return try json(try await agent.connections(try connections(call)))
        case .listCertificates: return try json(try await agent.certificates())
        case .renewCertificates:
            try bodyless(call)
            return try json(try await agent.renewCertificates())
        case .listResources: return try json(try await agent.resources(selection(call)))
        case .applyResources: return try json(try await agent.applyResources(try body(call)))
        case .deleteResource:
            _ = (try required(call, "kind"), try required(call, "name"))
            return try json(try await agent.deleteResource(selection(call)))
        case .getRollout: return try json(try await agent.rollout(selection(call)))
        case .listNodes: return try json(try await agent.nodes())
        case .changeRights: return try json(try await agent.changeRights(try body(call)))
        case .reload:
            try bodyless(call)
            return try json(try await agent.reload())
        }
    }

    // MARK: Requests

    private func body<R: APIRequest>(_ call: Call) throws(APIError) -> R { try APIJSON.decodeRequest(R.self, from: call.body) }

    private func service(_ call: Call) throws(APIError) -> ServiceReference {
        guard let service = ServiceReference(call.parameter) else {
            throw invalid("\"\(call.parameter.prefix(128))\" is no service name", "write name or name.namespace, each of letters, digits and hyphens")
        }
        return service
    }

    private func registration(_ call: Call) throws(APIError) -> ServiceRegistration {
        let request: ServiceRegistration = try body(call)
        for (field, label) in [("name", request.name), ("namespace", request.namespace)] where !ServiceReference.isLabel(label) {
            throw invalid("the \(field) \"\(label.prefix(128))\" is no DNS label", "use lower case letters, digits and hyphens, at most 63")
        }
        guard request.port != 0, request.targetPort != 0 else { throw invalid("port 0 cannot be called", "use 1 to 65535") }
        guard 1...1_000_000 ~= request.weight else { throw invalid("the weight is \(request.weight)", "use 1 to 1000000") }
        return request
    }

    private func deregistration(_ call: Call) throws(APIError) -> ServiceDeregistration {
        ServiceDeregistration(
            service: try service(call), port: try number(call, "port", in: 1...65_535).map(UInt16.init), address: call.query["address"])
    }

    private func heartbeat(_ call: Call) throws(APIError) -> HeartbeatRequest {
        let request: HeartbeatRequest = try body(call)
        guard request.note.utf8.count <= HeartbeatRequest.maximumNote else {
            throw invalid("the note has \(request.note.utf8.count) bytes", "use at most \(HeartbeatRequest.maximumNote)")
        }
        return request
    }

    private func removal(_ call: Call) throws(APIError) -> CaptureRemoval {
        let word = try required(call, "kind")
        guard let kind = CaptureKind(rawValue: word) else {
            throw invalid("\"\(word.prefix(64))\" is no kind of capture", "use \(CaptureKind.allCases.map(\.rawValue).joined(separator: ", "))")
        }
        return CaptureRemoval(kind: kind, selector: try required(call, "selector"))
    }

    private func readiness(_ call: Call) throws(APIError) -> CaptureReadyRequest {
        CaptureReadyRequest(
            unit: try required(call, "unit"),
            timeoutSeconds: try number(call, "timeoutSeconds", in: 0...CaptureReadyRequest.maximumTimeoutSeconds)
                ?? CaptureReadyRequest.defaultTimeoutSeconds,
            callerPID: call.pid)
    }

    private func watch(_ call: Call) throws(APIError) -> MemberWatch {
        MemberWatch(
            after: try number(call, "after", in: 0...Int.max).map(UInt64.init),
            timeoutSeconds: try number(call, "timeoutSeconds", in: 0...MemberWatch.maximumTimeoutSeconds) ?? MemberWatch.defaultTimeoutSeconds)
    }

    private func connections(_ call: Call) throws(APIError) -> ConnectionsRequest {
        ConnectionsRequest(limit: try number(call, "limit", in: 1...ConnectionsRequest.maximumLimit) ?? ConnectionsRequest.defaultLimit)
    }

    private func selection(_ call: Call) -> ResourceSelection {
        ResourceSelection(kind: call.query["kind"], namespace: call.query["namespace"], name: call.query["name"], version: call.query["version"])
    }

    private func bodyless(_ call: Call) throws(APIError) {
        guard call.body.isEmpty else { throw invalid("POST \(call.route.path) takes no body", "leave the body out") }
    }

    // MARK: Parts

    private func required(_ call: Call, _ name: String) throws(APIError) -> String {
        guard let text = call.query[name], !text.isEmpty else { throw invalid("the parameter \"\(name)\" is missing", "add ?\(name)=…") }
        return text
    }

    private func flag(_ call: Call, _ name: String) throws(APIError) -> Bool {
        switch call.query[name] {
        case nil, "false": return false
        case "true": return true
        case .some(let text): throw invalid("the parameter \"\(name)\" is \"\(text.prefix(64))\"", "use true or false")
        }
    }

    private func number(_ call: Call, _ name: String, in range: ClosedRange<Int>) throws(APIError) -> Int? {
        guard let text = call.query[name] else { return nil }
        guard let value = Int(text), range.contains(value) else {
            throw invalid("the parameter \"\(name)\" is \"\(text.prefix(64))\"", "use a whole number from \(range.lowerBound) to \(range.upperBound)")
        }
        return value
    }

    private func json(_ value: some Encodable) throws(APIError) -> Answer { .json(try APIJSON.encode(value)) }

    private func invalid(_ message: String, _ remedy: String) -> APIError {
        APIError(.invalid, code: "invalid_request", message, remedy: remedy, source: "client")
    }
}
