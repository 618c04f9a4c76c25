/// Takes the chunked coding off a body (RFC 9112 section 7.1), in whatever pieces it comes. Trailers are not read.
struct ChunkReader {
    /// The line before a chunk, with its extensions.
    static let lineBytes = 1024

    enum Step: Equatable {
        case piece(ArraySlice<UInt8>)
        case over
        case broken(String)
    }
    private enum Part {
        case line
        case data(Int)
        /// The end of line after a chunk.
        case lineEnd
    }
    private var part = Part.line
    private var line: [UInt8] = []

    /// Takes at least one byte of what is there; an empty piece says that more must come.
    mutating func take(_ rest: inout ArraySlice<UInt8>) -> Step {
        while !rest.isEmpty {
            switch part {
            case .data(let remaining):
                let piece = rest.prefix(remaining)
                rest = rest.dropFirst(piece.count)
                part = piece.count == remaining ? .lineEnd : .data(remaining - piece.count)
                return .piece(piece)
            case .lineEnd:
                let byte = rest.removeFirst()
                if byte == UInt8(ascii: "\n") { part = .line } else if byte != UInt8(ascii: "\r") { return .broken("a chunk of the body is longer than it says") }
            case .line:
                let byte = rest.removeFirst()
                guard byte == UInt8(ascii: "\n") else {
                    line.append(byte)
                    if line.count > Self.lineBytes { return .broken("a chunk's first line is longer than \(Self.lineBytes) bytes") }
                    continue
                }
                guard let size = Self.size(line) else { return .broken("a chunk of the body begins with \(Quoted.text(line)), which is no size") }
                if size == 0 { return .over }
                line = []
                part = .data(size)
            }
        }
        return .piece([])
    }

    private static func size(_ line: [UInt8]) -> Int? {
        let digits = line.prefix { $0 != UInt8(ascii: ";") && $0 != 13 && $0 != 32 && $0 != 9 }
        guard (1...8).contains(digits.count) else { return nil }
        return Int(String(decoding: digits, as: UTF8.self), radix: 16).flatMap { $0 < 0 || digits.first == UInt8(ascii: "+") ? nil : $0 }
    }
}
