/// One thing wrong in a file, as `path:line:column: message`.
package struct Diagnostic: Hashable, Sendable, CustomStringConvertible {
    package let path: String
    package let mark: Mark
    package let message: String

    package init(path: String, mark: Mark, message: String) {
        self.path = path
        self.mark = mark
        self.message = message
    }

    package var description: String { "\(path):\(mark): \(message)" }
}

/// Collects everything that is wrong with one file, so that it is all told at once.
///
/// One per file, used by one thread. After `limit` errors the rest are only counted.
package final class Diagnostics {
    package let path: String
    package private(set) var errors: [Diagnostic] = []
    /// How many errors were left out beyond `limit`.
    package private(set) var dropped = 0

    /// A file that is not YAML at all would otherwise give an error per line.
    package static let limit = 100

    package init(path: String) { self.path = path }

    package func report(_ mark: Mark, _ message: String) {
        guard errors.count < Self.limit else {
            dropped += 1
            return
        }
        errors.append(Diagnostic(path: path, mark: mark, message: message))
    }

    package var isEmpty: Bool { errors.isEmpty }
    /// The errors in the order of the file.
    package var sorted: [Diagnostic] { errors.sorted { $0.mark < $1.mark } }
}
