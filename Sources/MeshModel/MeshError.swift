/// One failure, told once: where it came from, why, and what the operator can do. It makes the log line, the metric label and the CLI's text.
package struct MeshError: Error, Sendable, CustomStringConvertible {
    /// Who failed, seen from this node.
    package enum Source: String, Sendable { case downstream, upstream, `internal`, policy, peer, configuration, kernel }

    package var source: Source
    /// A short stable word for metrics and programs, as `unknown_caller`.
    package var code: String
    /// One sentence: what happened, with the names involved.
    package var message: String
    /// One sentence: what to do about it. Empty when there is nothing useful to say.
    package var remedy: String
    package var retryable: Bool

    @inline(never)
    package init(_ source: Source, code: String, _ message: String, remedy: String = "", retryable: Bool = false) {
        self.source = source
        self.code = code
        self.message = message
        self.remedy = remedy
        self.retryable = retryable
    }

    package var description: String { remedy.isEmpty ? message : "\(message); \(remedy)" }
}
