/// The decoder of memberlist's compression: LZW with 8-bit literals, least significant bit first, GIF's code widths (memberlist-protocol §5).
///
/// There is no encoder: every receiver takes uncompressed messages.
enum LZW {
    private static let clear = 256
    private static let endOfData = 257
    private static let widest = 12

    /// - Throws: `badCompression` for an impossible code or a missing end, `oversized` for more than `bound` bytes.
    static func decode(_ input: ArraySlice<UInt8>, atMost bound: Int) throws(Refusal) -> [UInt8] {
        var output: [UInt8] = []
        output.reserveCapacity(min(bound, 4 * input.count))
        var prefixes = [UInt16](repeating: 0, count: 1 << widest)
        var suffixes = [UInt8](repeating: 0, count: 1 << widest)
        var bits: UInt32 = 0
        var bitCount = 0
        var position = input.startIndex
        var width = 9
        var highest = endOfData
        var last: Int?
        while true {
            while bitCount < width {
                guard position < input.endIndex else { throw .badCompression }
                bits |= UInt32(input[position]) << UInt32(bitCount)
                position += 1
                bitCount += 8
            }
            let code = Int(bits & (1 << UInt32(width) - 1))
            bits >>= UInt32(width)
            bitCount -= width

            if code == endOfData { return output }
            if code == clear {
                width = 9
                highest = endOfData
                last = nil
                continue
            }
            guard code <= highest else { throw .badCompression }

            // The code that is about to be defined stands for the last expansion and its own first byte.
            let start = output.count
            var link = code
            if code == highest, let last { link = last }
            var reversed = start
            while link >= clear {
                output.append(suffixes[link])
                link = Int(prefixes[link])
            }
            let first = UInt8(link)
            output.append(first)
            var end = output.count - 1
            while reversed < end {
                output.swapAt(reversed, end)
                reversed += 1
                end -= 1
            }
            if code == highest, last != nil { output.append(first) }
            guard output.count <= bound else { throw .oversized }

            if let last {
                suffixes[highest] = first
                prefixes[highest] = UInt16(last)
            }
            last = code
            highest += 1
            if highest >= 1 << width {
                if width == widest {
                    last = nil
                    highest -= 1
                } else {
                    width += 1
                }
            }
        }
    }
}
