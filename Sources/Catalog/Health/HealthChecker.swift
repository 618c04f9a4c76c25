import MeshModel
import Platform
import Reactor
import Settings

/// Runs the health checks of this node's instances on the control loop.
///
/// A check goes to the instance's own address and nowhere else, or to a program of this host.
@Control
final class HealthChecker {
    /// The checks that may be under way at once; others wait a little, so that thousands of silent addresses cannot take all descriptors.
    static let simultaneous = 256
    /// The programs among them: each is a unit of systemd with processes of its own.
    static let simultaneousPrograms = 8
    private static let busyRetry = Duration.milliseconds(200)

    private struct Target {
        var machine: HealthMachine
        var lastFailure = ""
        var lastOutput = ""
        /// Of the next check, or of the end of what the last heartbeat said.
        var timer: TimerID?
        /// The check that is under way, which is not one of before `stop` and `start`.
        var run: UInt64?
        var probe: (any Probe)?
        var isProgram: Bool { if case .exec = machine.check.kind { true } else { false } }
    }

    private let mark: UInt32
    private let onChange: @Control (LocalInstance.ID, Health) -> Void
    private var targets: [LocalInstance.ID: Target] = [:]
    private var running = 0
    private var programs = 0
    private var runs: UInt64 = 0
    private(set) var counters = HealthCounters()

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
        switch check.kind {
        case nil: break
        case .ttl(let ttl): expireAfter(ttl, id)
        case .tcp, .http, .grpc, .exec: run(id)
        }
    }

    func stop(_ id: LocalInstance.ID) {
        guard let target = targets.removeValue(forKey: id) else { return }
        if let timer = target.timer { ControlLoop.shared.cancel(timer) }
        if let probe = target.probe { probe.cancel() }
        if target.run != nil { ended(target) }
    }

    func stopAll() { for id in Array(targets.keys) { stop(id) } }

    func health(_ id: LocalInstance.ID) -> Health { targets[id]?.machine.health ?? .unknown }
    func lastFailure(_ id: LocalInstance.ID) -> String { targets[id]?.lastFailure ?? "" }
    func lastOutput(_ id: LocalInstance.ID) -> String { targets[id]?.lastOutput ?? "" }

    // MARK: What the application says

    /// The word of an instance whose check is `ttl`, good until its time is over.
    func heartbeat(_ id: LocalInstance.ID, _ result: HealthMachine.Result, note: String) {
        guard case .ttl(let ttl) = targets[id]?.machine.check.kind else { return }
        if let timer = targets[id]?.timer { ControlLoop.shared.cancel(timer) }
        expireAfter(ttl, id)
        take(id, ProbeResult(failure: result == .passed ? nil : "the application says that it is failing\(note.isEmpty ? "" : ": \(note)")", output: note))
    }

    private func expireAfter(_ ttl: Duration, _ id: LocalInstance.ID) {
        targets[id]?.timer = ControlLoop.shared.after(ttl) { [weak self] in
            guard let self else { return }
            targets[id]?.timer = nil
            take(id, ProbeResult(failure: "no heartbeat came within \(ttl.milliseconds) ms", output: lastOutput(id)))
        }
    }

    // MARK: One check

    private func run(_ id: LocalInstance.ID) {
        guard let target = targets[id] else { return }
        guard running < Self.simultaneous, !target.isProgram || programs < Self.simultaneousPrograms else {
            counters.postponed += 1
            targets[id]?.timer = ControlLoop.shared.after(Self.busyRetry) { [weak self] in self?.run(id) }
            return
        }
        runs += 1
        let (number, started) = (runs, MonotonicTime.now())
        targets[id]?.run = number
        targets[id]?.timer = nil
        running += 1
        if target.isProgram { programs += 1 }
        let probe = probe(id, target.machine.check) { [weak self] result in self?.finish(id, number, started, result) }
        // It may be over already.
        if targets[id]?.run == number { targets[id]?.probe = probe }
    }

    private func probe(_ id: LocalInstance.ID, _ check: EndpointCheck, done: @escaping @Control (ProbeResult) -> Void) -> any Probe {
        let address = SocketAddress(id.address.ip, port: check.port ?? id.address.port)
        let conversation: (any CheckConversation)?
        switch check.kind {
        case .http(let http): conversation = HTTPConversation(http, address: address)
        case .grpc(let service): conversation = GRPCConversation(service: service, address: address)
        case .exec(let exec): return ExecProbe.start(exec, timeout: check.timeout, done: done)
        case nil, .tcp, .ttl: conversation = nil
        }
        return SocketProbe.start(address, mark: mark, timeout: check.timeout, conversation: conversation, done: done)
    }

    private func finish(_ id: LocalInstance.ID, _ number: UInt64, _ started: MonotonicTime, _ result: ProbeResult) {
        guard let target = targets[id], target.run == number else { return }
        ended(target)
        let wait = max(.milliseconds(10), target.machine.wait(random: .random(in: 0..<1)) - (MonotonicTime.now() - started))
        targets[id]?.run = nil
        targets[id]?.probe = nil
        targets[id]?.timer = ControlLoop.shared.after(wait) { [weak self] in self?.run(id) }
        take(id, result)
    }

    private func ended(_ target: Target) {
        running -= 1
        if target.isProgram { programs -= 1 }
    }

    private func take(_ id: LocalInstance.ID, _ result: ProbeResult) {
        guard var target = targets[id], let kind = target.machine.check.kind else { return }
        target.lastFailure = result.failure ?? ""
        target.lastOutput = result.output
        counters.count(kind.word, passed: result.failure == nil)
        let action = target.machine.result(result.failure == nil ? .passed : .failed)
        targets[id] = target
        if case .changed(let health) = action { onChange(id, health) }
    }
}
