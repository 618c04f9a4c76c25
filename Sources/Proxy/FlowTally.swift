/// Counters of flows by their labels, bounded: identities and services come from other nodes.
///
/// A plain value of one worker. A flow looks its counters up once, when it is opened, and keeps the index. A label set that came after the bound was reached is
/// counted with all others of its direction under empty names, for good.
struct FlowTally {
    /// Label sets that are told apart in one worker.
    static let bound = 10_000

    private var indices: [FlowLabels: Int32] = [:]
    private var labels: [FlowLabels] = []
    private var values: [FlowCounters] = []
    private let bound: Int

    init(bound: Int = Self.bound) { self.bound = bound }

    /// Where the counters of these labels are, for good.
    mutating func index(of key: FlowLabels) -> Int32 {
        if let known = indices[key] { return known }
        guard values.count < bound else {
            return add(FlowLabels(direction: key.direction, security: key.security, sourceIdentity: 0, destinationIdentity: 0, service: 0))
        }
        return add(key)
    }

    private mutating func add(_ key: FlowLabels) -> Int32 {
        if let known = indices[key] { return known }
        let index = Int32(values.count)
        indices[key] = index
        labels.append(key)
        values.append(FlowCounters())
        return index
    }

    mutating func count(_ index: Int32, opened: UInt64 = 0, closed: UInt64 = 0, sent: UInt64 = 0, received: UInt64 = 0) {
        values[Int(index)].opened &+= opened
        values[Int(index)].closed &+= closed
        values[Int(index)].bytesSent &+= sent
        values[Int(index)].bytesReceived &+= received
    }

    /// A copy, for the scraper.
    var counters: [FlowLabels: FlowCounters] {
        var result: [FlowLabels: FlowCounters] = [:]
        result.reserveCapacity(values.count)
        for (key, value) in zip(labels, values) { result[key] = value }
        return result
    }
}
