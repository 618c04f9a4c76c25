import Logging
import MeshModel
import Platform
import Settings

/// This node's own services.
extension Catalog {
    /// Replaces what files declare. The first error is thrown and nothing changes then.
    package func declare(_ instances: [LocalInstance]) throws(MeshError) {
        var fresh: [LocalInstance.ID: LocalInstance] = [:]
        for instance in instances {
            guard fresh.updateValue(instance, forKey: instance.id) == nil else {
                throw MeshError(
                    .configuration, code: "service_twice", "\(instance.service) is declared twice at \(instance.address)",
                    remedy: "one service has one instance per address: remove one of the two, or change its address")
            }
            try check(instance)
        }
        let touched = Set(fresh.keys).union(declared.keys)
        for id in fresh.keys where registered[id] != nil {
            logger.warning("\(id) is both declared in a file and registered: the file counts")
        }
        declared = fresh
        for id in touched { refresh(id) }
        perform()
    }

    /// Adds or replaces an instance; it is on disk when this returns.
    package func register(_ instance: LocalInstance) async throws(MeshError) {
        try check(instance)
        if case .exec = instance.check.kind {
            throw MeshError(
                .configuration, code: "check_exec", "a check that runs a program cannot be registered, only declared",
                remedy: "declare \(instance.service) in a file under \(ExecCheck.directory)/services.d, which root alone can write, and run `weft reload`")
        }
        guard declared[instance.id] == nil else {
            throw MeshError(
                .configuration, code: "service_declared", "\(instance.id) is declared in a file",
                remedy: "change the file under services.d and run `weft reload`")
        }
        let before = registered
        registered[instance.id] = instance
        do throws(MeshError) {
            try await store.save(registered: Array(registered.values))
        } catch {
            registered = before
            throw error
        }
        refresh(instance.id)
        perform()
    }

    /// Takes registered instances of a service out, of one address or of all; how many there were.
    @discardableResult
    package func deregister(_ service: ServiceName, address: SocketAddress? = nil) async throws(MeshError) -> Int {
        let gone = registered.keys.filter { $0.service == service && (address == nil || $0.address == address) }
        guard !gone.isEmpty else {
            let isDeclared = declared.keys.contains { $0.service == service && (address == nil || $0.address == address) }
            throw MeshError(
                .configuration, code: isDeclared ? "service_declared" : "service_unknown",
                isDeclared ? "\(service) is declared in a file, not registered" : "no instance of \(service) is registered on this node",
                remedy: isDeclared ? "remove the file under services.d and run `weft reload`" : "see `weft services`")
        }
        let before = registered
        for id in gone { registered[id] = nil }
        do throws(MeshError) {
            try await store.save(registered: Array(registered.values))
        } catch {
            registered = before
            throw error
        }
        for id in gone { refresh(id) }
        perform()
        return gone.count
    }

    /// This node's instances, by service and address.
    package var local: [LocalStatus] {
        let all = registered.merging(declared) { $1 }
        return all.sorted { $0.key < $1.key }.map { id, instance in
            LocalStatus(
                instance: instance, source: declared[id] == nil ? .registered : .declared, health: health.health(id),
                lastFailure: health.lastFailure(id), lastOutput: health.lastOutput(id))
        }
    }

    // MARK: Private

    /// Makes record and health check follow what is declared and registered.
    func refresh(_ id: LocalInstance.ID) {
        guard isStarted else { return }
        guard let instance = declared[id] ?? registered[id] else {
            health.stop(id)
            core.delete(key(id))
            return
        }
        health.start(id, instance.check)
        put(instance)
    }

    func healthChanged(_ id: LocalInstance.ID, _ health: Health) {
        guard let instance = declared[id] ?? registered[id] else { return }
        let reason = self.health.lastFailure(id)
        logger.info("\(id) is \(health.rawValue)\(reason.isEmpty ? "" : ": \(reason)")")
        put(instance)
        perform()
        publishNow()
    }

    private func put(_ instance: LocalInstance) {
        do throws(Refusal) {
            try core.put(key(instance.id), payload: payload(instance, health.health(instance.id)))
        } catch {
            // Checked when it came in; only the bounds of the whole node can still be in the way.
            logger.error("\(instance.id) cannot be published: \(error)")
        }
    }

    private func key(_ id: LocalInstance.ID) -> RecordKey { .endpoint(id.description) }
    private func payload(_ instance: LocalInstance, _ health: Health) -> [UInt8] {
        instance.endpoint(node: configuration.info, health: health).recordPayload(port: instance.port)
    }

    /// Whether other nodes would take it.
    private func check(_ instance: LocalInstance) throws(MeshError) {
        do throws(Refusal) {
            _ = try RecordContent.read(
                key(instance.id), payload(instance, .healthy), origin: core.node, trustDomain: core.trustDomain, limits: core.limits)
        } catch {
            throw MeshError(
                .configuration, code: "service_invalid", "\(instance.service) at \(instance.address) cannot be published: \(error)",
                remedy: "correct the declaration; other nodes would refuse it")
        }
    }
}
