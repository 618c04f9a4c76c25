import MeshModel
import Platform
import Testing

@testable import Plane

@Suite struct `Frames` {
    @Test(arguments: 0..<50 as Range<UInt64>)
    func `come out as they went in, however the bytes are cut`(seed: UInt64) {
        var random = SystemRandomNumberGenerator()
        let frames = (0..<40).map { index in
            Frame(
                FrameType(rawValue: UInt8(index)),
                (0..<Int.random(in: 0...900, using: &random)).map { _ in UInt8.random(in: 0...255, using: &random) }, version: UInt8(index % 3))
        }
        var wire: [UInt8] = []
        for frame in frames { frame.encode(into: &wire) }
        var decoder = FrameDecoder(largest: 1000)
        var found: [Frame] = []
        var rest = wire[...]
        while !rest.isEmpty {
            let count = min(rest.count, Int.random(in: 1...700, using: &random))
            Array(rest.prefix(count)).withUnsafeBytes { decoder.append($0) }
            rest = rest.dropFirst(count)
            while case .frame(let frame) = decoder.next() { found.append(frame) }
        }
        let equal = found == frames
        #expect(equal)
        #expect(decoder.next() == .more)
    }

    static let lengths: [(UInt32, FrameDecoder.Next)] = [
        (0, .badLength(0)), (1, .badLength(1)), (2, .more), (100, .more), (101, .badLength(101)), (.max, .badLength(.max)),
    ]

    @Test(arguments: lengths)
    func `a length outside the bounds ends the stream before anything is kept for it`(length: UInt32, expected: FrameDecoder.Next) {
        var decoder = FrameDecoder(largest: 100)
        var wire: [UInt8] = []
        wire.append(bigEndian: length)
        wire.withUnsafeBytes { decoder.append($0) }
        let next = decoder.next()
        #expect(next == expected)
    }

    @Test func `the wire form is length, version, type, payload`() {
        var wire: [UInt8] = []
        Frame(FrameType(rawValue: 0x21), [7, 8], version: 1).encode(into: &wire)
        #expect(wire == [0, 0, 0, 4, 1, 0x21, 7, 8])
    }

    @Test func `a refusal keeps its words`() {
        let error = MeshError(.internal, code: "not_allowed", "the token does not allow ns/a", remedy: "make another token", retryable: true)
        let back = Envelope.decodeError(Envelope.encode(error))
        #expect(back?.code == "not_allowed" && back?.message == error.message && back?.remedy == error.remedy && back?.retryable == true)
        #expect(back?.source == .peer)
        for length in 0..<Envelope.encode(error).count { #expect(Envelope.decodeError(Array(Envelope.encode(error).prefix(length))) == nil) }
    }

    @Test func `an envelope needs a number and a type`() {
        #expect(Envelope([1, 2, 3, 4, 5, 6, 7, 8]) == nil)
        #expect(Envelope([0, 0, 0, 0, 0, 0, 1, 0, 9]) == Envelope(number: 256, type: FrameType(rawValue: 9), payload: []))
        let envelope = Envelope(number: 77, type: .test, payload: [1, 2])
        #expect(Envelope(envelope.encode()) == envelope)
    }
}

@Suite struct `Output queue` {
    @Test func `gives back every byte in order, in whatever steps it is written`() {
        var queue = OutputQueue(bound: 1 << 20)
        var expected: [UInt8] = []
        var random = SystemRandomNumberGenerator()
        var written: [UInt8] = []
        for round in 0..<300 {
            let frame = Frame(.test, [UInt8](repeating: UInt8(round & 255), count: Int.random(in: 0...5000, using: &random)))
            frame.encode(into: &expected)
            let queued = queue.append(frame)
            #expect(queued)
            for _ in 0..<Int.random(in: 0...3, using: &random) where !queue.isEmpty {
                let count = queue.withNext { bytes in
                    let count = Int.random(in: 1...bytes.count, using: &random)
                    written += bytes.prefix(count)
                    return count
                }
                queue.advance(count)
            }
        }
        while !queue.isEmpty {
            let count = queue.withNext { bytes in
                written += bytes
                return bytes.count
            }
            queue.advance(count)
        }
        let equal = written == expected
        #expect(equal)
        #expect(queue.count == 0)
    }

    @Test func `refuses a frame that does not fit, and nothing of it stays`() {
        var queue = OutputQueue(bound: 100)
        let first = queue.append(Frame(.test, [UInt8](repeating: 0, count: 94)))
        let second = queue.append(Frame(.test))
        #expect(first)
        #expect(!second)
        #expect(queue.count == 100)
    }
}

@Suite struct `Keepalive of a stream` {
    let start = MonotonicTime(nanoseconds: 1)

    @Test func `asks once when the peer is quiet, and gives it up when it stays so`() {
        var keepalive = Keepalive(pingAfter: .seconds(10), deadAfter: .seconds(30), now: start)
        let actions = [9, 10, 12, 29, 30].map { keepalive.tick(start + .seconds($0)) }
        #expect(actions == [.none, .ping, .none, .none, .dead])
    }

    @Test func `a silence that this node slept through is no proof`() {
        var keepalive = Keepalive(pingAfter: .seconds(10), deadAfter: .seconds(30), now: start)
        let actions = [500, 510, 519, 520].map { keepalive.tick(start + .seconds($0)) }
        #expect(actions == [.ping, .none, .none, .dead])
    }

    @Test func `anything heard starts it anew`() {
        var keepalive = Keepalive(pingAfter: .seconds(10), deadAfter: .seconds(30), now: start)
        _ = keepalive.tick(start + .seconds(11))
        keepalive.heard(at: start + .seconds(12))
        let actions = [21, 22, 41, 42].map { keepalive.tick(start + .seconds($0)) }
        #expect(actions == [.none, .ping, .none, .dead])
    }
}
