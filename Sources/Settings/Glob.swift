/// The patterns of selectors: `*`, `?` and `[…]` within a path segment, as in `fnmatch(3)` with `FNM_PATHNAME`.
package enum Glob {
    /// What is wrong with a pattern, or nil.
    package static func problem(_ pattern: String) -> String? {
        var characters = Array(pattern)[...]
        while let character = characters.popFirst() {
            switch character {
            case "\\":
                guard characters.popFirst() != nil else { return "ends in a backslash" }
            case "[":
                if characters.first == "!" || characters.first == "^" { characters.removeFirst() }
                // A bracket that comes first stands for itself.
                guard let first = characters.popFirst(), let close = characters.firstIndex(of: "]") else { return "has a `[` without its `]`" }
                if first == "/" || characters[..<close].contains("/") { return "has a `/` between brackets, where it never matches" }
                characters = characters[(close + 1)...]
            default: continue
            }
        }
        if pattern.contains("**") { return "has `**`; a `*` matches within one segment only, and a selected cgroup includes all below it" }
        return nil
    }
}
