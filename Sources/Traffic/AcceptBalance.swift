/// Which of two workers serves a connection that one of them has accepted.
///
/// The kernel shares connections out by a hash of their addresses. That evens out over thousands of short ones; a few long ones may all come to one worker, and stay
/// there while another has nothing to do.
public enum AcceptBalance: Sendable {
    /// Connections of processes. There are many, and most are short: a quarter more is even enough, and so is what will be gone in a moment.
    case flows
    /// Tunnels of other nodes. There are few, they live long, and each carries many flows: none may have two more than another.
    case tunnels

    /// What a worker has to do.
    public struct Load: Equatable, Sendable {
        /// Connections of the kind in question, and those on their way to the worker.
        public var connections: Int
        /// How much of a core it has used lately, in percent.
        public var busy: Int

        @inlinable
        public init(connections: Int, busy: Int) {
            self.connections = connections
            self.busy = busy
        }
    }

    /// Percent of a core that decide between workers that have as many connections.
    @usableFromInline static let clearly = 50

    /// Whether another worker is to serve a connection that this one has accepted, and not counted yet.
    /// - Parameter passing: connections of this worker that ended in the last tenth of a second. An excess that is not larger heals by itself: in a storm of short
    ///   connections, to hand them to and fro would only cost.
    @inlinable
    public func prefers(_ other: Load, to own: Load, passing: Int = 0) -> Bool {
        let slack = self == .flows ? max(other.connections / 4, passing) : 0
        if own.connections > other.connections + slack { return true }
        return own.connections >= other.connections && own.busy >= other.busy + Self.clearly
    }
}
