import Platform

/// A hybrid logical clock's reading (Kulkarni and others, 2014): milliseconds since 1970, and a counter for what happens within one.
///
/// It is later than everything that was known when it was taken, whatever the wall clock says.
package struct HybridTime: Hashable, Comparable, Sendable {
    /// 48 bits of milliseconds above 16 bits of counter.
    package let rawValue: UInt64

    package init(rawValue: UInt64) { self.rawValue = rawValue }
    package init(milliseconds: UInt64, counter: UInt16 = 0) { rawValue = milliseconds << 16 | UInt64(counter) }

    package static let zero = HybridTime(rawValue: 0)

    package var milliseconds: UInt64 { rawValue >> 16 }
    package var counter: UInt16 { UInt16(truncatingIfNeeded: rawValue) }
    package var wall: WallTime { WallTime(seconds: Int64(milliseconds / 1000), nanoseconds: Int32(milliseconds % 1000) * 1_000_000) }

    /// The time of a new event at `now`, after everything up to this time. A full counter goes on into the next millisecond.
    package func next(_ now: WallTime) -> HybridTime { max(HybridTime(rawValue: rawValue + 1), HybridTime(milliseconds: now.milliseconds)) }

    package static func < (a: Self, b: Self) -> Bool { a.rawValue < b.rawValue }
}

extension WallTime {
    /// Since 1970; zero for earlier times.
    package var milliseconds: UInt64 { seconds < 0 ? 0 : UInt64(seconds) * 1000 + UInt64(nanoseconds) / 1_000_000 }
}
