import Glibc

/// A decoder and what must hold for every input: bytes of anybody go in, and the process traps when something does not hold.
///
/// The fuzzer runs the same bodies as the tests do (`FuzzTests`, over the inputs that the fuzzer found worth keeping); see Documentation/fuzzing.md.
public struct FuzzTarget: Sendable {
    public let name: String
    /// Valid inputs to begin with.
    public let seeds: @Sendable () -> [[UInt8]]
    public let run: @Sendable ([UInt8]) -> Void

    /// In the order of how exposed they are: what strangers can send first.
    public static let all: [FuzzTarget] = [
        swimDatagram, swimStream, dnsQuery, dnsAnswer, planeFrames, catalogWire, resourceWire, clientHello, http2, identity, httpAnswer, grpcCheck, serf, catalogRecord,
        netlink, apiRequest, settings, resourceDocument, text,
    ]

    public static func named(_ name: String) -> FuzzTarget? { all.first { $0.name == name } }
}

/// Ends the process with the reason, in optimised builds too.
func require(_ condition: Bool, _ reason: @autoclosure () -> String) {
    if !condition { fatalError(reason()) }
}

/// An input read front to back; beyond its end there are zeros.
struct Input {
    private(set) var rest: ArraySlice<UInt8>

    init(_ bytes: [UInt8]) { rest = bytes[...] }

    mutating func byte() -> UInt8 { rest.popFirst() ?? 0 }
    var bytes: [UInt8] { Array(rest) }
}

/// Cuts bytes into pieces of one to sixteen bytes, always the same ones for the same start.
struct Pieces: Sequence, IteratorProtocol {
    private var rest: ArraySlice<UInt8>
    private var state: UInt32

    init(_ bytes: [UInt8], _ start: UInt8) {
        rest = bytes[...]
        state = UInt32(start)
    }

    mutating func next() -> [UInt8]? {
        guard !rest.isEmpty else { return nil }
        state = state &* 1_664_525 &+ 1_013_904_223
        let piece = rest.prefix(1 + Int(state >> 28))
        rest = rest.dropFirst(piece.count)
        return Array(piece)
    }
}
