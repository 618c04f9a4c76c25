import Capture
import MeshModel
import Platform
import Reactor
import TLS

@testable import Proxy

/// Two nodes in one process, on loopback: `near` has a listener that is not captured, `far` has the endpoint.
@Control
final class Mesh {
    let near: ProxyPool
    let far: ProxyPool
    let entry: SocketAddress
    /// Where the far node takes tunnels.
    let tunnel: SocketAddress
    /// A second listener at the near node, of a workload in the namespace `batch`; that of `entry` is in `shop`, the endpoints at the far node in `stock`.
    let neighbour: SocketAddress?
    private var entryPort: ReservedPort?
    private var neighbourPort: ReservedPort?
    private var tunnelPort: ReservedPort?
    private(set) var snapshots: (near: Snapshot, far: Snapshot)?
    let service = SocketAddress(IPAddress("240.240.0.9")!, port: 9080)
    let names = Interner()
    private(set) var ended: [FlowRecord] = []
    private(set) var problems: [WorkerProblem] = []

    /// - Parameters:
    ///   - endpoints: the addresses registered at the far node; several stand for several instances.
    ///   - expected: the account that the near node takes the endpoints for.
    ///   - direct: relay in plaintext to the first endpoint instead.
    ///   - nearby: one more instance, on the near node.
    ///   - neighbour: with a second listener.
    ///   - through: what stands before the far node's tunnel port; gets its address, and returns its own.
    ///   - start: give both nodes their snapshots and wait until they accept.
    init(_ endpoints: [SocketAddress], expected: String = "server", direct: Bool = false, local: [SocketAddress]? = nil, near nearby: SocketAddress? = nil,
        neighbour: Bool = false, start: Bool = true, adjust: (inout ProxySettings) -> Void = { _ in }, adjustFar: (inout ProxySettings) -> Void = { _ in },
        through: (SocketAddress) throws -> SocketAddress = { $0 }
    ) async throws {
        let entryPort = try ReservedPort()
        let tunnelPort = try ReservedPort()
        entry = entryPort.address
        tunnel = tunnelPort.address
        if neighbour {
            let port = try ReservedPort()
            self.neighbour = port.address
            neighbourPort = consume port
        } else {
            self.neighbour = nil
        }
        self.entryPort = consume entryPort
        self.tunnelPort = consume tunnelPort
        var settings = ProxySettings()
        settings.explicit = [entry] + (self.neighbour.map { [$0] } ?? [])
        adjust(&settings)
        near = try ProxyPool(settings: settings)
        var farSettings = ProxySettings()
        farSettings.tunnel = [tunnel]
        farSettings.timeouts = settings.timeouts
        farSettings.limits = settings.limits
        adjustFar(&farSettings)
        far = try ProxyPool(settings: farSettings)
        let (client, server) = (names.id(Certificates.identity("client")), names.id(Certificates.identity("server")))
        let wanted = names.id(Certificates.identity(expected))
        let way = try through(tunnel)
        var targets = endpoints.map { Snapshot.Target(address: $0, tunnel: way, identity: wanted, node: names.id("far"), eligible: true) }
        if let nearby { targets.append(Snapshot.Target(address: nearby, tunnel: nil, identity: wanted, node: names.id("near"), eligible: true)) }
        let reachable = local ?? endpoints
        let nearSnapshot = try snapshot(
            services: [service: .init(name: names.id("reviews.default"), targets: targets)], local: [:],
            credentials: [client: Certificates.credential("client")],
            workloads: [("web", "shop"), ("jobs", "batch")].map { .init(name: names.id($0), identity: client, tenant: near.tenants.id($1)) }, wanted: wanted,
            listener: direct ? endpoints[0] : service)
        let farSnapshot = try snapshot(
            services: [:], local: Dictionary(uniqueKeysWithValues: reachable.map { ($0, .init(service: names.id("reviews.default"), identity: server, tenant: far.tenants.id("stock"))) }),
            credentials: [server: Certificates.credential("server")], workloads: [], wanted: server)
        snapshots = (nearSnapshot, farSnapshot)
        near.onReport = { [weak self] in self?.note($0) }
        far.onReport = { [weak self] in self?.note($0) }
        guard start else { return }
        for (pool, snapshot) in [(near, nearSnapshot), (far, farSnapshot)] {
            await withCheckedContinuation { continuation in
                pool.onReady = { continuation.resume() }
                pool.apply(snapshot)
            }
        }
    }

    private func snapshot(
        services: [SocketAddress: Snapshot.ServiceEntry], local: [SocketAddress: Snapshot.LocalEndpoint], credentials: [NameID: Credential],
        workloads: [Snapshot.WorkloadEntry], wanted: NameID, listener: SocketAddress? = nil
    ) throws -> Snapshot {
        Snapshot(
            trustDomain: Certificates.trustDomain, names: names, services: services, byEndpoint: [:], local: local, workloads: workloads,
            listeners: workloads.map { .init(destination: listener, workload: $0) }, cgroups: CgroupIndex(),
            trust: try Certificates.trust(), credentials: credentials, join: nil, nodeIdentity: wanted, node: 0, serverNames: ["server.default.mesh.test": wanted], soleWorkload: wanted,
            nodeAddresses: [:], serverNameOf: [wanted: "server.default.mesh.test"])
    }

    /// How many flows have ended since the start, forgotten ones too.
    private(set) var endedCount = 0
    func forgetEnded() { ended = [] }

    private func note(_ report: WorkerReport) {
        switch report {
        case .flows(let flows):
            ended += flows
            endedCount += flows.count
        case .problem(let problem): problems.append(problem)
        default: break
        }
    }

    /// Waits until so many flows have ended.
    func ends(_ count: Int) async -> [FlowRecord] {
        await until { ended.count >= count }
        return ended
    }

    /// Waits for something, so many seconds at most.
    func until(seconds: Int = 5, _ condition: () async -> Bool) async {
        for _ in 0..<100 * seconds {
            if await condition() { return }
            await ControlLoop.shared.sleep(.milliseconds(10))
        }
    }

    /// Sums a counter of both nodes.
    func sum(_ counter: (WorkerStatistics) -> Int) async -> Int {
        (await near.statistics() + (await far.statistics())).map(counter).reduce(0, +)
    }

    func stop() async {
        await near.drain(grace: .milliseconds(100))
        await far.drain(grace: .milliseconds(100))
        entryPort = nil
        neighbourPort = nil
        tunnelPort = nil
    }
}

/// Runs blocking work on a thread of its own.
func blockingWork<T: Sendable>(_ body: @escaping @Sendable () throws -> T) async throws -> T {
    try await withCheckedThrowingContinuation { continuation in
        Peers.thread { continuation.resume(with: Result { try body() }) }
    }
}
