import Platform
import Testing

@testable import Membership
@testable import SWIM

/// Anything may come from the network: it is refused with a reason, and never brings the process down.
@Suite struct MalformedTests {
    /// The plaintext of a datagram vector, so that the decoders see the damage and not the cipher.
    static let plaintexts: [[UInt8]] = Vector.datagrams.compactMap { vector in
        guard vector.label.isEmpty else { return nil }
        guard let cipher = try? vector.cipher else { return vector.bytes }
        return vector.bytes[0] == 1 ? cipher.open(vector.bytes.dropFirst(), authenticating: []) : nil
    }

    @Test(arguments: Vector.datagrams)
    func aDatagramCutAnywhereIsRefusedOrReadInPart(_ vector: Vector) throws {
        let (codec, bytes) = (try vector.codec, vector.bytes)
        for length in bytes.indices {
            let opened = codec.open(Array(bytes[..<length]))
            // A user message has no length of its own: cut, it is a shorter one.
            let isOpaque = vector.file.contains("user") && !vector.file.contains("hasCrc") && vector.decode["encryption"] == nil
            if !isOpaque { #expect(!opened.refusals.isEmpty, "cut to \(length)") }
        }
    }

    @Test(arguments: Vector.streams)
    func aStreamCutAnywhereIsNotWhole(_ vector: Vector) throws {
        let (codec, bytes) = (try vector.codec, vector.bytes)
        for length in bytes.indices {
            let cut = Array(bytes[..<length])
            #expect(throws: Refusal.self) { try codec.openStream(cut, dialled: vector.isDialled) }
        }
    }

    @Test func flippedBitsBringNothingDown() {
        var random = SWIMRandom(seed: 1)
        var bench = Bench()
        bench.alive("a", 2)
        var refused = 0
        for plaintext in Self.plaintexts {
            for _ in 0..<60 {
                var bytes = plaintext
                for _ in 0..<Int.random(in: 1...4, using: &random) {
                    bytes[Int.random(in: 0..<bytes.count, using: &random)] ^= 1 << UInt8.random(in: 0...7, using: &random)
                }
                let before = bench.refusals.count
                bench.step(.datagram(bytes, from: Bench.address(9)))
                refused += bench.refusals.count > before ? 1 : 0
                bench.clear()
            }
        }
        // A checksum catches most of it.
        #expect(refused > 1000)
        #expect(bench.state("own") == .alive)
    }

    @Test func encryptedBytesThatWereChangedAreNeverOpened() throws {
        var random = SWIMRandom(seed: 2)
        let vector = Vector.named("label-enc-udp-ping")
        let (codec, whole) = (try vector.codec, vector.bytes)
        for _ in 0..<500 {
            var bytes = whole
            bytes[Int.random(in: 0..<bytes.count, using: &random)] ^= 1 << UInt8.random(in: 0...7, using: &random)
            let opened = codec.open(bytes)
            // A flip from version 1 to 0 leaves the seal whole and breaks the padding.
            #expect(opened.messages.isEmpty)
            #expect(opened.refusals.count == 1)
        }
    }

    @Test func noiseBringsNothingDown() {
        var random = SWIMRandom(seed: 3)
        var bench = Bench()
        for length in 0..<400 {
            let bytes = (0..<length).map { _ in UInt8.random(in: 0...255, using: &random) }
            for type in [nil] + (0...13).map({ UInt8($0) }) as [UInt8?] {
                bench.step(.datagram((type.map { [$0] } ?? []) + bytes, from: Bench.address(9)))
                bench.step(.request(InboundID(number: 1), (type.map { [$0] } ?? []) + bytes, from: Bench.address(9)))
                var framer = StreamFramer(dialled: true)
                _ = try? framer.append(bytes)
            }
            bench.clear()
        }
        #expect(bench.core.members.count < 400)
    }

    // MARK: Bounds

    static func compressed(_ bytes: [UInt8]) -> [UInt8] {
        // Literals only, a clear code before the width would grow.
        var bits: UInt32 = 0
        var count = 0
        var output: [UInt8] = []
        func emit(_ code: Int) {
            bits |= UInt32(code) << UInt32(count)
            count += 9
            while count >= 8 {
                output.append(UInt8(truncatingIfNeeded: bits))
                bits >>= 8
                count -= 8
            }
        }
        for (index, byte) in bytes.enumerated() {
            if index % 200 == 0 { emit(256) }
            emit(Int(byte))
        }
        emit(257)
        if count > 0 { output.append(UInt8(truncatingIfNeeded: bits)) }
        var writer = MessagePackWriter()
        writer.bytes.append(Wire.compress)
        writer.map(2)
        writer.key("Algo")
        writer.unsigned(0)
        writer.key("Buf")
        writer.raw(output)
        return writer.bytes
    }

    @Test func layersAreReadToFourAndNotFurther() {
        let ping = Message.ping(Ping(sequence: 1, node: "own", sender: nil))
        var bytes = ping.encoded
        for depth in 1...6 {
            bytes = depth.isMultiple(of: 2) ? Self.compressed(bytes) : PacketCodec.compound([bytes, Message.nack(sequence: 1).encoded])
            let opened = PacketCodec().open(bytes)
            #expect(opened.messages.contains(ping) == (depth <= SWIMLimits.nesting))
            #expect(opened.refusals.contains(.tooDeep) == (depth > SWIMLimits.nesting))
        }
    }

    @Test func aBombOfCompressionIsRefusedAtItsBound() {
        // Codes that each stand for one byte more than the one before: quadratic growth.
        var bits: UInt32 = 0
        var count = 0
        var output: [UInt8] = []
        func emit(_ code: Int, _ width: Int) {
            bits |= UInt32(code) << UInt32(count)
            count += width
            while count >= 8 {
                output.append(UInt8(truncatingIfNeeded: bits))
                bits >>= 8
                count -= 8
            }
        }
        emit(0, 9)
        var width = 9
        for code in 258..<4095 {
            emit(code, width)
            if code + 1 >= 1 << width { width += 1 }
        }
        #expect(throws: Refusal.oversized) { try LZW.decode(output[...], atMost: 65536) }
        #expect((try? LZW.decode(output[...], atMost: 1 << 24)) == nil)  // no end code either
    }

    @Test func aCompoundOfTooManyPartsIsCutOff() {
        let nack = Message.nack(sequence: 1).encoded
        let inner = PacketCodec.compound([[UInt8]](repeating: nack, count: 255))
        let opened = PacketCodec().open(PacketCodec.compound([[UInt8]](repeating: inner, count: 20)))
        #expect(opened.messages.count <= SWIMLimits.parts)
        #expect(opened.refusals.contains(.oversized))
    }

    @Test func aCompoundWhoseBodiesRunOutKeepsWhatCameBefore() {
        let ping = Message.ping(Ping(sequence: 1, node: "own", sender: nil))
        let bytes = PacketCodec.compound([ping.encoded, ping.encoded, ping.encoded])
        let opened = PacketCodec().open(Array(bytes.dropLast(3)))
        #expect(opened.messages == [ping, ping])
        #expect(opened.refusals == [.truncated])
    }

    @Test func oneBadPartDoesNotHideTheOthers() {
        let ping = Message.ping(Ping(sequence: 1, node: "own", sender: nil))
        let opened = PacketCodec().open(PacketCodec.compound([[0xee], ping.encoded, [4, 0x80], ping.encoded, [6]]))
        #expect(opened.messages == [ping, ping])
        #expect(opened.refusals == [.unknownType, .badName, .misplaced])
    }

    @Test(
        arguments: [
            ("0180", Refusal.badAddress), ("00", .truncated), ("00c0", nil), ("0081a5", .truncated), ("00df00ffffff", .truncated),
            ("ff", .unknownType),
            ("0e80", .unknownType), ("0680", .misplaced), ("0a0000000000", .misplaced), ("0d80", .misplaced), ("0c00000001", .badChecksum),
            ("0981a3427566a100", .badCompression),
            ("0081a55365714e6fcf0000000100000000", .malformed), ("0081a55365714e6fff", .malformed), ("0081a55365714e6fd27fffffff", nil),
            ("0081a4466f6f6fd90161", nil), ("0081a4466f6f6fc1", .malformed), ("0081a4466f6f6f" + String(repeating: "91", count: 40) + "00", .tooDeep),
            ("", .truncated), ("07", .truncated), ("0702", .truncated), ("f40161", .wrongLabel), ("f4", .truncated),
        ] as [(String, Refusal?)])
    func aHandMadeDatagramIsRefusedForItsReason(_ hex: String, _ reason: Refusal?) {
        #expect(PacketCodec().open(Vector.bytes(hex: hex)).refusals == (reason.map { [$0] } ?? []))
    }

    /// The tolerance of deployed agents, by experiment (memberlist-protocol §2).
    @Test(arguments: [
        "0082a44e6f6465a36f776ea55365714e6f05", "0082d9044e6f6465d9036f776ed9055365714e6f05",
        "0082a44e6f6465c4036f776ea55365714e6fcf0000000000000005",
        "00de0002a44e6f6465a36f776ea55365714e6fd10005", "00df00000003a5457874726182a16101a162d40100a44e6f6465a36f776ea55365714e6fd005",
        "0083a55365714e6f09a44e6f6465a36f776ea55365714e6f05ffff",
    ])
    func aPingIsUnderstoodHoweverItIsWritten(_ hex: String) {
        #expect(PacketCodec().open(Vector.bytes(hex: hex)).messages == [.ping(Ping(sequence: 5, node: "own", sender: nil))])
    }

    @Test(
        arguments: [
            ("0683a44a6f696ec2a54e6f646573ceffffffffac5573657253746174654c656e00", Refusal.oversized),
            ("0683a44a6f696ec2a54e6f64657300ac5573657253746174654c656ece7fffffff", .oversized),
            ("0683a44a6f696ec2a54e6f646573ffac5573657253746174654c656e00", .oversized), ("0affffffff", .oversized),
            ("0881aa557365724d73674c656ece7fffffff", .oversized),
            ("05", .unknownType), ("0080ff", nil),
        ] as [(String, Refusal?)])
    func aStreamThatCanNeverBeWholeIsRefusedAtItsHeader(_ hex: String, _ reason: Refusal?) {
        var framer = StreamFramer(dialled: true)
        let result = Result { () throws(Refusal) in try framer.append(Vector.bytes(hex: hex)) }
        switch result {
        case .success: #expect(reason == nil)
        case .failure(let error): #expect(error == reason)
        }
    }

    @Test func aPartThatIsReadAgainWithEachPieceHasFewValues() throws {
        // A map of this many unknown fields, of one byte each and their values.
        func map(_ count: Int, _ known: [UInt8] = []) -> [UInt8] {
            [0xde, UInt8((count + 1) >> 8), UInt8((count + 1) & 0xff)] + known + (0..<count).flatMap { _ in [0xa1, 120, 1] as [UInt8] }
        }
        let nodes: [UInt8] = [0xa5] + "Nodes".utf8 + [1]
        let streams: [(Int) -> [UInt8]] = [
            { [Wire.compress] + map($0, [0xa4] + "Algo".utf8 + [0]) }, { [Wire.pushPull] + map($0, nodes) }, { [Wire.pushPull, 0x81] + nodes + map($0, [0xa1, 121, 2]) },
        ]
        for (number, stream) in streams.enumerated() {
            var framer = StreamFramer(dialled: true)
            // Fields of versions to come have room.
            #expect(throws: Never.self, "stream \(number)") { try framer.append(stream(100)) }
            framer = StreamFramer(dialled: true)
            #expect(throws: Refusal.oversized, "stream \(number)") { try framer.append(stream(300)) }
        }
    }

    /// A user message of zeros, each code one byte longer than the one before: some hundred bytes for many thousand.
    private static func bomb(_ count: Int) -> [UInt8] {
        var bits: UInt32 = 0
        var held: UInt32 = 0
        var output: [UInt8] = []
        func emit(_ code: Int, _ width: UInt32) {
            bits |= UInt32(code) << held
            held += width
            while held >= 8 {
                output.append(UInt8(truncatingIfNeeded: bits))
                bits >>= 8
                held -= 8
            }
        }
        emit(Int(Wire.user), 9)
        emit(0, 9)
        var width: UInt32 = 9
        var length = 2
        var code = 259
        while length < count {
            emit(code, width)
            length += code - 257
            code += 1
            if code >= 1 << width { width += 1 }
        }
        emit(257, width)
        output.append(UInt8(truncatingIfNeeded: bits))
        var writer = MessagePackWriter()
        writer.bytes.append(Wire.compress)
        writer.map(1)
        writer.key("Buf")
        writer.raw(output)
        return writer.bytes
    }

    @Test func theCompressedPartsOfADatagramHaveOneBoundTogether() {
        let part = Self.bomb(60_000)
        #expect(part.count < 600)
        let one = PacketCodec().open(part)
        guard case .user(let bytes)? = one.messages.first else { return #expect(Bool(false), "\(one.refusals)") }
        let opened = PacketCodec().open(PacketCodec.compound([[UInt8]](repeating: part, count: 100)))
        #expect(opened.messages.count == SWIMLimits.datagramExpanded / (bytes.count + 1))
        #expect(opened.refusals == [Refusal](repeating: .oversized, count: 100 - opened.messages.count))
    }

    @Test func logarithmsAreRight() {
        for (x, expected) in [(1.0, 0.0), (2, 0.6931471805599453), (10, 2.302585092994046), (3, 1.0986122886681098), (1000, 6.907755278982137)] {
            #expect(abs(naturalLogarithm(x) - expected) < 1e-9)
        }
        #expect([0, 1, 9, 10, 99, 100, 999, 1000].map(decimalDigitsUp) == [0, 1, 1, 2, 2, 3, 3, 4])
        #expect([1, 2, 3, 32, 33, 64, 65, 128, 129].map(binaryDigitsUp) == [0, 1, 2, 5, 6, 6, 7, 7, 8])
    }
}
