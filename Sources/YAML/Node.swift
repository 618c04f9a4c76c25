/// A YAML value with the place it came from. Aliases are already resolved, tags already checked.
package struct Node: Hashable, Sendable {
    package enum Content: Hashable, Sendable {
        case scalar(Scalar)
        case sequence([Node])
        /// In the order of the file, without duplicates.
        case mapping([Entry])
    }

    package struct Entry: Hashable, Sendable {
        package let key: String
        package let keyMark: Mark
        package let value: Node
    }

    package let content: Content
    package let mark: Mark

    package init(_ content: Content, mark: Mark) {
        self.content = content
        self.mark = mark
    }

    /// An absent or empty value: `key:`, `~` or `null`, not in quotes (YAML 1.2 core schema).
    package var isNull: Bool {
        guard case .scalar(let scalar) = content else { return false }
        return scalar.isPlain && ["", "~", "null", "Null", "NULL"].contains(scalar.text)
    }

    /// What it is, for messages.
    package var kind: String {
        switch content {
        case .scalar: "a single value"
        case .sequence: "a list"
        case .mapping: "a mapping"
        }
    }
}

/// A single value as it was written. Its type is the reader's business: the schema says what is expected, not the spelling.
package struct Scalar: Hashable, Sendable {
    package let text: String
    /// Without quotes and not a block (`|`, `>`).
    package let isPlain: Bool

    package init(_ text: String, isPlain: Bool = true) {
        self.text = text
        self.isPlain = isPlain
    }
}
