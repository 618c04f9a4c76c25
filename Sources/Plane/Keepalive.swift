import Platform

/// Tells a quiet peer from a dead one. A half-open connection (the peer's host is gone, or a firewall forgot it) never shows otherwise.
struct Keepalive {
    enum Action: Equatable { case none, ping, dead }

    let pingAfter: Duration
    let deadAfter: Duration
    private var lastHeard: MonotonicTime
    private var askedAt: MonotonicTime?

    init(pingAfter: Duration, deadAfter: Duration, now: MonotonicTime) {
        self.pingAfter = pingAfter
        self.deadAfter = deadAfter
        lastHeard = now
    }

    mutating func heard(at now: MonotonicTime) {
        lastHeard = now
        askedAt = nil
    }

    /// Call it a few times in each `pingAfter`. A peer is dead only when it was asked and had its time to answer: if it was this node that stood still
    /// (stopped, overloaded), the silence proves nothing.
    mutating func tick(_ now: MonotonicTime) -> Action {
        if let askedAt { return now - askedAt >= deadAfter - pingAfter ? .dead : .none }
        guard now - lastHeard >= pingAfter else { return .none }
        askedAt = now
        return .ping
    }
}
