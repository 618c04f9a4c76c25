/// The events of one `feed` or `nextOutput`, and the header bytes they refer to. One for each worker, used again and again:
/// after warm-up nothing is allocated. Not thread-safe.
///
/// Handle the events and call `removeAll()` before the next `feed`: data events are offsets into the bytes of theirs.
public struct HTTP2EventBuffer: ~Copyable {
    @usableFromInline var events: UnsafeMutablePointer<HTTP2Event>
    public private(set) var count = 0
    var capacity: Int
    @usableFromInline var scratch: UnsafeMutablePointer<UInt8>
    var scratchCount = 0
    var scratchCapacity: Int

    /// Capacities to which a buffer that one large batch made grow goes back.
    static let normalEvents = 1024
    static let normalScratch = 64 << 10

    public init() {
        capacity = Self.normalEvents
        events = .allocate(capacity: capacity)
        scratchCapacity = Self.normalScratch
        scratch = .allocate(capacity: scratchCapacity)
    }

    deinit {
        events.deallocate()
        scratch.deallocate()
    }

    @inlinable public var isEmpty: Bool { count == 0 }

    @inlinable public subscript(index: Int) -> HTTP2Event {
        precondition(index >= 0 && index < count)
        return events[index]
    }

    /// The fields of a `headers` or `trailers` event. Valid until `removeAll`.
    @inlinable public func headers(of event: HTTP2Event) -> HTTP2Headers {
        HTTP2Headers(bytes: UnsafeRawBufferPointer(start: scratch + Int(event.offset), count: Int(event.length)))
    }

    /// The debug text of a `goaway`. Valid until `removeAll`; the peer wrote it, so it is not to be trusted.
    @inlinable public func text(of event: HTTP2Event) -> UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(start: scratch + Int(event.offset), count: Int(event.length))
    }

    public mutating func removeAll() {
        count = 0
        scratchCount = 0
        if capacity > Self.normalEvents * 16 { resizeEvents(Self.normalEvents) }
        if scratchCapacity > Self.normalScratch * 4 { resizeScratch(Self.normalScratch) }
    }

    mutating func append(_ event: HTTP2Event) {
        if count == capacity { resizeEvents(capacity * 2) }
        (events + count).initialize(to: event)
        count += 1
    }

    /// Names the events of a stream after its request.
    mutating func setToken(_ stream: Int32, _ token: UInt64) {
        var index = count - 1
        while index >= 0, !(events[index].streamID == stream && events[index].kind == .headers) {
            if events[index].streamID == stream { events[index].token = token }
            index -= 1
        }
    }

    /// Room for `length` more scratch bytes; where they begin.
    mutating func reserveScratch(_ length: Int) -> UnsafeMutablePointer<UInt8> {
        if scratchCount + length > scratchCapacity { resizeScratch(max(scratchCapacity * 2, scratchCount + length)) }
        let start = scratch + scratchCount
        scratchCount += length
        return start
    }

    private mutating func resizeEvents(_ size: Int) {
        let larger = UnsafeMutablePointer<HTTP2Event>.allocate(capacity: size)
        larger.moveInitialize(from: events, count: count)
        events.deallocate()
        events = larger
        capacity = size
    }

    private mutating func resizeScratch(_ size: Int) {
        let larger = UnsafeMutablePointer<UInt8>.allocate(capacity: size)
        larger.moveInitialize(from: scratch, count: scratchCount)
        scratch.deallocate()
        scratch = larger
        scratchCapacity = size
    }
}
