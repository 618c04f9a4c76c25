/// "Did you mean": the nearest of some known words.
package enum Suggestion {
    /// The nearest candidate by edit distance (a swap of neighbours counts once), or nil when none is near enough to be meant.
    ///
    /// - Complexity: O(candidates · word · candidate); words of more than 64 bytes have no neighbour.
    package static func nearest(to word: String, among candidates: some Sequence<String>) -> String? {
        let word = word.lowercased()
        guard word.utf8.count <= 64 else { return nil }
        var best: (distance: Int, text: String)?
        for candidate in candidates where candidate.utf8.count <= 64 {
            let distance = distance(Array(word.utf8), Array(candidate.lowercased().utf8))
            if distance < best?.distance ?? .max { best = (distance, candidate) }
        }
        guard let best, best.distance <= max(1, min(word.utf8.count, best.text.utf8.count) / 3) else { return nil }
        return best.text
    }

    /// Optimal string alignment distance.
    static func distance(_ a: [UInt8], _ b: [UInt8]) -> Int {
        var before: [Int] = []
        var previous = Array(0...b.count)
        for i in 0..<a.count {
            var row = [i + 1]
            row.reserveCapacity(b.count + 1)
            for j in 0..<b.count {
                var cost = min(previous[j] + (a[i] == b[j] ? 0 : 1), previous[j + 1] + 1, row[j] + 1)
                if i > 0, j > 0, a[i] == b[j - 1], a[i - 1] == b[j] { cost = min(cost, before[j - 1] + 1) }
                row.append(cost)
            }
            (before, previous) = (previous, row)
        }
        return previous[b.count]
    }
}
