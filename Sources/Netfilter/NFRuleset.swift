/// One table with all that belongs in it: the wanted state, or the state found in the kernel.
package struct NFRuleset: Sendable, Equatable {
    package var table: NFTable
    package var sets: [NFSet]
    package var timeouts: [NFConntrackTimeouts]
    package var chains: [NFChain]
    /// In order within each chain.
    package var rules: [NFRule]
    /// By set name. Absent: nothing is said about the set's elements, neither on install nor on comparison.
    package var elements: [String: [NFElement]]

    package init(
        table: NFTable, sets: [NFSet] = [], timeouts: [NFConntrackTimeouts] = [], chains: [NFChain] = [], rules: [NFRule] = [],
        elements: [String: [NFElement]] = [:]
    ) {
        self.table = table
        self.sets = sets
        self.timeouts = timeouts
        self.chains = chains
        self.rules = rules
        self.elements = elements
    }

    /// What differs in `actual` from this wanted state, one line each; empty when nothing does.
    ///
    /// Order counts for rules and for nothing else. Counters and handles never count.
    package func drift(from actual: NFRuleset?) -> [String] {
        guard let actual else { return ["table \(table) is missing"] }
        var lines: [String] = []
        if actual.table.flags != table.flags { lines.append("table \(table) has other flags") }
        compare("set", wanted: sets, actual: actual.sets, name: \.name, into: &lines)
        compare("ct timeout", wanted: timeouts, actual: actual.timeouts, name: \.name, into: &lines)
        compare("chain", wanted: chains, actual: actual.chains, name: \.name, into: &lines)
        for chain in chains {
            let wanted = rules.filter { $0.chain == chain.name }
            let found = actual.rules.filter { $0.chain == chain.name }
            guard wanted != found else { continue }
            let missing = wanted.filter { !found.contains($0) }
            let foreign = found.filter { !wanted.contains($0) }
            for rule in missing { lines.append("rule \(rule) is missing or changed") }
            for rule in foreign { lines.append("rule \(rule) does not belong there") }
            if missing.isEmpty, foreign.isEmpty { lines.append("chain \(chain) has its rules in another order or number") }
        }
        for (name, wanted) in elements.sorted(by: { $0.key < $1.key }) {
            let wanted = Set(wanted)
            let found = Set(actual.elements[name] ?? [])
            let missing = wanted.subtracting(found).count
            let foreign = found.subtracting(wanted).count
            if missing > 0 { lines.append("set \(table) \(name) lacks \(missing) element\(missing == 1 ? "" : "s")") }
            if foreign > 0 { lines.append("set \(table) \(name) has \(foreign) element\(foreign == 1 ? "" : "s") too many") }
        }
        return lines
    }

    private func compare<T: Equatable>(_ kind: String, wanted: [T], actual: [T], name: (T) -> String, into lines: inout [String]) {
        for item in wanted {
            guard let found = actual.first(where: { name($0) == name(item) }) else {
                lines.append("\(kind) \(table) \(name(item)) is missing")
                continue
            }
            if found != item { lines.append("\(kind) \(table) \(name(item)) was changed") }
        }
        for item in actual where !wanted.contains(where: { name($0) == name(item) }) {
            lines.append("\(kind) \(table) \(name(item)) does not belong there")
        }
    }
}
