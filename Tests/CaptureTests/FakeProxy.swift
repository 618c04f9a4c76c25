import Glibc
import Logging
import MeshModel
import Netfilter
import Platform
import Reactor

@testable import Capture

/// Stands where the agent's listeners are: tells every caller in one line where it wanted to go and who it is, then closes. Inbound
/// it has only the connection's own two addresses to go by.
@Control
final class FakeProxy {
    private let engine: CaptureEngine
    private let lookup: CallerLookup
    private var watches: [WatchID] = []
    private var descriptors: [CInt] = []

    init(_ engine: CaptureEngine) throws {
        self.engine = engine
        lookup = try CallerLookup()
        for address in [IPAddress.anyV4, .anyV6] {
            try listen(try Socket.tcpListener(SocketAddress(address, port: engine.settings.outboundPort)).release())
        }
        let hasV6 = (try? Socket.udp(SocketAddress(.loopbackV6, port: 0))) != nil
        for address in hasV6 ? [IPAddress.loopbackV4, .loopbackV6] : [.loopbackV4] {
            let inbound = SocketAddress(address, port: engine.settings.inboundPort)
            try listen(try Socket.tcpListener(inbound, transparent: true, mark: engine.settings.excludedMark).release(), isInbound: true)
            let local = SocketAddress(address, port: engine.settings.dnsPort)
            try listen(try Socket.tcpListener(local).release())
            let fd = try Socket.udp(local).release()
            descriptors.append(fd)
            watches.append(try ControlLoop.shared.watch(fd, .read) { [weak self] _ in self?.answer(fd, local) })
        }
    }

    func close() {
        for watch in watches { ControlLoop.shared.unwatch(watch) }
        for fd in descriptors { _ = Glibc.close(fd) }
        watches = []
        descriptors = []
    }

    private func listen(_ fd: CInt, isInbound: Bool = false) throws {
        descriptors.append(fd)
        watches.append(
            try ControlLoop.shared.watch(fd, .read) { [weak self] _ in
                guard let self, case .accepted(let connection, let peer) = Socket.accept(fd) else { return }
                guard let local = Socket.localAddress(connection.raw) else { return }
                let line = Array((isInbound ? "inbound \(local) from \(peer.ip)" : describe(.tcp, peer, local)).utf8)
                _ = line.withUnsafeBytes { Socket.write(connection.raw, $0) }
            })
    }

    private func answer(_ fd: CInt, _ local: SocketAddress) {
        var buffer = [UInt8](repeating: 0, count: 512)
        let (_, peer) = buffer.withUnsafeMutableBytes { Socket.receive(fd, into: $0) }
        guard let peer else { return }
        let line = Array(describe(.udp, peer, local).utf8)
        _ = line.withUnsafeBytes { Socket.send(fd, $0, to: peer) }
    }

    private func describe(_ transport: FlowProtocol, _ peer: SocketAddress, _ local: SocketAddress) -> String {
        let (flow, match) = lookup.caller(transport, peer: peer, local: local, in: engine.index)
        let who: String =
            switch match {
            case .workload(let index): engine.index.workloads[index].name
            case .unknown(let reason): "unknown(\(reason.rawValue))"
            }
        return "\(local.port) \(flow?.destination.description ?? "?") \(who)"
    }
}

extension CaptureEngine {
    /// An engine for a lab: the node addresses are near's, and every cgroup directly below the lab's is a workload by its own name.
    static func forTest(_ lab: NetLab, _ names: String..., change: (inout CaptureSettings) -> Void = { _ in }) throws -> CaptureEngine {
        var settings = CaptureSettings()
        settings.nodeAddressV4 = IPAddress("10.77.0.1")
        settings.nodeAddressV6 = IPAddress("fd07::1")
        change(&settings)
        let engine = CaptureEngine(settings: settings, logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
        try engine.setWorkloads(
            names.map { Workload(name: $0, namespace: "default", account: $0, selector: .cgroup("\(lab.cgroup.path)/\($0)")) })
        return engine
    }
}
