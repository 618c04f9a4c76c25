import Reactor

/// One check that is under way.
@Control
protocol Probe: AnyObject {
    /// Ends it without a result. Calling it twice, or after the result, does nothing.
    func cancel()
}

/// What one check found.
struct ProbeResult: Hashable, Sendable {
    /// Why it failed; nil when it passed.
    var failure: String?
    /// The end of what was printed.
    var output = ""
}
