import Glibc
import Platform
import Reactor
import Synchronization
import Testing
import Traffic

@testable import Proxy

@Suite("The table of namespaces")
struct TenantTableTests {
    @Test("a namespace keeps its number, and those beyond the bound share one with the limits of every namespace")
    func numbers() {
        let tenants = Tenants(bound: 2)
        tenants.setLimits(NamespaceLimits(flows: 5), exceptions: ["b": NamespaceLimits(flows: 1), "d": NamespaceLimits(flows: 9)])
        #expect(["a", "b", "c", "d", "a"].map(tenants.id) == [1, 2, 0, 0, 1])
        #expect([0, 1, 2].map { tenants.entry($0).pointee.limits.flows } == [5, 5, 1])
        tenants.setLimits(NamespaceLimits(flows: 7), exceptions: ["a": NamespaceLimits(flows: 3)])
        #expect([0, 1, 2].map { tenants.entry($0).pointee.limits.flows } == [7, 3, 7])
        #expect(tenants.figures().map(\.namespace) == ["(others)", "a", "b"])
    }

    @Test("workers on all cores never have more together than the namespace may, and leave nothing behind")
    func together() async throws {
        let tenants = Tenants()
        let id = tenants.id("a")
        tenants.setLimits(NamespaceLimits(flows: 3, memory: 100_000))
        let (live, bytes, wrong) = (Counter(), Counter(), Counter())
        try await withThrowingTaskGroup(of: Void.self) { group in
            for worker in 0..<4 {
                group.addTask {
                    try await blockingWork {
                        for turn in 0..<20_000 {
                            guard tenants.entry(id).pointee.enter(at: MonotonicTime(nanoseconds: UInt64(turn))) == nil else { continue }
                            if live.add(1) > 3 { _ = wrong.add(1) }
                            if tenants.entry(id).pointee.charge(40_000, spare: worker == 0) {
                                if bytes.add(40_000) > 100_000 { _ = wrong.add(1) }
                                _ = bytes.add(-40_000)
                                tenants.entry(id).pointee.discharge(40_000)
                            }
                            _ = live.add(-1)
                            tenants.entry(id).pointee.leave()
                        }
                    }
                }
            }
            try await group.waitForAll()
        }
        #expect(wrong.add(0) == 0)
        let figures = tenants.figures()[1]
        #expect(figures.flows == 0 && figures.memory == 0)
    }

    @Test("of a flood at all workers at once, as many flows are admitted as of one at one")
    func rateTogether() async throws {
        let tenants = Tenants()
        let id = tenants.id("a")
        tenants.setLimits(NamespaceLimits(flows: 1_000_000, newFlowsPerSecond: 100_000))
        let (waiting, admitted) = (Counter(), Counter())
        try await withThrowingTaskGroup(of: Void.self) { group in
            for _ in 0..<4 {
                group.addTask {
                    try await blockingWork {
                        _ = waiting.add(1)
                        while waiting.add(0) < 4 { sched_yield() }
                        // The same moment for all: only the burst, a second's worth, is there to be had.
                        for _ in 0..<50_000 where tenants.entry(id).pointee.enter(at: MonotonicTime(nanoseconds: 1)) == nil { _ = admitted.add(1) }
                    }
                }
            }
            try await group.waitForAll()
        }
        #expect(admitted.add(0) == 100_000)
        #expect(tenants.figures()[1].refused == [.flows: 0, .rate: 100_000, .memory: 0])
    }

    // MARK: What one flow costs

    /// A worker that does not run, and a flow in it.
    private static func flow(_ direction: Direction, memory: Int) throws -> (Worker, UInt32, UnsafeMutablePointer<Flow>) {
        let worker = try Worker(index: 0, settings: ProxySettings(), reports: Mailbox(bound: 16))
        worker.tenants.setLimits(NamespaceLimits(memory: memory))
        let slot = worker.flows.allocate()!.slot
        let flow = worker.flows[slot]
        flow.pointee.phase = .relaying
        flow.pointee.direction = direction
        #expect(worker.admit(slot, flow, to: worker.tenants.id("a")))
        return (worker, slot, flow)
    }
    private static func charged(_ worker: Worker) -> Int { worker.tenants.figures()[1].memory }

    @Test("a flow is charged, and its end gives everything back once", arguments: [Direction.outbound, .tunnel])
    func flowEnds(direction: Direction) throws {
        let (worker, slot, flow) = try Self.flow(direction, memory: 1 << 30)
        #expect(worker.charge(flow, 1000) && worker.charge(flow, 500))
        worker.discharge(flow, 300)
        #expect(flow.pointee.charged == 1200 && Self.charged(worker) == 1200)
        #expect(!worker.charge(flow, 1 << 30) && !worker.charge(flow, 1 << 29 | 1 << 28, spare: true))
        #expect(flow.pointee.charged == 1200 && Self.charged(worker) == 1200)
        let window = try #require(worker.openWindow(flow))
        let bytes = [UInt8](repeating: 7, count: 10_000)
        #expect(worker.hold(&flow.pointee.up, bytes, bytes.count) == nil && worker.hold(&flow.pointee.down, bytes, bytes.count) == nil)
        // One of the two stashes is in the window.
        #expect(Self.charged(worker) == 1200 + window + 10_000)
        worker.finish(slot, flow, .completed)
        worker.finish(slot, flow, .completed)
        #expect(Self.charged(worker) == 0 && worker.tenants.figures()[1].flows == 0 && worker.bufferedBytes == 0)
    }

    @Test("bytes that wait cost nothing beyond the window that was advertised for them", arguments: [Direction.outbound, .tunnel])
    func windowPays(direction: Direction) throws {
        let (worker, slot, flow) = try Self.flow(direction, memory: 32 << 20)
        let window = try #require(worker.openWindow(flow))
        #expect(window == 32 << 10 && flow.pointee.window == window)
        let bytes = [UInt8](repeating: 7, count: 80_000)
        func hold(_ count: Int) -> FlowEnd? {
            direction == .tunnel ? worker.hold(&flow.pointee.up, bytes, count) : worker.hold(&flow.pointee.down, bytes, count)
        }
        #expect(hold(window) == nil && Self.charged(worker) == window)
        #expect(hold(bytes.count - window) == nil && Self.charged(worker) == bytes.count)
        // A window that grows beyond what waits costs the difference.
        #expect(worker.growWindow(flow, consumed: 0) == window && Self.charged(worker) == bytes.count)
        #expect(worker.growWindow(flow, consumed: window) == 2 * window && Self.charged(worker) == bytes.count)
        #expect(worker.growWindow(flow, consumed: 2 * window) == 4 * window && Self.charged(worker) == 4 * window)
        worker.freeStash(&flow.pointee.up)
        worker.freeStash(&flow.pointee.down)
        #expect(Self.charged(worker) == 4 * window)
        worker.closeWindow(flow)
        #expect(Self.charged(worker) == 0 && flow.pointee.window == 0)
        worker.finish(slot, flow, .completed)
        #expect(Self.charged(worker) == 0)
    }

    @Test("windows leave a quarter of the bound for bytes that must be kept, and the smallest is given to the end")
    func windowsLeaveRoom() throws {
        let (worker, slot, flow) = try Self.flow(.outbound, memory: 256 << 10)
        #expect(worker.openWindow(flow) == 16 << 10)
        var window = 16 << 10
        for _ in 0..<10 { window = worker.growWindow(flow, consumed: window) }
        #expect(window == 32 << 10)
        #expect(worker.charge(flow, 128 << 10))
        worker.closeWindow(flow)
        #expect(worker.charge(flow, (128 << 10) - (16 << 10)) && worker.openWindow(flow) == 16 << 10)
        let other = worker.flows.allocate()!.slot
        worker.flows[other].pointee.phase = .relaying
        worker.flows[other].pointee.tenant = flow.pointee.tenant
        #expect(worker.openWindow(worker.flows[other]) == nil)
        worker.refuseMemory(other, worker.flows[other])
        #expect(worker.tenants.figures()[1].refused[.memory] == 1)
        worker.finish(slot, flow, .completed)
        #expect(Self.charged(worker) == 0 && worker.tenants.figures()[1].flows == 0)
    }
}

private final class Counter: Sendable {
    private let value = Atomic<Int>(0)
    /// The new value.
    func add(_ change: Int) -> Int { value.wrappingAdd(change, ordering: .relaxed).newValue }
}
