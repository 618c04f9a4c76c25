/// Reads one mapping key by key and tells everything that is wrong with it.
///
/// Ask for every key, also after one failed: the keys asked for are the keys that exist, and the rest are refused at the end with
/// the nearest of them. Make one with `decode`, which does that.
///
///     let port = MappingDecoder.decode(node, diagnostics) { mapping in
///         mapping.value("port", .port, default: 80)
///     }
package final class MappingDecoder {
    /// Where in the file this mapping is, as `capture.exclude` or `workloads[2]`; empty for the document.
    package let keyPath: String
    package let mark: Mark
    package let diagnostics: Diagnostics
    private let entries: [Node.Entry]
    private var asked: [String] = []

    private init(keyPath: String, mark: Mark, entries: [Node.Entry], _ diagnostics: Diagnostics) {
        self.keyPath = keyPath
        self.mark = mark
        self.entries = entries
        self.diagnostics = diagnostics
    }

    /// Runs `body` over a mapping, then refuses the keys that it did not ask for. A null node is an empty mapping; of any other kind
    /// is an error, and `body` runs over nothing, so that it gives its defaults.
    package static func decode<T>(_ node: Node, _ diagnostics: Diagnostics, keyPath: String = "", _ body: (MappingDecoder) -> T) -> T {
        var entries: [Node.Entry] = []
        if case .mapping(let found) = node.content {
            entries = found
        } else if !node.isNull {
            let subject = keyPath.isEmpty ? "the document" : "`\(keyPath)`"
            diagnostics.report(node.mark, "\(subject) must be a mapping of keys to values, not \(node.kind)")
        }
        let decoder = MappingDecoder(keyPath: keyPath, mark: node.mark, entries: entries, diagnostics)
        let value = body(decoder)
        decoder.refuseUnknown()
        return value
    }

    // MARK: Single values

    /// The value, or `fallback` when the key is absent or empty, or its value wrong (which is told).
    package func value<T>(_ key: String, _ type: ScalarType<T>, default fallback: T) -> T { optional(key, type) ?? fallback }

    /// Nil when the key is absent or empty, or its value wrong (which is told).
    package func optional<T>(_ key: String, _ type: ScalarType<T>) -> T? {
        guard let node = node(key) else { return nil }
        return read(node, type, at: path(key))
    }

    /// Nil when the key is absent, empty or wrong; each is told.
    package func required<T>(_ key: String, _ type: ScalarType<T>) -> T? {
        guard let node = node(key) else {
            tellMissing(key, type.expected)
            return nil
        }
        return read(node, type, at: path(key))
    }

    // MARK: Mappings

    /// The mapping under `key`; absent is the same as empty.
    package func section<T>(_ key: String, _ body: (MappingDecoder) -> T) -> T {
        Self.decode(node(key) ?? Node(.mapping([]), mark: mark(of: key)), diagnostics, keyPath: path(key), body)
    }

    /// The mapping under `key`, or nil when it is absent or empty.
    package func optionalSection<T>(_ key: String, _ body: (MappingDecoder) -> T) -> T? {
        node(key).map { Self.decode($0, diagnostics, keyPath: path(key), body) }
    }

    /// Free keys, as labels are. Told: keys and values that don't fit.
    package func dictionary<T>(_ key: String, keys: ScalarType<String>, _ type: ScalarType<T>) -> [String: T] {
        guard let node = node(key) else { return [:] }
        guard case .mapping(let entries) = node.content else {
            diagnostics.report(node.mark, "`\(path(key))` must be a mapping of keys to values, not \(node.kind)")
            return [:]
        }
        var result: [String: T] = [:]
        for entry in entries {
            let name = read(Node(.scalar(Scalar(entry.key)), mark: entry.keyMark), keys, at: "a key of \(path(key))")
            if let name, let value = read(entry.value, type, at: "\(path(key)).\(name)") { result[name] = value }
        }
        return result
    }

    // MARK: Lists

    /// Values that don't fit are told and left out. Nil when the key is absent or empty, so that a default can stand in.
    package func optionalList<T>(_ key: String, _ type: ScalarType<T>) -> [Located<T>]? {
        items(key)?.enumerated().compactMap { index, node in
            read(node, type, at: "\(path(key))[\(index)]").map { Located($0, mark: node.mark) }
        }
    }

    package func list<T>(_ key: String, _ type: ScalarType<T>, default fallback: [T] = []) -> [T] {
        optionalList(key, type)?.map(\.value) ?? fallback
    }

    /// A list of mappings; `body` gives nil for an item that is wrong (which it told).
    package func list<T>(_ key: String, _ body: (MappingDecoder) -> T?) -> [Located<T>] {
        (items(key) ?? []).enumerated().compactMap { index, node in
            Self.decode(node, diagnostics, keyPath: "\(path(key))[\(index)]", body).map { Located($0, mark: node.mark) }
        }
    }

    // MARK: Anything else

    /// The raw value, for readers of their own shape; asking makes the key a known one. Nil when absent or empty.
    package func node(_ key: String) -> Node? {
        if !asked.contains(key) { asked.append(key) }
        guard let node = entries.first(where: { $0.key == key })?.value, !node.isNull else { return nil }
        return node
    }

    /// Whether the key is written, even empty. Does not make it a known one.
    package func has(_ key: String) -> Bool { entries.contains { $0.key == key } }

    /// Where the key's value stands, or the mapping when the key is absent.
    package func mark(of key: String) -> Mark { entries.first { $0.key == key }?.value.mark ?? mark }

    /// The full name of a key, for messages.
    package func path(_ key: String) -> String { keyPath.isEmpty ? key : "\(keyPath).\(key)" }

    /// Tells an error about a key's value: `` `path.key` <message> ``.
    package func report(_ key: String, _ message: String) { diagnostics.report(mark(of: key), "`\(path(key))` \(message)") }

    // MARK: Inside

    private func items(_ key: String) -> [Node]? {
        guard let node = node(key) else { return nil }
        guard case .sequence(let items) = node.content else {
            diagnostics.report(node.mark, "`\(path(key))` must be a list, not \(node.kind); write `- ` before each item")
            return nil
        }
        return items
    }

    private func read<T>(_ node: Node, _ type: ScalarType<T>, at path: String) -> T? {
        guard case .scalar(let scalar) = node.content else {
            diagnostics.report(node.mark, "`\(path)` must be \(type.expected), not \(node.kind)")
            return nil
        }
        if node.isNull {
            diagnostics.report(node.mark, "`\(path)` is empty; it must be \(type.expected)")
            return nil
        }
        do throws(Mismatch) {
            return try type.read(scalar)
        } catch {
            let shown = scalar.text.count > 80 ? scalar.text.prefix(80) + "…" : Substring(scalar.text)
            diagnostics.report(node.mark, "`\(path)` must be \(type.expected), not \"\(shown)\"" + (error.hint.map { "; \($0)" } ?? ""))
            return nil
        }
    }

    private func tellMissing(_ key: String, _ expected: String) {
        let missing = has(key) ? "is empty; it" : "is missing; it"
        diagnostics.report(mark(of: key), "`\(path(key))` \(missing) must be \(expected)")
    }

    private func refuseUnknown() {
        let known = Set(asked)
        for entry in entries where !known.contains(entry.key) {
            // A key that is already there is no suggestion.
            let free = asked.filter { candidate in !entries.contains { $0.key == candidate } }
            let hint = (Suggestion.nearest(to: entry.key, among: free) ?? Suggestion.nearest(to: entry.key, among: asked)).map {
                ", did you mean `\($0)`?"
            }
            let place = keyPath.isEmpty ? "" : " in `\(keyPath)`"
            let shown = entry.key.count > 80 ? entry.key.prefix(80) + "…" : Substring(entry.key)
            diagnostics.report(
                entry.keyMark, "unknown key `\(shown)`\(place)" + (hint ?? (asked.isEmpty ? "" : "; valid: \(asked.joined(separator: ", "))")))
        }
    }
}

/// A value with the place where it was written.
package struct Located<Value> {
    package let value: Value
    package let mark: Mark
    package init(_ value: Value, mark: Mark) {
        self.value = value
        self.mark = mark
    }
}

extension Located: Sendable where Value: Sendable {}
extension Located: Equatable where Value: Equatable {}
