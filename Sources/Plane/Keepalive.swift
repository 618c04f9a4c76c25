import Platform

/// Tells a quiet peer from a dead one. A half-open connection (the peer's host is gone, or a firewall forgot it) never shows otherwise.
struct Keepalive {
    enum Action: Equatable { case none, ping, dead }

    let pingAfter: Duration
    let deadAfter: Duration
    private var lastHeard: MonotonicTime
    private var asked = false

    init(pingAfter: Duration, deadAfter: Duration, now: MonotonicTime) {
        self.pingAfter = pingAfter
        self.deadAfter = deadAfter
        lastHeard = now
    }

    mutating func heard(at now: MonotonicTime) {
        lastHeard = now
        asked = false
    }

    /// Call it a few times in each `pingAfter`.
    mutating func tick(_ now: MonotonicTime) -> Action {
        let silence = now - lastHeard
        if silence >= deadAfter { return .dead }
        if silence >= pingAfter, !asked {
            asked = true
            return .ping
        }
        return .none
    }
}
