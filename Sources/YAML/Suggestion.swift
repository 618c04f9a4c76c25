/// Finds what somebody meant.
package enum Suggestion {
    /// The candidate nearest to `word`, when one is near enough to be meant; the first of equals.
    package static func nearest(to word: String, among candidates: [String]) -> String? {
        let folded = fold(word)
        if let same = candidates.first(where: { fold($0) == folded }) { return same }
        // One slip in three characters is a typo; more is another word.
        let allowed = max(1, min(3, word.count / 3 + (word.count > 3 ? 1 : 0)))
        let ranked = candidates.map { (candidate: $0, distance: distance(folded, fold($0))) }
        guard let best = ranked.min(by: { $0.distance < $1.distance }), best.distance <= allowed, best.distance < best.candidate.count else {
            return nil
        }
        return best.candidate
    }

    /// `access_log`, `access-log` and `accessLog` are one word to people.
    private static func fold(_ word: String) -> String { word.lowercased().filter { $0 != "-" && $0 != "_" } }

    /// Damerau–Levenshtein in its restricted form (optimal string alignment): insertions, deletions, substitutions and swaps of
    /// neighbours. O(n·m); words longer than 64 characters are cut.
    package static func distance(_ a: String, _ b: String) -> Int {
        let a = Array(a.prefix(64))
        let b = Array(b.prefix(64))
        if a.isEmpty || b.isEmpty { return max(a.count, b.count) }
        var older = [Int](repeating: 0, count: b.count + 1)
        var old = Array(0...b.count)
        for i in 1...a.count {
            var row = [i] + [Int](repeating: 0, count: b.count)
            for j in 1...b.count {
                let cost = a[i - 1] == b[j - 1] ? 0 : 1
                row[j] = min(old[j] + 1, row[j - 1] + 1, old[j - 1] + cost)
                if i > 1, j > 1, a[i - 1] == b[j - 2], a[i - 2] == b[j - 1] { row[j] = min(row[j], older[j - 2] + 1) }
            }
            older = old
            old = row
        }
        return old[b.count]
    }
}
