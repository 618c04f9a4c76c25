import Platform
import Synchronization
import Traffic

/// A namespace as a number: whose limits a flow counts against. Zero stands for all that have no entry of their own.
package typealias TenantID = UInt16

/// What each namespace has of this node now, all workers together, and how much it may have.
///
/// Function: the control loop asks for a namespace's number while it compiles a snapshot; from then on workers name it by that number and touch nothing but
/// the atomics of its entry: no lock, no text, no dictionary.
/// Implementation: limits live in the entry and not in the snapshot, so that one cache line answers the whole question, and a reload is a few stores. Everything is
/// relaxed: each counter stands for itself, and an entry was made before any snapshot names it. `@unchecked Sendable` because entries are reached by a raw
/// pointer; they consist of atomics, and are never moved or freed while the table lives.
package final class Tenants: @unchecked Sendable {
    /// Namespaces with entries of their own. They come only from this node's own workloads and endpoints; entries are never given back, so that a flow's
    /// number stays good. Namespaces beyond the bound share entry zero, with the limits of every namespace.
    package static let bound = 4096
    /// Entry zero in metrics; no namespace can be called so.
    package static let others = "(others)"

    /// Flows of all namespaces and workers.
    private let flows = Atomic<Int>(0)
    private let memory: UnsafeMutableRawPointer
    private let names: Mutex<Names>
    private let bound: Int

    private struct Names {
        var ids: [String: TenantID] = [:]
        var texts = [Tenants.others]
        var limits = NamespaceLimits()
        var exceptions: [String: NamespaceLimits] = [:]
    }

    /// - Parameter bound: for tests.
    package init(bound: Int = Tenants.bound) {
        self.bound = bound
        names = Mutex(Names())
        // Pages that no entry was made in are never touched.
        memory = .allocate(byteCount: (bound + 1) * TenantEntry.size, alignment: TenantEntry.size)
        make(0, NamespaceLimits())
    }

    deinit {
        for id in 0..<names.withLock({ $0.texts.count }) { entry(TenantID(id)).deinitialize(count: 1) }
        memory.deallocate()
    }

    private func make(_ id: TenantID, _ limits: NamespaceLimits) {
        entry(id).initialize(to: TenantEntry())
        entry(id).pointee.set(limits)
    }

    @inline(__always)
    func entry(_ id: TenantID) -> UnsafeMutablePointer<TenantEntry> {
        (memory + Int(id) * TenantEntry.size).assumingMemoryBound(to: TenantEntry.self)
    }

    // MARK: The workers' side

    /// Takes one more flow into a namespace and the node, or says why it has to end.
    /// - Parameter most: flows that the node may have.
    func enter(_ id: TenantID, of most: Int, at now: MonotonicTime) -> FlowEnd? {
        if let refusal = entry(id).pointee.enter(at: now) { return refusal.end }
        if flows.wrappingAdd(1, ordering: .relaxed).oldValue < most { return nil }
        leave(id)
        return .flowLimit
    }

    func leave(_ id: TenantID) {
        flows.wrappingSubtract(1, ordering: .relaxed)
        entry(id).pointee.leave()
    }

    // MARK: The control loop's side

    /// The number of a namespace, now and for good. Locks; from any thread.
    package func id(_ namespace: String) -> TenantID {
        names.withLock { names in
            if let id = names.ids[namespace] { return id }
            guard names.texts.count <= bound else { return 0 }
            let id = TenantID(names.texts.count)
            make(id, names.exceptions[namespace] ?? names.limits)
            names.texts.append(namespace)
            names.ids[namespace] = id
            return id
        }
    }

    /// New limits, in force at once: of every namespace, and of those that have their own. Flows that exist stay; what is above a bound waits for its turn to end.
    package func setLimits(_ limits: NamespaceLimits, exceptions: [String: NamespaceLimits] = [:]) {
        names.withLock { names in
            names.limits = limits
            names.exceptions = exceptions
            for (id, text) in names.texts.enumerated() { entry(TenantID(id)).pointee.set(exceptions[text] ?? limits) }
        }
    }

    /// What one namespace has, for metrics.
    package struct Figures: Hashable, Sendable {
        package var namespace: String
        package var flows: Int
        package var memory: Int
        /// By `NamespaceRefusal`.
        package var refused: [NamespaceRefusal: Int]
    }

    /// Of every namespace, in the order in which they came. Numbers of one moment each, not of one moment together.
    package func figures() -> [Figures] {
        names.withLock(\.texts).enumerated().map { id, text in
            let entry = entry(TenantID(id))
            return Figures(
                namespace: text, flows: entry.pointee.flows.load(ordering: .relaxed), memory: entry.pointee.charged.load(ordering: .relaxed),
                refused: Dictionary(uniqueKeysWithValues: NamespaceRefusal.allCases.map { ($0, entry.pointee.refused($0)) }))
        }
    }
}
