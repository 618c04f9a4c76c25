import Capture
import Glibc
import MeshModel
import Netfilter
import Platform
import Reactor
import Traffic

/// Who calls, whom, and which endpoint gets it.
extension Worker {
    /// A captured connection of a local process.
    func startOutbound(_ slot: UInt32, _ flow: UnsafeMutablePointer<Flow>, _ listener: Listener) {
        guard let snapshot else { return finish(slot, flow, .notReady) }
        guard let tuple = redirected(slot, flow, listener) else { return }
        guard let index = caller(tuple, snapshot), index < snapshot.workloads.count else { return finish(slot, flow, .unknownCaller) }
        let workload = snapshot.workloads[index]
        flow.pointee.workload = workload.name
        flow.pointee.sourceIdentity = workload.identity
        guard admit(slot, flow, to: workload.tenant) else { return }
        route(slot, flow, ifNone: .noEndpoint)
    }

    /// A connection to an explicit listener: the configuration says where it goes, and as whom.
    func startExplicit(_ slot: UInt32, _ flow: UnsafeMutablePointer<Flow>, _ number: Int) {
        guard let snapshot else { return finish(slot, flow, .notReady) }
        guard number < snapshot.listeners.count, let destination = snapshot.listeners[number].destination else { return finish(slot, flow, .noEndpoint) }
        flow.pointee.destination = destination
        let workload = snapshot.listeners[number].workload
        flow.pointee.workload = workload.name
        flow.pointee.sourceIdentity = workload.identity
        guard admit(slot, flow, to: workload.tenant) else { return }
        route(slot, flow, ifNone: .noEndpoint)
    }

    /// Plaintext from elsewhere that was going to an endpoint of this node.
    func startInbound(_ slot: UInt32, _ flow: UnsafeMutablePointer<Flow>, _ listener: Listener) {
        guard let snapshot else { return finish(slot, flow, .notReady) }
        guard let destination = Socket.localAddress(flow.pointee.client) else { return finish(slot, flow, .noOriginalDestination) }
        flow.pointee.destination = destination
        guard destination != listener.address else { return finish(slot, flow, .loop) }
        guard let local = snapshot.local[destination] else { return finish(slot, flow, .notLocalEndpoint) }
        flow.pointee.service = local.service
        flow.pointee.destinationIdentity = local.identity
        flow.pointee.node = snapshot.node
        guard admit(slot, flow, to: local.tenant) else { return }
        connectDirect(slot, flow, to: destination, as: flow.pointee.source)
    }

    /// Chooses the next endpoint and goes there. Called again when one failed, as long as nothing was sent.
    /// - Parameter ifNone: why the flow ends when there is no endpoint left: the last failure.
    func route(_ slot: UInt32, _ flow: UnsafeMutablePointer<Flow>, ifNone: FlowEnd, errno: CInt = 0) {
        guard let snapshot else { return finish(slot, flow, .notReady) }
        let destination = flow.pointee.destination
        if let service = snapshot.services[destination] {
            flow.pointee.service = service.name
            guard Int(flow.pointee.attempts) < settings.limits.attempts, let target = pick(service, destination, flow) else {
                return finish(slot, flow, ifNone, errno: errno)
            }
            go(slot, flow, to: target)
        } else if let known = snapshot.byEndpoint[destination] {
            flow.pointee.service = known.service
            guard !flow.pointee.hasTried(destination) else { return finish(slot, flow, ifNone, errno: errno) }
            go(slot, flow, to: known.target)
        } else if VirtualIP.isVirtual(destination.ip) {
            finish(slot, flow, .noSuchPort)
        } else if flow.pointee.attempts > 0 {
            finish(slot, flow, ifNone, errno: errno)
        } else {
            flow.pointee.markTried(destination)
            connectDirect(slot, flow, to: destination)
        }
    }

    private func pick(_ service: Snapshot.ServiceEntry, _ key: SocketAddress, _ flow: UnsafeMutablePointer<Flow>) -> Snapshot.Target? {
        var balancer = balancers[key] ?? RoundRobin(start: UInt32(index))
        func isOpen(_ target: Snapshot.Target) -> Bool { target.eligible && !flow.pointee.hasTried(target.address) }
        var chosen: Int?
        if settings.preferLocal { chosen = balancer.pick(count: service.targets.count) { service.targets[$0].tunnel == nil && isOpen(service.targets[$0]) } }
        if chosen == nil { chosen = balancer.pick(count: service.targets.count) { isOpen(service.targets[$0]) } }
        balancers[key] = balancer
        return chosen.map { service.targets[$0] }
    }

    private func go(_ slot: UInt32, _ flow: UnsafeMutablePointer<Flow>, to target: Snapshot.Target) {
        flow.pointee.markTried(target.address)
        flow.pointee.destinationIdentity = target.identity
        flow.pointee.node = target.node
        flow.pointee.endpoint = target.address
        if let address = target.tunnel {
            flow.pointee.security = .mutualTLS
            openStream(slot, flow, TunnelKey(source: flow.pointee.sourceIdentity, destination: target.identity, address: address))
        } else {
            flow.pointee.security = .local
            connectDirect(slot, flow, to: target.address)
        }
    }

    /// The endpoint could not be reached: another one, if the caller has seen nothing yet.
    func retry(_ slot: UInt32, _ flow: UnsafeMutablePointer<Flow>, _ reason: FlowEnd, errno: CInt = 0) {
        if flow.pointee.direction == .outbound, flow.pointee.client < 0 { return finish(slot, flow, .clientReset) }
        // A stream from another node is not cut but answered, with the reason: `finish` does that.
        guard flow.pointee.direction == .outbound, flow.pointee.phase != .relaying else {
            return finish(slot, flow, reason, errno: errno)
        }
        if flow.pointee.server >= 0 {
            _ = close(flow.pointee.server)
            flow.pointee.server = -1
        }
        detachStream(slot, flow)
        route(slot, flow, ifNone: reason, errno: errno)
    }

    /// The addresses as the caller wrote them, before the kernel's redirect. Nil when there was none, and the flow is finished.
    ///
    /// A connection that was not redirected was made to the proxy's own port: if it were passed through to its destination it would come here again.
    private func redirected(_ slot: UInt32, _ flow: UnsafeMutablePointer<Flow>, _ listener: Listener) -> FlowTuple? {
        guard let entry = try? lookup.original(.tcp, peer: flow.pointee.source, local: listener.address) else {
            finish(slot, flow, .noOriginalDestination)
            return nil
        }
        flow.pointee.source = entry.original.source
        flow.pointee.destination = entry.original.destination
        guard entry.isRedirected, entry.original.destination != listener.address else {
            finish(slot, flow, .loop)
            return nil
        }
        return entry.original
    }

    /// The workload that calls, as an index into the snapshot's; nil when there is none to be found.
    private func caller(_ tuple: FlowTuple, _ snapshot: Snapshot) -> Int? {
        guard case .workload(let index) = lookup.workload(.tcp, of: tuple, in: snapshot.cgroups) else { return nil }
        return index
    }
}
