/// A tree to be written as YAML.
package indirect enum Output: Hashable, Sendable {
    /// A text; quoted where it would otherwise read as something else.
    case text(String)
    /// A number, boolean, duration or the like that needs no quotes.
    case plain(String)
    case list([Output])
    /// In this order.
    case mapping([Pair])

    package struct Pair: Hashable, Sendable {
        package let key: String
        package let value: Output
        package init(_ key: String, _ value: Output) {
            self.key = key
            self.value = value
        }
    }

    /// Block style, two spaces a level, ending in a newline. `YAMLParser` reads it back to the same tree.
    package func rendered() -> String {
        var lines = ""
        write(to: &lines, indent: 0)
        return lines
    }

    /// The tree as `key.path` and text, lists being one value each: two of these compare key by key.
    package func flattened() -> [(key: String, text: String)] {
        switch self {
        case .mapping(let pairs):
            pairs.flatMap { pair in
                switch pair.value {
                case .mapping: pair.value.flattened().map { ("\(pair.key).\($0.key)", $0.text) }
                default: [(pair.key, pair.value.rendered())]
                }
            }
        default: [("", rendered())]
        }
    }

    private var isBlock: Bool {
        switch self {
        case .text, .plain: false
        case .list(let items): !items.isEmpty
        case .mapping(let pairs): !pairs.isEmpty
        }
    }

    /// What fits on the line of its key.
    private var inline: String {
        switch self {
        case .plain(let text): text
        case .text(let text): Self.quoted(text)
        case .list: "[]"
        case .mapping: "{}"
        }
    }

    private func write(to text: inout String, indent: Int) {
        let space = String(repeating: " ", count: indent)
        switch self {
        case .text, .plain: text += "\(space)\(inline)\n"
        case .list(let items):
            if items.isEmpty { text += "\(space)[]\n" }
            for item in items {
                guard item.isBlock else {
                    text += "\(space)- \(item.inline)\n"
                    continue
                }
                var inner = ""
                item.write(to: &inner, indent: indent + 2)
                text += "\(space)- \(inner.dropFirst(indent + 2))"
            }
        case .mapping(let pairs):
            if pairs.isEmpty { text += "\(space){}\n" }
            for pair in pairs {
                guard pair.value.isBlock else {
                    text += "\(space)\(Self.quoted(pair.key)): \(pair.value.inline)\n"
                    continue
                }
                text += "\(space)\(Self.quoted(pair.key)):\n"
                pair.value.write(to: &text, indent: indent + 2)
            }
        }
    }

    /// Plain when every reader, YAML 1.1 ones too, takes it as this text; else in double quotes.
    static func quoted(_ text: String) -> String {
        let words = ["null", "true", "false", "yes", "no", "on", "off", "y", "n", "~"]
        let bytes = Array(text.utf8)
        // Two dots make an address or a version, and never a number.
        let isWord =
            bytes.first.map {
                ($0 >= 65 && $0 <= 90) || ($0 >= 97 && $0 <= 122) || $0 == 47 || ($0 >= 48 && $0 <= 57 && bytes.count { $0 == 46 } > 1)
            } ?? false
        let safe = bytes.allSatisfy { ($0 >= 45 && $0 <= 57) || ($0 >= 65 && $0 <= 90) || ($0 >= 97 && $0 <= 122) || $0 == 95 }
        if isWord, safe, !words.contains(text.lowercased()) { return text }
        var result = "\""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\"": result += "\\\""
            case "\\": result += "\\\\"
            case "\n": result += "\\n"
            case "\t": result += "\\t"
            case _
            where scalar.value < 0x20 || (0x7f...0x9f).contains(scalar.value) || scalar.value == 0xfeff || (0x2028...0x2029).contains(scalar.value):
                let hex = String(scalar.value, radix: 16)
                result += "\\u" + String(repeating: "0", count: 4 - hex.count) + hex
            default: result.unicodeScalars.append(scalar)
            }
        }
        return result + "\""
    }
}

extension Output {
    /// The tree that was read, without comments and anchors.
    package init(_ node: Node) {
        switch node.content {
        case .scalar(let scalar):
            if node.isNull { self = .plain("null") } else { self = scalar.isPlain ? .plain(scalar.text) : .text(scalar.text) }
        case .sequence(let items): self = .list(items.map(Output.init))
        case .mapping(let entries): self = .mapping(entries.map { Pair($0.key, Output($0.value)) })
        }
    }
}
