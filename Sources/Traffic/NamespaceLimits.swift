import Platform

/// What one namespace may take of a node, all workers together. The same for every namespace unless the configuration names it.
public struct NamespaceLimits: Hashable, Sendable {
    /// Flows at one time.
    public var flows: Int
    /// New flows in a second, with a second's worth at once; 0: as many as come.
    public var newFlowsPerSecond: Int
    /// Bytes that the node holds for its flows, or has promised to take: what waits for slow readers, and the windows of streams.
    public var memory: Int

    public init(flows: Int = 50_000, newFlowsPerSecond: Int = 0, memory: Int = 256 << 20) {
        self.flows = flows
        self.newFlowsPerSecond = newFlowsPerSecond
        self.memory = memory
    }
}

/// Which of its limits stopped a namespace.
public enum NamespaceRefusal: UInt8, CaseIterable, Sendable {
    case flows, rate, memory

    /// The word for metrics.
    public var word: String {
        switch self {
        case .flows: "flows"
        case .rate: "rate"
        case .memory: "memory"
        }
    }
}

/// Whether a namespace may have one more flow.
public enum Admission: Hashable, Sendable {
    /// It may. `nextArrival` is to be kept for the next question.
    case admitted(nextArrival: MonotonicTime)
    case refused(NamespaceRefusal)
}

extension NamespaceLimits {
    /// Decides about one new flow.
    ///
    /// The rate is the generic cell rate algorithm (ITU-T I.371): one time stands for a bucket of tokens. In any span of t seconds at most
    /// `newFlowsPerSecond × (t + 1)` flows are admitted. A refused flow uses nothing up. The bucket is one second deep at every rate, so the time that was kept
    /// under one rate means something under the next: after a reload the new rate is in force within a second.
    /// - Parameters:
    ///   - flows: those that it has.
    ///   - charged: bytes that it is charged with.
    ///   - arrival: what the last admission said; any time in the past at first.
    public func admit(flows: Int, charged: Int, arrival: MonotonicTime, at now: MonotonicTime) -> Admission {
        guard flows < self.flows else { return .refused(.flows) }
        // A flow that can't have the smallest window could only be opened to be cut.
        guard allows(StreamWindow.smallest, beyond: charged) else { return .refused(.memory) }
        guard newFlowsPerSecond > 0 else { return .admitted(nextArrival: arrival) }
        let second: UInt64 = 1_000_000_000
        let interval = second / UInt64(newFlowsPerSecond)
        let due = max(arrival.nanoseconds, now.nanoseconds)
        guard due - now.nanoseconds <= second - interval else { return .refused(.rate) }
        return .admitted(nextArrival: MonotonicTime(nanoseconds: due + interval))
    }

    /// Whether so many bytes may be added to those that are charged.
    /// - Parameter spare: for what can be done without, as a pipe or a larger window: it leaves a quarter of the bound for what can't.
    public func allows(_ bytes: Int, beyond charged: Int, spare: Bool = false) -> Bool {
        charged + bytes <= (spare ? memory - memory / 4 : memory)
    }
}
