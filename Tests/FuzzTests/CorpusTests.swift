import FoundationEssentials
import FuzzTargets
import Testing

/// What the fuzzer found worth keeping, through the same bodies: a body that finds something wrong ends the process with the reason.
@Suite struct CorpusTests {
    private static let folder = #filePath.replacing("CorpusTests.swift", with: "Corpus")

    @Test(arguments: FuzzTarget.all.map(\.name))
    func theCorpusAndTheSeedsHold(_ name: String) throws {
        let target = try #require(FuzzTarget.named(name))
        let seeds = target.seeds()
        let inputs = try Self.corpus(name)
        #expect(seeds.count >= 2 && inputs.count >= seeds.count / 4, "\(seeds.count) seeds and \(inputs.count) inputs")
        for input in seeds + inputs { target.run(input) }
        target.run([])
    }

    @Test func everyCorpusHasItsTarget() throws {
        let files = try FileManager.default.contentsOfDirectory(atPath: Self.folder).filter { $0.hasSuffix(".hex") }
        #expect(files.sorted() == FuzzTarget.all.map { $0.name + ".hex" }.sorted())
    }

    private static func corpus(_ name: String) throws -> [[UInt8]] {
        let text = String(decoding: try #require(FileManager.default.contents(atPath: "\(folder)/\(name).hex")), as: UTF8.self)
        return try text.split(separator: "\n").map { line in
            let digits = line.utf8.compactMap { Character(Unicode.Scalar($0)).hexDigitValue }
            try #require(digits.count == line.utf8.count && digits.count.isMultiple(of: 2), "\(name).hex: no line of bytes")
            return stride(from: 0, to: digits.count, by: 2).map { UInt8(digits[$0] << 4 | digits[$0 + 1]) }
        }
    }
}
