/// Bounds on what a file may hold. Real files are far below them.
package struct Limits: Sendable {
    package var bytes = 1 << 20
    /// Levels of nesting.
    package var depth = 64
    /// Values in all documents, where an alias counts as much as what it stands for: no small file makes a big tree.
    package var nodes = 100_000
    package var documents = 1_000

    package init() {}
}
