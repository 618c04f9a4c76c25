/// What an epoll event or a timer names: a kind, a slot and the slot's generation, in the 64 bits that the kernel gives back.
///
/// The generation's low 32 bits tell a live value from one that was closed earlier in the same batch of events.
public struct Token: Hashable, Sendable {
    public let raw: UInt64

    /// - Parameters:
    ///   - kind: 0–255, the owner's own meaning.
    ///   - slot: below 2²⁴.
    @inline(__always)
    public init(kind: UInt8, slot: UInt32, generation: UInt32) {
        raw = UInt64(kind) << 56 | UInt64(slot & 0xff_ffff) << 32 | UInt64(generation)
    }
    @inline(__always) public init(raw: UInt64) { self.raw = raw }
    @inline(__always) public var kind: UInt8 { UInt8(truncatingIfNeeded: raw >> 56) }
    @inline(__always) public var slot: UInt32 { UInt32(truncatingIfNeeded: raw >> 32) & 0xff_ffff }
    @inline(__always) public var generation: UInt32 { UInt32(truncatingIfNeeded: raw) }
}
