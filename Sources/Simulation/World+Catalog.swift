import Catalog
import MeshModel
import Platform

// The shell of the catalog: records, effects, the view.
extension World {
    /// The local records as the configuration declares them.
    func declareAll(_ node: Node) {
        let info = NodeInfo(name: node.name, tunnel: node.planeAddress, version: "1")
        write(node, .node(node.name), info.recordPayload)
        for number in node.declared.keys.sorted() { declare(node, number) }
    }

    /// Writes or deletes one instance, as `declared` says.
    func declare(_ node: Node, _ number: Int) {
        let key = RecordKey.endpoint("instance\(number)")
        guard let declared = node.declared[number] else {
            node.catalog.delete(key)
            return perform(node)
        }
        write(node, key, endpoint(node, declared).recordPayload(port: 80))
    }

    func endpoint(_ node: Node, _ declared: Node.Declared) -> Endpoint {
        guard let service = ServiceName("s\(declared.service)", namespace: "default"),
            let identity = SPIFFEID(trustDomain: Self.trustDomain, namespace: "default", account: "s\(declared.service)")
        else { preconditionFailure("a service of the simulation has an impossible name") }
        return Endpoint(
            service: service, address: SocketAddress(node.ip, port: declared.port), identity: identity, node: node.name, version: "v\(declared.version)")
    }

    private func write(_ node: Node, _ key: RecordKey, _ payload: [UInt8]) {
        do throws(Refusal) {
            try node.catalog.put(key, payload: payload)
        } catch {
            fail(.honestNodesAreNotRefused, node, "cannot write \(key): \(error)", "a write")
        }
        perform(node)
    }

    /// Carries out what a catalog asked for.
    func perform(_ node: Node) {
        while !node.catalog.effects.isEmpty {
            let effects = node.catalog.effects
            node.catalog.effects = []
            for effect in effects { perform(node, effect) }
        }
        if !node.isCommitArmed, Self.ask(&node.catalog, { $0.isDirty }) {
            node.isCommitArmed = true
            push(.milliseconds(5), node.index, life: node.lives, .commit)
        }
    }

    private func perform(_ node: Node, _ effect: CatalogEffect) {
        switch effect {
        case .send(let message, let peer): if let link = node.links[Node.index(peer)] { post(message, on: link, from: node.index) }
        case .broadcast(let message): for peer in node.links.keys.sorted() { if let link = node.links[peer] { post(message, on: link, from: node.index) } }
        case .viewChanged, .viewImproved:
            guard !node.isPublishArmed else { return }
            node.isPublishArmed = true
            push(pace.debounce, node.index, life: node.lives, .publish)
        // The disk is written when the node ends; see `keep`.
        case .save: break
        case .saveGeneration(let generation): node.savedGeneration = max(node.savedGeneration, generation)
        case .disconnect(let peer): fail(.honestNodesAreNotRefused, node, "cuts \(peer) off", "a message of \(peer)")
        case .event(let event):
            switch event {
            case .refused(let reason, let origin, let peer):
                fail(.honestNodesAreNotRefused, node, "refuses a record of \(origin): \(reason)", "a message of \(peer)")
            case .nodeDropped(let origin, _): node.seen[Node.index(origin)] = .none
            case .nodeAppeared, .generationJumped, .portConflict, .tooManyVersions, .cannotSign: break
            }
        }
    }

    func tick(_ node: Node) {
        push(pace.tick, node.index, life: node.lives, .tick)
        node.catalog.tick(node.clock.local(now))
        perform(node)
        dialDue(node)
    }

    func exchange(_ node: Node) {
        let spread = 0.8 + 0.4 * fraction(node)
        push(.nanoseconds(Int64(Double(pace.exchange.nanoseconds) * spread)), node.index, life: node.lives, .exchange)
        node.catalog.exchange(node.clock.local(now), random: node.random.next())
        perform(node)
    }

    /// What the rest of the agent sees from now on.
    func publish(_ node: Node) {
        node.isPublishArmed = false
        node.isViewOld = true
        var addresses: [String: SocketAddress] = [:]
        if pace.isFullMesh {
            build(node)
            addresses = Self.ask(&node.catalog, { $0.nodeAddresses })
        } else {
            for peer in neighbours(of: node.index) { addresses[nodes[peer].name] = Self.ask(&node.catalog) { $0.nodeAddress(nodes[peer].name) } }
        }
        if addresses != node.addresses {
            node.addresses = addresses
            node.plan.setNodes(addresses, node.clock.local(now))
            dialDue(node)
        }
        perform(node)
    }

    /// In a big world a view is only built when somebody looks at it.
    func build(_ node: Node) {
        guard node.isViewOld else { return }
        node.isViewOld = false
        node.view = node.catalog.view()
        perform(node)
    }

    /// In a big world, by number: those at a distance that is a power of two, some twenty of a thousand, and everybody is within five of everybody.
    func neighbours(of node: Int) -> [Int] {
        var found: [Int] = []
        var distance = 1
        while distance < count {
            if node >= distance { found.append(node - distance) }
            if node + distance < count { found.append(node + distance) }
            distance *= 2
        }
        return found
    }
}
