/// Finds where one direction of a stream ends: neither side closes its half, so the end is where the message is whole.
///
/// Bytes come in pieces of any size; each byte is looked at a bounded number of times.
package struct StreamFramer: Sendable {
    package private(set) var bytes: [UInt8] = []
    private var state: State
    /// Where the part begins that is not understood yet.
    private var position = 0

    private enum State: Equatable {
        case label
        case type
        case frame(end: Int)
        case header(UInt8)
        case nodes(Int, raw: Int)
        case whole
    }

    /// - Parameter dialled: the bytes come from the side that dialled, which may begin with a label.
    package init(dialled: Bool) { state = dialled ? .label : .type }

    /// - Returns: true when the message is whole; further bytes are not wanted.
    /// - Throws: when it can never become one.
    package mutating func append(_ more: some Collection<UInt8>) throws(Refusal) -> Bool {
        guard bytes.count + more.count <= SWIMLimits.stream + 512 else { throw .oversized }
        bytes.append(contentsOf: more)
        do throws(Refusal) {
            while state != .whole { try advance() }
            return true
        } catch {
            guard error == .truncated else { throw error }
            return false
        }
    }

    /// Throws `truncated` when more bytes are needed; then nothing has changed.
    private mutating func advance() throws(Refusal) {
        // A part that is not whole is read again with the next piece: without a bound many small pieces would cost the square of their bytes.
        var reader = MessagePackReader(bytes, from: position, values: SWIMLimits.framedValues)
        switch state {
        case .label:
            if try reader.byte() == Wire.label {
                _ = try reader.take(Int(try reader.byte()))
                position = reader.position
            }
            state = .type
        case .type:
            let type = try reader.byte()
            if type == Wire.encrypt {
                let length = Int(try reader.number(4))
                guard length <= SWIMLimits.stream else { throw .oversized }
                state = .frame(end: reader.position + length)
            } else {
                guard [Wire.ping, Wire.ack, Wire.pushPull, Wire.user, Wire.compress, Wire.error].contains(type) else { throw .unknownType }
                state = .header(type)
            }
            position = reader.position
        case .frame(let end):
            guard bytes.count >= end else { throw .truncated }
            state = .whole
        case .header(let type):
            if type == Wire.compress {
                try reader.skip()
                state = .whole
            } else {
                let header = try StreamHeader(type: type, &reader)
                state = .nodes(header.nodes, raw: header.rawBytes)
            }
            position = reader.position
        case .nodes(let count, let raw):
            if count > 0 {
                try reader.skip()
                position = reader.position
                state = .nodes(count - 1, raw: raw)
            } else {
                _ = try reader.take(raw)
                state = .whole
            }
        case .whole: break
        }
    }
}
