/// Fixed memory for many small values of one kind, reached by slot number and checked by generation.
///
/// Function: a slot keeps its address until the slab shrinks, so a value may be taken by pointer once per event and passed down. A freed slot gets a new
/// generation, so an event or timer that names the old value is told from one that names the new. The slab grows by chunks up to its bound and never moves values.
/// Owned by one thread. Inlinable throughout: across modules each look-up would else search for generic metadata first.
public struct Slab<Element>: ~Copyable {
    @inlinable static var chunkSize: Int { 1024 }
    @usableFromInline var chunks: [UnsafeMutablePointer<Element>] = []
    @usableFromInline var generations: [UInt32] = []
    @usableFromInline var live: [Bool] = []
    @usableFromInline var free: [UInt32] = []
    @usableFromInline let blank: Element
    /// The most values at one time.
    public let bound: Int
    @usableFromInline var used = 0
    public var count: Int { @inlinable get { used } }

    /// - Parameter blank: what a fresh slot holds.
    @inlinable
    public init(bound: Int, blank: Element) {
        self.bound = bound
        self.blank = blank
    }

    @inlinable
    deinit {
        for chunk in chunks {
            chunk.deinitialize(count: Self.chunkSize)
            chunk.deallocate()
        }
    }

    /// A slot set to blank, or nil at the bound.
    @inlinable
    public mutating func allocate() -> (slot: UInt32, generation: UInt32)? {
        guard used < bound else { return nil }
        if free.isEmpty { grow() }
        let slot = free.removeLast()
        live[Int(slot)] = true
        used += 1
        return (slot, generations[Int(slot)])
    }

    /// Frees a slot; the handle to it is stale from now on.
    @inlinable
    public mutating func release(_ slot: UInt32) {
        precondition(live[Int(slot)], "slot freed twice")
        self[slot].pointee = blank
        live[Int(slot)] = false
        generations[Int(slot)] &+= 1
        free.append(slot)
        used -= 1
    }

    /// The value in a slot, live or not. Valid until the slab goes away or shrinks.
    @inlinable @inline(__always)
    public subscript(slot: UInt32) -> UnsafeMutablePointer<Element> {
        chunks[Int(slot) / Self.chunkSize] + Int(slot) % Self.chunkSize
    }

    /// The value, if the handle is not stale.
    @inlinable @inline(__always)
    public func get(_ slot: UInt32, generation: UInt32) -> UnsafeMutablePointer<Element>? {
        guard Int(slot) < generations.count, generations[Int(slot)] == generation, live[Int(slot)] else { return nil }
        return self[slot]
    }

    @inlinable @inline(__always)
    public func generation(_ slot: UInt32) -> UInt32 { generations[Int(slot)] }

    /// The slots in use. A copy: the owner may free and allocate while it goes through them.
    @inlinable
    public var liveSlots: [UInt32] {
        var slots: [UInt32] = []
        slots.reserveCapacity(used)
        for slot in live.indices where live[slot] { slots.append(UInt32(slot)) }
        return slots
    }

    @usableFromInline
    mutating func grow() {
        let base = UInt32(chunks.count * Self.chunkSize)
        let chunk = UnsafeMutablePointer<Element>.allocate(capacity: Self.chunkSize)
        chunk.initialize(repeating: blank, count: Self.chunkSize)
        chunks.append(chunk)
        // Slots that were there before go on with the generation that they had.
        if generations.count < chunks.count * Self.chunkSize {
            generations.append(contentsOf: repeatElement(0, count: Self.chunkSize))
            live.append(contentsOf: repeatElement(false, count: Self.chunkSize))
        }
        free.append(contentsOf: (base..<base + UInt32(Self.chunkSize)).reversed())
    }

    /// Gives all but one chunk back when no value is left. For when nobody has a pointer into the slab.
    @inlinable @inline(__always)
    public mutating func shrinkIfEmpty() {
        if used == 0 && chunks.count > 1 { shrink() }
    }

    @usableFromInline
    mutating func shrink() {
        while chunks.count > 1, let chunk = chunks.popLast() {
            chunk.deinitialize(count: Self.chunkSize)
            chunk.deallocate()
        }
        free = (0..<UInt32(Self.chunkSize)).reversed()
    }
}
