import MeshModel
import Platform
import Reactor
import Testing

@testable import Catalog

@Suite(.serialized) struct DifferenceTests {
    private func summary(_ generation: UInt64, _ version: UInt64, root: UInt8 = 1) -> OriginSummary {
        OriginSummary(
            position: Position(generation: generation, version: version), records: 2, root: RecordDigest([UInt8](repeating: root, count: 32))!)
    }

    @Test(arguments: [
        ((2, 1, 1), (1, 9, 1), .hereNewer), ((1, 2, 1), (1, 1, 1), .hereNewer), ((1, 1, 1), (1, 2, 2), .thereNewer), ((1, 1, 1), (1, 1, 2), .forked),
        ((1, 1, 1), nil, .onlyHere), (nil, (1, 1, 1), .onlyThere), ((1, 1, 1), (1, 1, 1), nil),
    ] as [((UInt64, UInt64, UInt8)?, (UInt64, UInt64, UInt8)?, CatalogDifference.Verdict?)])
    func theNewerPositionWinsAndTwoContentsOfOneAreAFork(
        _ here: (UInt64, UInt64, UInt8)?, _ there: (UInt64, UInt64, UInt8)?, _ verdict: CatalogDifference.Verdict?
    ) {
        func known(_ side: (UInt64, UInt64, UInt8)?) -> [String: OriginSummary] {
            side.map { ["x": summary($0.0, $0.1, root: $0.2)] } ?? [:]
        }
        let difference = CatalogDifference(here: known(here), there: known(there))
        #expect(difference.entries.map(\.verdict) == (verdict.map { [$0] } ?? []))
        #expect(difference.equal == (verdict == nil ? 1 : 0))
    }

    @Test func anAnswerComesBackAsItWasAndBadOnesAreRefused() throws {
        let summaries = ["a": summary(7, 1), "b": summary(.max, 0, root: 255)]
        let bytes = JSON.encode(SummaryFrame(summaries))
        #expect(try JSON.decode(SummaryFrame.self, from: bytes).summaries(limit: 2) == summaries)
        #expect(throws: WireFault.self) { try JSON.decode(SummaryFrame.self, from: bytes).summaries(limit: 1) }
        let short = Array(#"{"origins":{"a":{"position":[1,1],"records":0,"root":"AAAA"}}}"#.utf8)
        #expect(throws: WireFault.self) { try JSON.decode(SummaryFrame.self, from: short).summaries(limit: 2) }
    }

    @Test @Control func twoNodesCompareOverTheirStream() async throws {
        let mesh = try TestMesh()
        let scratch = (ScratchDirectory(), ScratchDirectory())
        let a = try TestAgent("a", mesh, scratch.0)
        let b = try TestAgent("b", mesh, scratch.1)
        try await a.start()
        try await b.start(seeds: [a.address])
        try b.catalog.declare([b.instance("ratings.default", at: "127.0.0.1:9002")])
        await until("a sees ratings") { !a.sees("ratings.default").isEmpty }
        let same = try await a.catalog.difference(with: "b")
        #expect(same.entries.isEmpty && same.equal == 2)
        // a forgets; what it forgot comes again with the next exchange, so it may take several tries to catch it.
        var seen: [CatalogDifference.Entry] = []
        for _ in 0..<50 where seen.isEmpty {
            a.catalog.core.logs["b"] = nil
            seen = try await a.catalog.difference(with: "b").entries
        }
        #expect(seen.map(\.origin) == ["b"] && seen.map(\.verdict) == [.onlyThere] && seen.first?.there?.records == 2)
        do {
            _ = try await a.catalog.difference(with: "c")
            Issue.record("there is no stream to c")
        } catch {
            #expect(error.code == "no_stream")
        }
        await b.stop()
        await a.stop()
    }
}
