import MeshModel

@testable import Plane

extension FuzzTarget {
    /// A plane stream's bytes, at once and in pieces (first byte), and what is in its frames.
    static let planeFrames = FuzzTarget(
        name: "plane-frames",
        seeds: {
            let refusal = Envelope.encode(MeshError(.peer, code: "no", "it is no", remedy: "ask again", retryable: true))
            let frames = [
                Frame(.ping), Frame(.pong), Frame(.goodbye, Array("done".utf8)), Frame(FrameType(rawValue: 0x21), Array("{}".utf8), version: 2),
                Frame(.request, Envelope(number: 1, type: FrameType(rawValue: 0x10), payload: Array("{}".utf8)).encode()),
                Frame(.response, Envelope(number: 1, type: FrameType(rawValue: 0x10), payload: []).encode()),
                Frame(.failure, Envelope(number: 1, type: FrameType(rawValue: 0x10), payload: refusal).encode()),
            ]
            return frames.map { [0] + encoded([$0]) } + [[9] + encoded(frames), [0, 0, 0, 0, 1], [0, 0xff, 0xff, 0xff, 0xff]]
        },
        run: { bytes in
            var input = Input(bytes)
            let cut = input.byte()
            let whole = frames([input.bytes])
            require(whole == frames(Array(Pieces(input.bytes, cut))), "a stream in pieces has other frames")
            require(input.rest.starts(with: encoded(whole.frames)), "frames that are written otherwise than they came")
            for frame in whole.frames {
                guard let envelope = Envelope(frame.payload) else { continue }
                require(envelope.encode() == frame.payload, "an envelope that is written otherwise than it came")
                guard let refusal = Envelope.decodeError(envelope.payload) else { continue }
                let again = Envelope.decodeError(Envelope.encode(refusal))
                require(again != nil && again?.retryable == refusal.retryable, "a refusal that cannot be passed on")
            }
        })

    private static func encoded(_ frames: [Frame]) -> [UInt8] {
        var bytes: [UInt8] = []
        for frame in frames { frame.encode(into: &bytes) }
        return bytes
    }

    private struct Outcome: Equatable {
        var frames: [Frame] = []
        var badLength: UInt32?
    }

    private static func frames(_ pieces: [[UInt8]]) -> Outcome {
        var decoder = FrameDecoder(largest: 1024)
        var outcome = Outcome()
        for piece in pieces {
            piece.withUnsafeBytes { decoder.append($0) }
            reading: while true {
                switch decoder.next() {
                case .frame(let frame): outcome.frames.append(frame)
                case .more: break reading
                case .badLength(let length):
                    outcome.badLength = length
                    return outcome
                }
            }
        }
        return outcome
    }
}
