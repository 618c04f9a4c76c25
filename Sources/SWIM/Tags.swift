/// A node's metadata as Serf shows it: a small map of text (memberlist-protocol §14.1). Kept sorted, so equal tags make equal bytes.
package struct Tags: Hashable, Sendable, ExpressibleByDictionaryLiteral {
    private var pairs: [String: String] = [:]

    package init() {}
    package init(_ pairs: [String: String]) { self.pairs = pairs }
    package init(dictionaryLiteral elements: (String, String)...) {
        for (key, value) in elements { pairs[key] = value }
    }

    package subscript(key: String) -> String? {
        get { pairs[key] }
        set { pairs[key] = newValue }
    }
    package var dictionary: [String: String] { pairs }
    package var isEmpty: Bool { pairs.isEmpty }

    /// The wire form: 0xFF and a MessagePack map. It must not exceed `SWIMLimits.metaBytes` to be announced.
    package var meta: [UInt8] {
        var writer = MessagePackWriter()
        let sorted = pairs.sorted { Array($0.key.utf8).lexicographicallyPrecedes(Array($1.key.utf8)) }
        writer.map(sorted.count)
        for (key, value) in sorted {
            writer.raw(key.utf8)
            writer.raw(value.utf8)
        }
        return [Self.mark] + writer.bytes
    }

    /// From the wire. Anything that is not such a map is one tag, `role`, as in Serf; what cannot be read is left out.
    package init(meta: [UInt8]) {
        guard meta.first == Self.mark else {
            if !meta.isEmpty { pairs["role"] = String(decoding: meta, as: UTF8.self) }
            return
        }
        var reader = MessagePackReader(meta, from: 1)
        guard let count = try? reader.mapCount() else { return }
        for _ in 0..<count {
            guard let key = try? reader.text(), let value = try? reader.text() else { return }
            pairs[key] = value
        }
    }

    private static let mark: UInt8 = 0xff
}
