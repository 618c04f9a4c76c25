/// Changes to nftables in order; the kernel makes all of them or none.
package struct NFTransaction: Sendable, Equatable {
    package enum Operation: Sendable, Equatable {
        case addTable(NFTable, exclusive: Bool)
        /// Makes sure that there is a table of this name, whatever its flags, so that it can be deleted.
        case touchTable(NFTableID)
        case deleteTable(NFTableID)
        case addChain(NFChain, exclusive: Bool)
        case deleteChain(NFChain)
        case flushChain(NFChain)
        case addSet(NFSet, exclusive: Bool)
        case deleteSet(NFSet)
        case flushSet(NFSet)
        case addTimeouts(NFConntrackTimeouts)
        case addElements(NFSet, [NFElement], exclusive: Bool)
        case deleteElements(NFSet, [NFElement])
        case addRule(NFRule, after: UInt64?)
        case insertRule(NFRule, before: UInt64?)
        case replaceRule(handle: UInt64, with: NFRule)
        case deleteRule(NFTableID, chain: String, handle: UInt64)
    }

    package private(set) var operations: [Operation] = []

    package init() {}
    package var isEmpty: Bool { operations.isEmpty }
    package mutating func append(_ operation: Operation) { operations.append(operation) }
    package mutating func append(_ other: NFTransaction) { operations += other.operations }

    // MARK: Additions. Without `exclusive` an object that is there already stays, and is no error.

    package mutating func add(_ table: NFTable, exclusive: Bool = false) { append(.addTable(table, exclusive: exclusive)) }
    package mutating func add(_ chain: NFChain, exclusive: Bool = false) { append(.addChain(chain, exclusive: exclusive)) }
    package mutating func add(_ set: NFSet, exclusive: Bool = false) { append(.addSet(set, exclusive: exclusive)) }
    package mutating func add(_ policy: NFConntrackTimeouts) { append(.addTimeouts(policy)) }
    /// Rules are always added, even when an equal one is there: flush the chain before, or use `install`.
    package mutating func add(_ rule: NFRule, after handle: UInt64? = nil) { append(.addRule(rule, after: handle)) }
    package mutating func insert(_ rule: NFRule, before handle: UInt64? = nil) { append(.insertRule(rule, before: handle)) }
    package mutating func replace(_ handle: UInt64, with rule: NFRule) { append(.replaceRule(handle: handle, with: rule)) }
    package mutating func add(_ elements: [NFElement], to set: NFSet, exclusive: Bool = false) {
        if !elements.isEmpty { append(.addElements(set, elements, exclusive: exclusive)) }
    }

    // MARK: Removals. The object must be there; `destroy` takes it either way.

    package mutating func delete(_ table: NFTableID) { append(.deleteTable(table)) }
    package mutating func delete(_ chain: NFChain) { append(.deleteChain(chain)) }
    package mutating func delete(_ set: NFSet) { append(.deleteSet(set)) }
    package mutating func delete(_ rule: NFListedRule) { append(.deleteRule(rule.rule.table, chain: rule.rule.chain, handle: rule.handle)) }
    package mutating func delete(_ elements: [NFElement], from set: NFSet) {
        if !elements.isEmpty { append(.deleteElements(set, elements)) }
    }
    /// Removes all rules of the chain.
    package mutating func flush(_ chain: NFChain) { append(.flushChain(chain)) }
    /// Removes all elements of the set.
    package mutating func flush(_ set: NFSet) { append(.flushSet(set)) }

    /// Deletes the table whether it is there or not (added first, since deletion of what is missing fails the whole transaction).
    package mutating func destroy(_ table: NFTableID) {
        append(.touchTable(table))
        append(.deleteTable(table))
    }
    package mutating func destroy(_ chain: NFChain) {
        append(.addChain(NFChain(table: chain.table, name: chain.name), exclusive: false))
        append(.flushChain(chain))
        append(.deleteChain(chain))
    }
    package mutating func destroy(_ set: NFSet) {
        append(.addSet(set, exclusive: false))
        append(.deleteSet(set))
    }
    /// Deletes elements whether they are there or not.
    package mutating func destroy(_ elements: [NFElement], from set: NFSet) {
        add(elements, to: set)
        delete(elements, from: set)
    }

    // MARK: Whole tables

    /// Makes the table exactly as given, whatever was there before. Packets see the old table or the new one, never a half.
    package mutating func install(_ ruleset: NFRuleset) {
        destroy(ruleset.table.id)
        add(ruleset.table)
        for set in ruleset.sets { add(set) }
        for policy in ruleset.timeouts { add(policy) }
        for chain in ruleset.chains { add(chain) }
        for set in ruleset.sets { add(ruleset.elements[set.name] ?? [], to: set) }
        for rule in ruleset.rules { add(rule) }
    }
    /// Makes the set hold exactly `wanted`, touching only what differs from `current`.
    package mutating func update(_ set: NFSet, from current: [NFElement], to wanted: [NFElement]) {
        let old = Set(current)
        let new = Set(wanted)
        delete(current.filter { !new.contains($0) }, from: set)
        add(wanted.filter { !old.contains($0) }, to: set)
    }
}
