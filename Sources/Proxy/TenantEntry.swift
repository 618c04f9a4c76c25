import Platform
import Synchronization
import Traffic

/// One namespace's counters and limits. Workers on all cores change it, so each change is one atomic operation, and all are relaxed.
///
/// Implementation: the atomic shell around `NamespaceLimits`, which decides. Two cache lines of its own, so that namespaces do not slow each other.
struct TenantEntry: ~Copyable {
    static let size = 128

    let flows = Atomic<Int>(0)
    let charged = Atomic<Int>(0)
    /// Nanoseconds: see `NamespaceLimits.admit`.
    private let arrival = Atomic<UInt64>(0)
    private let maximumFlows = Atomic<Int>(0)
    private let rate = Atomic<Int>(0)
    private let maximumMemory = Atomic<Int>(0)
    private let refusedFlows = Atomic<Int>(0)
    private let refusedRate = Atomic<Int>(0)
    private let refusedMemory = Atomic<Int>(0)

    /// Read one by one: during a reload a decision may see old and new ones.
    var limits: NamespaceLimits {
        NamespaceLimits(
            flows: maximumFlows.load(ordering: .relaxed), newFlowsPerSecond: rate.load(ordering: .relaxed), memory: maximumMemory.load(ordering: .relaxed))
    }

    func set(_ limits: NamespaceLimits) {
        maximumFlows.store(limits.flows, ordering: .relaxed)
        rate.store(limits.newFlowsPerSecond, ordering: .relaxed)
        maximumMemory.store(limits.memory, ordering: .relaxed)
    }

    /// Takes one more flow in, or says why not, which is counted.
    func enter(at now: MonotonicTime) -> NamespaceRefusal? {
        // Counted first: of two workers that ask for the last place at once, one gets it.
        let before = flows.wrappingAdd(1, ordering: .relaxed).oldValue
        let limits = limits
        var arrival = arrival.load(ordering: .relaxed)
        while true {
            let admission = limits.admit(
                flows: before, charged: charged.load(ordering: .relaxed), arrival: MonotonicTime(nanoseconds: arrival), at: now)
            switch admission {
            case .refused(let reason):
                leave()
                count(reason)
                return reason
            case .admitted(let next):
                if next.nanoseconds == arrival { return nil }
                let (exchanged, original) = self.arrival.weakCompareExchange(expected: arrival, desired: next.nanoseconds, ordering: .relaxed)
                if exchanged { return nil }
                arrival = original
            }
        }
    }

    func leave() { flows.wrappingSubtract(1, ordering: .relaxed) }

    /// False when the namespace may not have so many more bytes; then nothing has changed, and nothing was counted.
    /// - Parameter spare: see `NamespaceLimits.allows`.
    func charge(_ bytes: Int, spare: Bool) -> Bool {
        let limits = limits
        var before = charged.load(ordering: .relaxed)
        while limits.allows(bytes, beyond: before, spare: spare) {
            let (exchanged, original) = charged.weakCompareExchange(expected: before, desired: before + bytes, ordering: .relaxed)
            if exchanged { return true }
            before = original
        }
        return false
    }

    func discharge(_ bytes: Int) { charged.wrappingSubtract(bytes, ordering: .relaxed) }

    /// See `StreamWindow.initial`.
    func initialWindow(most: Int) -> Int {
        StreamWindow.initial(memory: maximumMemory.load(ordering: .relaxed), charged: charged.load(ordering: .relaxed), most: most)
    }

    /// See `StreamWindow.mayGrow`.
    func windowMayGrow(by change: Int) -> Bool {
        StreamWindow.mayGrow(by: change, memory: maximumMemory.load(ordering: .relaxed), charged: charged.load(ordering: .relaxed))
    }

    func count(_ refusal: NamespaceRefusal) {
        switch refusal {
        case .flows: refusedFlows.wrappingAdd(1, ordering: .relaxed)
        case .rate: refusedRate.wrappingAdd(1, ordering: .relaxed)
        case .memory: refusedMemory.wrappingAdd(1, ordering: .relaxed)
        }
    }

    func refused(_ refusal: NamespaceRefusal) -> Int {
        switch refusal {
        case .flows: refusedFlows.load(ordering: .relaxed)
        case .rate: refusedRate.load(ordering: .relaxed)
        case .memory: refusedMemory.load(ordering: .relaxed)
        }
    }
}
