import Platform

/// Whether a tunnel carries so much, for so long, that further flows had better go beside it.
///
/// A tunnel is one worker's at either end. When the other end's is full, another tunnel helps: it may be served by another core there. That this end can't see; it sees a
/// tunnel that moves much while it has time to spare itself. When its own core is full, another tunnel on it would only cost. A slow reader, or a slow
/// network, is no reason either: there little moves.
public struct TunnelPressure: Equatable, Sendable {
    /// How often it is judged, in nanoseconds.
    public static let window: UInt64 = 100_000_000
    /// After so long without a turn all is forgotten.
    static let pause = 3 * window
    /// So many windows with much in them make a tunnel crowded, and so many with little make it free again.
    public static let sustained = 5
    /// Percent of a core from which on this end's worker counts as full.
    public static let full = 90

    /// When the window began, in nanoseconds, and what had been moved then. Zero: before the first turn.
    @usableFromInline var begun: UInt64 = 0
    @usableFromInline var before = 0
    /// Windows with much, less those with little, from none to `sustained`.
    @usableFromInline var level = 0
    @usableFromInline var crowded = false

    public init() {}

    /// A turn of the tunnel has ended.
    /// - Parameters:
    ///   - moved: bytes that the tunnel has moved since it is open, both ways.
    ///   - much: so many bytes a second are much; less than half of it is little.
    ///   - busy: percent of a core that this end's worker has used lately.
    /// - Returns: true when a window has ended and the tunnel is crowded.
    @inlinable
    public mutating func turn(moved: Int, at now: MonotonicTime, much: Int, busy: Int) -> Bool {
        if now.nanoseconds &- begun < Self.window { return false }
        return judge(moved: moved, at: now.nanoseconds, much: much, busy: busy)
    }

    @usableFromInline @inline(never)
    mutating func judge(moved: Int, at now: UInt64, much: Int, busy: Int) -> Bool {
        let length = now - begun
        let rate = Double(moved - before) * 1e9 / Double(length)
        if length > Self.pause {
            // There was one, or this is the first turn.
            level = 0
        } else if busy >= Self.full || rate < Double(much / 2) {
            level = max(0, level - 1)
        } else if rate >= Double(much) {
            level = min(Self.sustained, level + 1)
        }
        crowded = level == Self.sustained || crowded && level > 0
        begun = now
        before = moved
        return crowded
    }

    /// Not once the tunnel has had no turn for a while.
    public func isCrowded(at now: MonotonicTime) -> Bool { crowded && now.nanoseconds &- begun <= Self.pause }
}
