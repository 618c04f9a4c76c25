/// Bytes that wait for the socket, in order and bounded.
struct OutputQueue {
    let bound: Int
    private(set) var count = 0
    /// Small frames share a chunk; a chunk is not copied again once the next has begun.
    private var chunks: [[UInt8]] = []
    private var first = 0
    private var offset = 0

    private static let chunkBytes = 16_384

    init(bound: Int) { self.bound = bound }

    var isEmpty: Bool { count == 0 }

    /// False, and nothing is queued, when the frame does not fit.
    mutating func append(_ frame: Frame) -> Bool {
        let size = frame.encodedCount
        guard count + size <= bound else { return false }
        if first == chunks.count || chunks[chunks.count - 1].count + size > Self.chunkBytes { chunks.append([]) }
        frame.encode(into: &chunks[chunks.count - 1])
        count += size
        return true
    }

    /// The bytes to write next.
    func withNext<R>(_ body: (UnsafeRawBufferPointer) -> R) -> R {
        guard first < chunks.count else { return body(UnsafeRawBufferPointer(start: nil, count: 0)) }
        return chunks[first].withUnsafeBytes { body(UnsafeRawBufferPointer(rebasing: $0[offset...])) }
    }

    /// The first `written` of them left.
    mutating func advance(_ written: Int) {
        precondition(written <= count)
        count -= written
        offset += written
        guard offset == chunks[first].count else { return }
        chunks[first] = []
        offset = 0
        first += 1
        if first == chunks.count || first > 64 {
            chunks.removeFirst(first)
            first = 0
        }
    }
}
