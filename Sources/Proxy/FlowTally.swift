/// Counters of flows by their labels, bounded: identities and services come from other nodes.
///
/// A plain value of one worker. A label set that came after the bound was reached is counted with all others of its direction under empty names, for good;
/// so what was opened under one set is closed under the same.
struct FlowTally {
    /// Label sets that are told apart in one worker.
    static let bound = 10_000

    private(set) var counters: [FlowLabels: FlowCounters] = [:]
    private let bound: Int

    init(bound: Int = Self.bound) { self.bound = bound }

    mutating func add(_ labels: FlowLabels, opened: UInt64 = 0, closed: UInt64 = 0, sent: UInt64 = 0, received: UInt64 = 0) {
        if Self.add(&counters[labels], opened, closed, sent, received) { return }
        var key = labels
        if counters.count >= bound {
            key = FlowLabels(direction: labels.direction, security: labels.security, sourceIdentity: 0, destinationIdentity: 0, service: 0)
        }
        _ = Self.add(&counters[key, default: FlowCounters()], opened, closed, sent, received)
    }

    /// One look-up for the usual case. False when there are no counters yet.
    private static func add(_ counters: inout FlowCounters?, _ opened: UInt64, _ closed: UInt64, _ sent: UInt64, _ received: UInt64) -> Bool {
        counters == nil ? false : add(&counters!, opened, closed, sent, received)
    }

    private static func add(_ counters: inout FlowCounters, _ opened: UInt64, _ closed: UInt64, _ sent: UInt64, _ received: UInt64) -> Bool {
        counters.opened &+= opened
        counters.closed &+= closed
        counters.bytesSent &+= sent
        counters.bytesReceived &+= received
        return true
    }
}
