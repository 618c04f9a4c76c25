import MeshModel
import Plane
import Platform
import Reactor

/// Comparing this node's knowledge with another's.
extension Catalog {
    /// How long the other node has to answer.
    private static var summaryTimeout: Duration { .seconds(10) }

    /// Asks a node that a stream leads to how far it knows each origin.
    ///
    /// - Throws: `no_stream` without one, `catalog_summary` for an answer that cannot be read, and what the question itself ends with.
    package func difference(with peer: String) async throws(MeshError) -> CatalogDifference {
        let answer = try await ask(peer, .catalogSummary, [], timeout: Self.summaryTimeout)
        let there: [String: OriginSummary]
        do {
            there = try JSON.decode(SummaryFrame.self, from: answer.payload).summaries(limit: core.limits.origins + 1)
        } catch {
            throw MeshError(.peer, code: "catalog_summary", "the answer of node \(peer) cannot be read: \(error)")
        }
        return CatalogDifference(here: core.summaries, there: there)
    }

    func answerSummaries(on stream: PlaneStream) {
        stream.answer(.catalogSummary) { [weak self] _ throws(MeshError) in
            guard let self, isStarted else { throw MeshError(.peer, code: "catalog_stopped", "the catalog of this node has stopped", retryable: true) }
            return JSON.encode(SummaryFrame(core.summaries))
        }
    }
}
