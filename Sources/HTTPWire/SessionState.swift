import CNGHTTP2
import Platform

/// What nghttp2's callbacks work on. Lives at a fixed address; touched only inside calls of its session.
struct SessionState {
    let role: HTTP2Role
    let source: HTTP2DataSource
    let headerListBytes: Int
    let decodedHeaderBytes: Int
    let assumedPeerStreams: UInt32
    let pendingFrames: Int

    /// Set only while `feed` or `nextOutput` runs.
    var events: UnsafeMutablePointer<HTTP2EventBuffer>?
    /// The bytes that `feed` works on, and where the event buffer's scratch stood when it began.
    var fed: UnsafePointer<UInt8>?
    var scratchAtFeed = 0
    var now = MonotonicTime(nanoseconds: 0)

    var flood: FloodGuard
    var failure: HTTP2Failure?
    /// Resets that nghttp2 will send for faults that were counted when they came; and those that it has sent for others and were too many.
    var expectedResets = 0
    var tooManyResets = false
    var activeStreams = 0
    var ignoredFrames: UInt64 = 0
    var peerSettingsSeen = false
    var draining = false
    /// Requests that have no answer yet, and when they came: a peer that resets such in numbers attacks (CVE-2023-44487).
    var unanswered: [Int32: MonotonicTime] = [:]
    let atOnce: Duration

    /// Requests whose HEADERS wait to be sent, in their order, and by how much their windows are to be wider. nghttp2 has no stream for them yet.
    private var widenings: [(stream: Int32, bytes: Int)] = []
    private var widenedUpTo = 0

    /// The header block that arrives now: its place in the scratch, and its size as RFC 9113 section 10.5.1 counts it.
    var blockStart = 0
    var blockSize = 0
    /// The status of a response block; zero for any other.
    var blockStatus: UInt16 = 0
    /// Its fields are not all there; and those that came with earlier feeds, whose scratch is gone.
    private var isBlockOpen = false
    private var begun: [UInt8] = []
    /// A request whose HEADERS could not be sent; its end follows at once.
    var unsent: Int32 = 0
    /// The stream whose RST_STREAM is being sent or received, and which of the two; the stream's end follows at once.
    var resetStream: Int32 = 0
    var resetIsLocal = false

    /// The payload of the ping that separates the two GOAWAYs of a drain.
    static let drainPing: UInt64 = 0x7765_6674_6472_6e21

    init(role: HTTP2Role, settings: HTTP2Settings, source: HTTP2DataSource) {
        self.role = role
        self.source = source
        headerListBytes = Int(settings.headerListBytes)
        decodedHeaderBytes = settings.limits.decodedHeaderBytes
        atOnce = settings.limits.atOnce
        assumedPeerStreams = settings.assumedPeerStreams
        pendingFrames = settings.limits.pendingAcks + settings.limits.pendingFramesPerStream * Int(settings.maxConcurrentStreams)
        flood = FloodGuard(settings.limits)
    }

    mutating func emit(_ event: HTTP2Event) { events?.pointee.append(event) }

    /// Counts one more of a kind; nghttp2's "stop here" when it is one too many.
    mutating func count(_ kind: HTTP2Flood) -> Int32 {
        if kind == .invalid { expectedResets += 1 }
        return flood.admits(kind, at: now) ? 0 : stop(kind)
    }

    mutating func stop(_ kind: HTTP2Flood) -> Int32 {
        failure = .flood(kind)
        return NGHTTP2_ERR_CALLBACK_FAILURE.rawValue
    }

    /// nghttp2 resets a stream for what the peer did. Some faults show only by this (a body that is not as long as it was said to be). The next frame
    /// that comes ends the session, since one that is sent can't.
    mutating func countSentReset(_ code: UInt32) {
        guard code != HTTP2Code.noError, code != HTTP2Code.cancel else { return }
        if expectedResets > 0 {
            expectedResets -= 1
        } else if !flood.admits(.invalid, at: now) {
            tooManyResets = true
        }
    }

    /// The peer resets a stream.
    mutating func countReset(_ stream: Int32) -> Int32 {
        guard let came = unanswered[stream], now - came < atOnce else { return 0 }
        return count(.unansweredReset)
    }

    // MARK: Windows of requests

    mutating func widenLater(_ stream: Int32, by bytes: Int) { widenings.append((stream, bytes)) }

    /// What the request of a stream that was sent now is owed. Those before it were not sent, or had theirs.
    mutating func takeWidening(_ stream: Int32) -> Int {
        while widenedUpTo < widenings.count, widenings[widenedUpTo].stream <= stream {
            let (next, bytes) = widenings[widenedUpTo]
            widenedUpTo += 1
            if widenedUpTo == widenings.count {
                widenings.removeAll(keepingCapacity: true)
                widenedUpTo = 0
            }
            if next == stream { return bytes }
        }
        return 0
    }

    // MARK: Header blocks

    mutating func beginBlock() {
        blockStart = events?.pointee.scratchCount ?? 0
        blockSize = 0
        blockStatus = 0
        isBlockOpen = true
    }

    /// At the end of a feed: what there is of an unfinished block is kept until the next one, at most `headerListBytes` of it.
    mutating func suspendBlock(_ events: inout HTTP2EventBuffer) {
        guard isBlockOpen else { return }
        begun = Array(UnsafeBufferPointer(start: events.scratch + blockStart, count: events.scratchCount - blockStart))
        events.scratchCount = blockStart
    }

    /// At the begin of a feed.
    mutating func resumeBlock(_ events: inout HTTP2EventBuffer) {
        guard isBlockOpen else { return }
        blockStart = events.scratchCount
        if !begun.isEmpty { events.reserveScratch(begun.count).update(from: begun, count: begun.count) }
        begun = []
    }

    /// Nothing stands between the frames of a block.
    mutating func frameBegan(isContinuation: Bool) { if !isContinuation { isBlockOpen = false } }

    /// Keeps one field. A block over its bound costs the peer the stream, a feed over its bound the tunnel.
    mutating func addField(_ name: UnsafeBufferPointer<UInt8>, _ value: UnsafeBufferPointer<UInt8>) -> Int32 {
        guard let events else { return 0 }
        blockSize += name.count + value.count + 32
        if blockSize > headerListBytes {
            dropBlock()
            let verdict = count(.invalid)
            return verdict != 0 ? verdict : NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE.rawValue
        }
        if events.pointee.scratchCount - scratchAtFeed > decodedHeaderBytes {
            failure = .flood(.decodedHeaders)
            return NGHTTP2_ERR_CALLBACK_FAILURE.rawValue
        }
        if isStatus(name), value.count == 3 {
            blockStatus = value.reduce(0) { $0 &* 10 &+ UInt16($1 &- 48) }
        }
        let place = UnsafeMutableRawPointer(events.pointee.reserveScratch(HTTP2Headers.prefix + name.count + value.count))
        place.storeBytes(of: UInt16(name.count), as: UInt16.self)
        place.storeBytes(of: UInt16(value.count), toByteOffset: 2, as: UInt16.self)
        if let bytes = name.baseAddress { (place + HTTP2Headers.prefix).copyMemory(from: bytes, byteCount: name.count) }
        if let bytes = value.baseAddress { (place + HTTP2Headers.prefix + name.count).copyMemory(from: bytes, byteCount: value.count) }
        return 0
    }

    private func isStatus(_ name: UnsafeBufferPointer<UInt8>) -> Bool {
        let status: StaticString = ":status"
        return name.count == status.utf8CodeUnitCount && name.elementsEqual(UnsafeBufferPointer(start: status.utf8Start, count: name.count))
    }

    mutating func endBlock(_ kind: HTTP2Event.Kind, stream: Int32, token: UInt64) {
        guard let events else { return }
        isBlockOpen = false
        var event = HTTP2Event(kind, stream: stream)
        event.token = token
        event.offset = UInt32(blockStart)
        event.length = UInt32(events.pointee.scratchCount - blockStart)
        emit(event)
    }

    mutating func dropBlock() {
        isBlockOpen = false
        events?.pointee.scratchCount = blockStart
    }
}
