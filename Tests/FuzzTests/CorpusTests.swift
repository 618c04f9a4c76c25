import FoundationEssentials
import FuzzTargets
import Testing

/// What the fuzzer found worth keeping, through the same bodies: a body that finds something wrong ends the process with the reason.
@Suite struct CorpusTests {
    private static let folder = #filePath.replacing("CorpusTests.swift", with: "Corpus")
    /// Inputs that failed once, which no merge of a corpus drops.
    private static let found = #filePath.replacing("CorpusTests.swift", with: "Found")

    @Test(arguments: FuzzTarget.all.map(\.name))
    func theCorpusAndTheSeedsHold(_ name: String) throws {
        let target = try #require(FuzzTarget.named(name))
        let seeds = target.seeds()
        let inputs = try Self.inputs("\(Self.folder)/\(name).hex")
        #expect(seeds.count >= 2 && inputs.count >= seeds.count / 4, "\(seeds.count) seeds and \(inputs.count) inputs")
        for input in seeds + inputs { target.run(input) }
        target.run([])
    }

    @Test func whatFailedOnceHolds() throws {
        let files = try FileManager.default.contentsOfDirectory(atPath: Self.found)
        #expect(!files.isEmpty)
        for file in files {
            let target = try #require(FuzzTarget.named(file.replacing(".hex", with: "")), "\(file) is of no target")
            let inputs = try Self.inputs("\(Self.found)/\(file)")
            #expect(!inputs.isEmpty, "\(file) is empty")
            for input in inputs { target.run(input) }
        }
    }

    @Test func everyCorpusHasItsTarget() throws {
        let files = try FileManager.default.contentsOfDirectory(atPath: Self.folder).filter { $0.hasSuffix(".hex") }
        #expect(files.sorted() == FuzzTarget.all.map { $0.name + ".hex" }.sorted())
    }

    private static func inputs(_ path: String) throws -> [[UInt8]] {
        let text = String(decoding: try #require(FileManager.default.contents(atPath: path)), as: UTF8.self)
        return try text.split(separator: "\n").map { line in
            let digits = line.utf8.compactMap { Character(Unicode.Scalar($0)).hexDigitValue }
            try #require(digits.count == line.utf8.count && digits.count.isMultiple(of: 2), "\(path): no line of bytes")
            return stride(from: 0, to: digits.count, by: 2).map { UInt8(digits[$0] << 4 | digits[$0 + 1]) }
        }
    }
}
