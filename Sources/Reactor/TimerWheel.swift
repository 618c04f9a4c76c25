import Platform

/// Coarse timers for many flows: one wheel turn is `slots × tick`, 51.2 s; a later deadline goes round again.
///
/// A timer is never moved or cancelled: its owner keeps the real deadline, and when the wheel names the owner too early (or it is gone), the owner says so by
/// setting a new timer or by doing nothing. So an event costs no wheel work at all. Owned by one thread.
public struct TimerWheel: ~Copyable {
    private static let tick: UInt64 = 100_000_000
    private static let slots = 512
    private static let keptCapacity = 32
    private var buckets: [[Token]]
    private var position: UInt64
    /// Timers set and not yet fired.
    public private(set) var count = 0

    public init(now: MonotonicTime) {
        buckets = Array(repeating: [], count: Self.slots)
        position = now.nanoseconds / Self.tick
    }

    /// Names `token` at `deadline` or at most one tick (100 ms) later; early, if the deadline is more than a turn away.
    public mutating func set(_ token: Token, at deadline: MonotonicTime) {
        let wanted = deadline.nanoseconds / Self.tick + 1
        let target = min(max(wanted, position + 1), position + UInt64(Self.slots) - 1)
        buckets[Int(target % UInt64(Self.slots))].append(token)
        count += 1
    }

    /// Brings a wheel without timers to the present. Call it after a wait, before the next `set`: a wheel that slept for longer than a turn would else
    /// take a near deadline for a far one and name it too early.
    public mutating func catchUp(_ now: MonotonicTime) {
        if count == 0 { position = max(position, now.nanoseconds / Self.tick) }
    }

    /// Appends every timer whose tick has passed to `due`.
    public mutating func advance(to now: MonotonicTime, due: inout [Token]) {
        let target = now.nanoseconds / Self.tick
        guard count > 0 else {
            position = max(position, target)
            return
        }
        while position < target {
            position += 1
            let index = Int(position % UInt64(Self.slots))
            if buckets[index].isEmpty { continue }
            count -= buckets[index].count
            due.append(contentsOf: buckets[index])
            // What one burst needed is not kept for good in every bucket that it went through.
            if buckets[index].count > Self.keptCapacity { buckets[index] = [] } else { buckets[index].removeAll(keepingCapacity: true) }
        }
    }

    /// How long a loop may sleep: one tick while any timer is set, else for ever (−1).
    public var milliseconds: CInt { count == 0 ? -1 : CInt(Self.tick / 1_000_000) }
}
