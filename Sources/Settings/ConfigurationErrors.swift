import YAML

/// Everything that is wrong with one or more configuration files.
package struct ConfigurationErrors: Error, Hashable, Sendable, CustomStringConvertible {
    package let errors: [Diagnostic]
    /// Errors beyond the number that is listed.
    package let dropped: Int

    package init(_ errors: [Diagnostic], dropped: Int = 0) {
        self.errors = errors
        self.dropped = dropped
    }

    package init(_ diagnostics: Diagnostics) { self.init(diagnostics.sorted, dropped: diagnostics.dropped) }

    /// A line for each, as `path:line:column: message`.
    package var description: String {
        errors.map(\.description).joined(separator: "\n") + (dropped > 0 ? "\nand \(dropped) more" : "")
    }
}
