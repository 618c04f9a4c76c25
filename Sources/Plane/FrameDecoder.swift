/// Finds the frames in a stream of bytes that comes in pieces of any size. Holds only bytes that were received, never room that a length merely
/// claims.
struct FrameDecoder {
    enum Next: Equatable {
        case frame(Frame)
        /// The frame is not complete yet.
        case more
        /// A length below two or above the bound: the stream can't be read any further.
        case badLength(UInt32)
    }

    /// Largest length accepted.
    let largest: Int
    private var buffer: [UInt8] = []
    private var position = 0

    init(largest: Int) { self.largest = largest }

    mutating func append(_ bytes: UnsafeRawBufferPointer) {
        if position > 0 {
            buffer.removeFirst(position)
            position = 0
        }
        buffer.append(contentsOf: bytes)
    }

    mutating func next() -> Next {
        guard let length = buffer[position...].bigEndian(UInt32.self) else { return more() }
        guard length >= Frame.header, length <= largest else { return .badLength(length) }
        let start = position + Frame.lengthBytes
        let end = start + Int(length)
        guard buffer.count >= end else { return more() }
        position = end
        return .frame(Frame(FrameType(rawValue: buffer[start + 1]), Array(buffer[start + Frame.header..<end]), version: buffer[start]))
    }

    /// An idle stream holds no buffer.
    private mutating func more() -> Next {
        if position == buffer.count, position > 0 {
            buffer = []
            position = 0
        }
        return .more
    }
}
