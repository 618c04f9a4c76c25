import MeshModel
import Platform
import Reactor

/// Runs the health checks of this node's instances on the control loop.
///
/// A check connects to the instance's own address and nowhere else, and resets the connection: it leaves nothing behind in either kernel.
@Control
final class HealthChecker {
    /// The checks that may be under way at once; others wait a little, so that thousands of silent addresses cannot take all descriptors.
    static let simultaneous = 256
    private static let busyRetry = Duration.milliseconds(200)

    private struct Target {
        var machine: HealthMachine
        var lastFailure = ""
        var timer: TimerID?
        var probe: Probe?
    }
    private final class Probe {
        var fd: OwnedFD?
        var watch: WatchID?
        var timer: TimerID?
        var isOver = false
        let started: MonotonicTime
        init(started: MonotonicTime) { self.started = started }
    }

    private let mark: UInt32
    private let onChange: @Control (LocalInstance.ID, Health) -> Void
    private var targets: [LocalInstance.ID: Target] = [:]
    private var running = 0
    private(set) var passed: UInt64 = 0
    private(set) var failed: UInt64 = 0
    /// Checks put off because too many were under way.
    private(set) var postponed: UInt64 = 0

    init(mark: UInt32, onChange: @escaping @Control (LocalInstance.ID, Health) -> Void) {
        self.mark = mark
        self.onChange = onChange
    }

    /// Checks at once and from then on; with other settings than before it starts anew.
    func start(_ id: LocalInstance.ID, _ check: EndpointCheck) {
        if let target = targets[id] {
            if target.machine.check == check { return }
            stop(id)
        }
        targets[id] = Target(machine: HealthMachine(check))
        if check.kind != .none { run(id) }
    }

    func stop(_ id: LocalInstance.ID) {
        guard let target = targets.removeValue(forKey: id) else { return }
        if let timer = target.timer { ControlLoop.shared.cancel(timer) }
        if let probe = target.probe { end(probe) }
    }

    func stopAll() { for id in Array(targets.keys) { stop(id) } }

    func health(_ id: LocalInstance.ID) -> Health { targets[id]?.machine.health ?? .unknown }
    func lastFailure(_ id: LocalInstance.ID) -> String { targets[id]?.lastFailure ?? "" }

    // MARK: One check

    private func run(_ id: LocalInstance.ID) {
        guard let check = targets[id]?.machine.check else { return }
        guard running < Self.simultaneous else {
            postponed += 1
            targets[id]?.timer = ControlLoop.shared.after(Self.busyRetry) { [weak self] in self?.run(id) }
            return
        }
        let probe = Probe(started: .now())
        targets[id]?.probe = probe
        targets[id]?.timer = nil
        running += 1
        let address = SocketAddress(id.address.ip, port: check.port ?? id.address.port)
        do throws(Errno) {
            let fd = try Socket.connect(to: address, mark: mark)
            let raw = fd.raw
            probe.fd = consume fd
            probe.watch = try ControlLoop.shared.watch(raw, .write) { [weak self] _ in
                self?.finish(id, probe, Socket.error(raw).map { "connecting to \(address) failed: \(Errno.message($0.code))" })
            }
        } catch {
            return finish(id, probe, "connecting to \(address) failed: \(Errno.message(error.code))")
        }
        probe.timer = ControlLoop.shared.after(check.timeout) { [weak self] in
            self?.finish(id, probe, "\(address) did not accept a connection within \(check.timeout.milliseconds) ms")
        }
    }

    private func finish(_ id: LocalInstance.ID, _ probe: Probe, _ failure: String?) {
        end(probe)
        guard targets[id]?.probe === probe, var target = targets[id] else { return }
        target.probe = nil
        target.lastFailure = failure ?? ""
        if failure == nil { passed += 1 } else { failed += 1 }
        let action = target.machine.result(failure == nil ? .passed : .failed)
        let elapsed = MonotonicTime.now() - probe.started
        let wait = max(.milliseconds(10), target.machine.wait(random: .random(in: 0..<1)) - elapsed)
        target.timer = ControlLoop.shared.after(wait) { [weak self] in self?.run(id) }
        targets[id] = target
        if case .changed(let health) = action { onChange(id, health) }
    }

    private func end(_ probe: Probe) {
        guard !probe.isOver else { return }
        probe.isOver = true
        if let watch = probe.watch { ControlLoop.shared.unwatch(watch) }
        if let timer = probe.timer { ControlLoop.shared.cancel(timer) }
        // An ordinary end: many applications log a reset as an error.
        _ = probe.fd.take()
        running -= 1
    }
}
